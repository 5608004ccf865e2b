"""Controls: what would spoil an experiment without anybody noticing, tried on purpose.

    judge_control      does the judge know subjects apart better than one with shuffled labels?
    reader_control     the same for what it reads (class, setting, style, ...)
    held_out_control   are the held-out pictures really none of the training pictures?
    learned            is it more alike than an adapter that was never trained?
    idle               does an adapter that learned nothing gain nothing?

The last two look at a ``gain``. Each returns a ``Control``; ``require`` turns one that does not
hold into an ``ExperimentError``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from helpers.errors import ExperimentError
from helpers.experiments.intervals import Interval, bootstrap
from helpers.experiments.judges import Embedder, Pictures, Reader, require, vectors
from helpers.experiments.metrics import attribute_hits
from helpers.experiments.perceptual import pixel_distances
from helpers.experiments.similarity import SEEN, likeness

NO_GAIN = 0.02
"""Likeness within this of the base's, in cosines, is no gain."""
NEAR_COPY = 0.04
"""Pixel distance at or below which two pictures count as copies.

Of the shipped subjects, scaled, re-encoded and mirrored copies come to 0.01 at most, different
pictures of one subject to 0.057 at least. A crop that takes 2% off each edge comes to 0.03 to 0.07
and may pass: look at the pictures as well.
"""
SHUFFLES = 500
_RARELY = 0.01


@dataclass(frozen=True, kw_only=True)
class Control:
    """``value`` was measured, ``bound`` is what it had to pass; ``says`` puts it in words."""

    name: str
    holds: bool
    value: float
    bound: float
    says: str

    def require(self) -> Control:
        """Itself if it holds. Raises ``ExperimentError`` otherwise."""
        if not self.holds:
            raise ExperimentError(
                f"the control '{self.name}' failed",
                self.says,
                "take no number of this experiment at its word before that is put right",
            )
        return self


def judge_control(judge: Embedder, subjects: Mapping[str, Pictures], *, seed: int = 0) -> Control:
    """Pictures of one subject must lie nearer together than those of two.

    The separation (mean cosine within subjects minus mean cosine between them) is compared with
    what the same vectors give once the names are shuffled: a permutation test at 1%. Use real
    pictures of subjects of *one* class; a judge that only knows cats from dogs would pass else.
    Raises ``ExperimentError`` for fewer than two subjects or two pictures of one.
    """
    require(list(subjects), "subjects", least=2)
    for name, pictures in subjects.items():
        require(pictures, f"pictures of {name}", least=2)
    found = vectors(judge, [picture for some in subjects.values() for picture in some])
    owner = np.repeat(np.arange(len(subjects)), [len(some) for some in subjects.values()])
    products, pairs = found @ found.T, ~np.eye(len(found), dtype=bool)

    def separation(names: np.ndarray) -> float:
        same = names[:, None] == names[None]
        return float(products[same & pairs].mean() - products[~same].mean())

    return _against_shuffled("judge", "separation of subjects", separation, owner, seed)


def reader_control(
    reader: Reader, pictures: Pictures, label: str, truth: Sequence[str], *, seed: int = 0
) -> Control:
    """What the judge reads must be right more often than with the answers shuffled.

    ``truth`` is what each picture shows. A permutation test at 1%; raises ``ExperimentError`` if
    all pictures show the same, since any shuffling is then right as well.
    """
    require(pictures, "pictures", least=2)
    if len(set(truth)) < 2 or len(truth) != len(pictures):
        raise ExperimentError(
            "the truth cannot test the judge",
            "it must name two values or more, one for each picture",
        )
    values = sorted(set(truth))
    hits = np.stack([attribute_hits(reader, pictures, label, value) for value in values], 1)
    places = np.array([values.index(one) for one in truth])

    def accuracy(shown: np.ndarray) -> float:
        return float(hits[np.arange(len(shown)), shown].mean())

    return _against_shuffled("reader", f"share of {label} read right", accuracy, places, seed)


