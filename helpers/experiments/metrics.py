"""What fine-tuning gives and what it takes, each a formula of a publication.

Functions that end in a plain number average those that give one number a picture; intervals are
made from the latter (``helpers.experiments.intervals``). All refuse empty input with
``ExperimentError``. e(·) is an embedding of unit length; *real* pictures were held out.

    subject fidelity   similarity.subject_fidelity   pictures of the subject against real ones
    prompt fidelity    prompt_fidelity               does the picture show what was asked for?
    PRES               pres, pres_change             has the class turned into the subject?
    DIV                perceptual.diversity          do the pictures still differ?
    language drift     language_drift                how far did prompts without the subject move?
    memorisation       memorisation_gap              likeness, or copies of the training pictures?
    identification     identification_rate           this subject, or another that resembles it?
    forgetting         forgetting.Forgetting         what became of the subjects before?
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from helpers.errors import ExperimentError
from helpers.experiments.judges import (
    Embedder,
    Matcher,
    Pictures,
    Reader,
    cosines,
    require,
    vectors,
)
from helpers.experiments.similarity import likeness


def agreement(judge: Matcher, pictures: Pictures, prompt: str) -> np.ndarray:
    """Each picture's cosine (N,) with the words of one prompt, -1 to 1."""
    require(pictures, "pictures")
    return np.asarray(judge.agree(pictures, [prompt]).cpu(), np.float64)[:, 0]


def prompt_fidelity(judge: Matcher, pictures: Pictures, prompt: str) -> float:
    """CLIP-T: mean over g of e_image(g)·e_text(prompt) (DreamBooth, arXiv 2208.12242, section 4).

    The words are those that describe the picture: of a subject, its class noun without the
    identifier, which no text encoder of a judge has a meaning for.
    """
    return float(agreement(judge, pictures, prompt).mean())


def pres(judge: Embedder, class_pictures: Pictures, real: Pictures) -> float:
    """PRES: mean over p and r of e(p)·e(r), p painted for the *class* prompt; lower is better.

    Prior preservation metric of DreamBooth (arXiv 2208.12242, section 4.3): how far "a photo of a
    dog" has turned into this one dog. What it is before any training depends on the subject, so
    look at ``pres_change``.
    """
    return float(likeness(judge, class_pictures, real).mean())


def pres_change(
    judge: Embedder, class_pictures: Pictures, base_pictures: Pictures, real: Pictures
) -> float:
    """PRES with the adapter minus PRES of the base, same prompts and seeds."""
    _paired(class_pictures, base_pictures)
    return pres(judge, class_pictures, real) - pres(judge, base_pictures, real)


def drifts(judge: Embedder, tuned: Pictures, base: Pictures) -> np.ndarray:
    """(1 - e(tuned)·e(base)) / 2 of each pair (N,), 0 (same) to 1 (opposite).

    ``tuned[k]`` and ``base[k]`` are painted for one prompt from one seed.
    """
    _paired(tuned, base)
    products = (vectors(judge, tuned) * vectors(judge, base)).sum(1)
    return (1 - products) / 2


def language_drift(judge: Embedder, tuned: Pictures, base: Pictures) -> float:
    """Mean drift of pictures for prompts *without* the subject, adapter on against off.

    The "drift" of peft's method comparison for image generation, there with DINOv2. Take the class
    prompt and prompts of other classes apart: the class moves first.
    """
    return float(drifts(judge, tuned, base).mean())


def agreement_change(judge: Matcher, tuned: Pictures, base: Pictures, prompt: str) -> float:
    """Prompt fidelity with the adapter minus that of the base: do the words still mean the same?

    Language drift as DreamBooth describes it (section 3.2), in CLIP-T; below 0 meaning was lost.
    """
    _paired(tuned, base)
    return prompt_fidelity(judge, tuned, prompt) - prompt_fidelity(judge, base, prompt)


def expected_best(scores: np.ndarray, count: int) -> np.ndarray:
    """Expected largest of ``count`` scores drawn from each row without replacement: (N, M) to (N,).

    The mean over all subsets, from order statistics: sum over i of x_(i) C(i-1, count-1) / C(M,
    count). Lets the best of 16 be compared with the best of 6, which would win less often by its
    number alone.
    """
    many = scores.shape[1]
    if not 1 <= count <= many:
        raise ExperimentError(f"{count} of {many} pictures cannot be drawn", "", "draw 1 or more")
    weights = np.array([comb(i, count - 1) for i in range(many)]) / comb(many, count)
    return np.sort(scores, 1) @ weights


def nearest_gaps(
    judge: Embedder, generated: Pictures, training: Pictures, heldout: Pictures
) -> np.ndarray:
    """Of each picture (N,): cosine with the nearest training minus nearest held-out picture.

    Where there are more of one than of the other, the nearest of equally many is compared.
    """
    seen, unseen = cosines(judge, generated, training), cosines(judge, generated, heldout)
    count = min(seen.shape[1], unseen.shape[1])
    return expected_best(seen, count) - expected_best(unseen, count)


def memorisation_gap(
    judge: Embedder, generated: Pictures, training: Pictures, heldout: Pictures
) -> float:
    """Mean of max over training r of e(g)·e(r) minus the same over held-out r.

    About 0 for a model that knows the subject, and rising once it repeats its training pictures:
    the nearest-neighbour gap that goes with every statement on likeness.
    """
    return float(nearest_gaps(judge, generated, training, heldout).mean())


def identified(
    judge: Embedder, generated: Pictures, heldout: Pictures, others: Sequence[Pictures]
) -> np.ndarray:
    """1 for each picture (N,) that is more like its subject than like any of ``others``, else 0.

    ``heldout`` are real pictures of the subject, ``others`` real ones of each other subject.
    Raises ``ExperimentError`` without others: nothing could be mistaken.
    """
    require(others, "other subjects")
    rivals = np.max([likeness(judge, generated, some) for some in others], 0)
    return (likeness(judge, generated, heldout) > rivals).astype(np.float64)


def identification_rate(
    judge: Embedder, generated: Pictures, heldout: Pictures, others: Sequence[Pictures]
) -> float:
    """Share of pictures for which the subject ranks first, 0 to 1: closed-set identification at
    rank 1 (ISO/IEC 19795-1).

    Where subjects resemble each other, likeness to one comes with likeness to the other and cannot
    tell whose turn it was; this can. With two subjects, chance is about one half.
    """
    return float(identified(judge, generated, heldout, others).mean())


def attribute_hits(reader: Reader, pictures: Pictures, label: str, expected: str) -> np.ndarray:
    """1 for each picture (N,) in which the judge reads ``expected``, else 0.

    Raises ``ExperimentError`` for a label that the judge does not read.
    """
    require(pictures, "pictures")
    read = reader.read(pictures)
    if label not in read:
        raise ExperimentError(
            f"the judge reads no label {label!r}", "", f"it reads {', '.join(sorted(read))}"
        )
    return np.array([value == expected for value in read[label]], np.float64)


def attribute_accuracy(reader: Reader, pictures: Pictures, label: str, expected: str) -> float:
    """Share of pictures, 0 to 1, in which the judge reads what the prompt asked for."""
    return float(attribute_hits(reader, pictures, label, expected).mean())


def _paired(tuned: Pictures, base: Pictures) -> None:
    if len(tuned) != len(base):
        raise ExperimentError(
            "pictures with and without the adapter do not pair up",
            f"there are {len(tuned)} and {len(base)}",
            "paint both for the same prompts and seeds",
        )
