"""Everything the course can refuse, in one tree.

    CourseError
    ├── SettingsError          an AVATAR_* setting is unknown or out of range
    ├── SetupError             this machine, or an environment on it, cannot run the course
    ├── PhotoError             a photo, or a whole set of photos, cannot be used
    ├── ArchiveError           a request, adapter or model archive is damaged or unsafe
    ├── ConfigError            a fine-tuning request names an unknown key or a wrong value
    ├── BaseModelError         a base model is missing, damaged or not the one asked for
    ├── TrainingError          a fine-tuning run ended without a usable adapter
    ├── AdapterError           an adapter is damaged or belongs to another base
    ├── GenerationError        a request for a picture asks for something out of range
    │   └── SafetyError        the endpoint's safety checker does not paint or hand out a picture
    ├── ExperimentError        an experiment cannot be run, or its numbers cannot be trusted
    ├── ServiceError           the local SageMaker, or one of its containers, is not there
    │   └── QuotaError         the account may not have that many instances, or cannot ask for more
    ├── JobError               an asynchronous job failed, expired or was lost
    └── CleanUpError           something could not be deleted and still exists

A message says what happened, why, and what to do next. It never repeats text that came from a
request for a picture: inside Triton the word "MUSHROOM" in an error reads as out of memory.
"""

from __future__ import annotations


class CourseError(Exception):
    """Root of the tree: catch this to catch everything the course raises on purpose.

    ``what`` happened, ``why``, and what to do ``next``; each is one sentence or less.
    """

    def __init__(self, what: str, why: str = "", next: str = "") -> None:
        self.what, self.why, self.next = what, why, next
        sentences = [_sentence(what, _begins_as_prose(what)), _sentence(why), _sentence(next)]
        super().__init__(" ".join(sentence for sentence in sentences if sentence))


def fit_to_print(text: object, longest: int = 60) -> str:
    """A stranger's word for a message: cut to ``longest`` characters, and what would turn the
    line round, hide in it or break it (RTL override, zero width, surrogates, control characters)
    written as an escape."""
    text = str(text)
    plain = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text[: longest + 1]
    )
    return plain if len(plain) <= longest and len(text) <= longest else f"{plain[: longest - 3]}..."


def _begins_as_prose(text: str) -> bool:
    """Whether a capital may be put: a message can also begin with the name of a key or a file."""
    return text.split(" ", 1)[0] in (
        "a",
        "an",
        "the",
        "this",
        "there",
        "it",
        "no",
        "not",
        "nothing",
    )


def _sentence(text: str, prose: bool = True) -> str:
    text = text.strip()
    if prose and text.split(" ", 1)[0].rstrip(".,:;!?").isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else text + "."


class SettingsError(CourseError):
    """An AVATAR_* setting is unknown or out of range."""


class SetupError(CourseError):
    """This machine, or an environment on it, cannot run the course."""


class PhotoError(CourseError):
    """A photo, or a whole set of photos, cannot be used."""


class ArchiveError(CourseError):
    """A request, adapter or model archive is damaged or unsafe."""


class ConfigError(CourseError):
    """A fine-tuning request names an unknown key or a wrong value."""


class BaseModelError(CourseError):
    """A base model is missing, damaged or not the one asked for."""


class TrainingError(CourseError):
    """A fine-tuning run ended without a usable adapter."""


class AdapterError(CourseError):
    """An adapter is damaged or belongs to another base."""


class GenerationError(CourseError):
    """A request for a picture asks for something out of range."""


class SafetyError(GenerationError):
    """The endpoint's safety checker does not paint, or does not hand out, a picture."""


class ExperimentError(CourseError):
    """An experiment cannot be run, or its numbers cannot be trusted."""


class ServiceError(CourseError):
    """The local SageMaker, or one of its containers, is not there."""


class QuotaError(ServiceError):
    """The account may not have that many instances, or cannot ask for more."""


class JobError(CourseError):
    """An asynchronous job failed, expired or was lost."""


class CleanUpError(CourseError):
    """Something could not be deleted and still exists."""