def held_out_control(training: Pictures, heldout: Pictures) -> Control:
    """No held-out picture may be a training picture, nor a scaled, mirrored or re-encoded copy.

    By a hash of the pixels, then by the pixel distance to the nearest training picture and its
    mirror image, which must be above ``NEAR_COPY``.
    """
    require(training, "training pictures")
    require(heldout, "held-out pictures")
    known = {_pixel_hash(picture) for picture in training}
    if same := sum(_pixel_hash(picture) in known for picture in heldout):
        return Control(
            name="held out",
            holds=False,
            value=0.0,
            bound=NEAR_COPY,
            says=f"{same} of {len(heldout)} held-out pictures are training pictures, to the pixel",
        )
    mirrored = [ImageOps.mirror(picture) for picture in training]
    nearest = pixel_distances(heldout, [*training, *mirrored]).min(1)
    copies = int((nearest <= NEAR_COPY).sum())
    return Control(
        name="held out",
        holds=not copies,
        value=float(nearest.min()),
        bound=NEAR_COPY,
        says=f"{copies} of {len(heldout)} held-out pictures are copies of training pictures; the "
        f"nearest has a distance of {nearest.min():.3f}, and {NEAR_COPY:g} or less is a copy",
    )


def gain(
    judge: Embedder, tuned: Sequence[Pictures], base: Sequence[Pictures], heldout: Pictures
) -> Interval:
    """Likeness with the adapter minus likeness without, picture by picture, with its interval.

    ``tuned[s][k]`` and ``base[s][k]`` are of one training seed s, one prompt and one noise.
    """
    if [len(some) for some in tuned] != [len(some) for some in base]:
        raise ExperimentError(
            "pictures with and without the adapter do not pair up",
            "",
            "paint both for the same prompts and seeds",
        )
    pairs = zip(tuned, base, strict=True)
    return bootstrap(
        [likeness(judge, some, heldout) - likeness(judge, other, heldout) for some, other in pairs]
    )


def learned(found: Interval) -> Control:
    """The whole interval of the gain over an untrained adapter of the same make must lie above
    ``SEEN``.

    Beside the bare base, a learned word would pass without learning: it begins as the name of the
    class.
    """
    return Control(
        name="learning",
        holds=found.low > SEEN,
        value=found.low,
        bound=SEEN,
        says=f"likeness beyond an untrained adapter's is {found}; an adapter that learned has more "
        f"than {SEEN:g} throughout",
    )


def idle(found: Interval) -> Control:
    """The whole interval of an *untrained* adapter's gain must lie within ``NO_GAIN`` of 0.

    That adapter has no learned words, which begin as the name of the class and bring up to 0.23.
    A gain without training comes from the protocol: other prompts, other noise, another base.
    """
    largest = max(abs(found.low), abs(found.high))
    return Control(
        name="untrained adapter",
        holds=largest <= NO_GAIN,
        value=largest,
        bound=NO_GAIN,
        says=f"an adapter without training shows a gain of {found}",
    )


def _against_shuffled(
    name: str, what: str, score: Callable[[np.ndarray], float], labels: np.ndarray, seed: int
) -> Control:
    rng = np.random.default_rng(seed)
    value = score(labels)
    shuffled = np.array([score(rng.permutation(labels)) for _ in range(SHUFFLES)])
    # The smallest p-value that this many shuffles can show is below 1%.
    chance = (1 + int((shuffled >= value).sum())) / (1 + SHUFFLES)
    bound = float(np.quantile(shuffled, 1 - _RARELY))
    return Control(
        name=name,
        holds=chance <= _RARELY,
        value=value,
        bound=bound,
        says=f"{what} is {value:.3f}, and shuffled labels reach as much in {chance:.1%} of cases "
        f"({bound:.3f} in 1%)",
    )


def _pixel_hash(picture: Image.Image) -> str:
    rgb = picture.convert("RGB")
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()
