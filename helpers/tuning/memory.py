"""What fine-tuning keeps in a GPU's memory, by arithmetic: parameters times bytes.

Activations come on top; they grow with the pictures of a pass, of which prior preservation has
twice as many. They were not measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.cloud.instances import INSTANCES, Instance
from helpers.tables import Table

UNET, TEXT_ENCODER, VAE = 865_910_724, 340_387_840, 83_653_863
"""Parameters of Stable Diffusion 2.1's networks."""
ADAPTER = 3_300_000
"""Of rank 16 on q, k, v and out of its U-Net, about."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train. Bytes of each trained parameter: weight, gradient, the optimizer's two."""

    name: str
    trained: int
    each: int
    frozen: int

    @property
    def gb(self) -> float:
        """Gigabytes before the first picture; what is frozen is kept in half precision."""
        return (self.trained * self.each + self.frozen * 2) / 1e9


WAYS = (
    Way(name="whole U-Net, AdamW (16 bytes a weight)", trained=UNET, each=16,
        frozen=TEXT_ENCODER + VAE),
    Way(name="whole U-Net, 8-bit AdamW (10 bytes)", trained=UNET, each=10,
        frozen=TEXT_ENCODER + VAE),
    Way(name="LoRA of rank 16", trained=ADAPTER, each=16, frozen=UNET + TEXT_ENCODER + VAE),
)  # fmt: skip


def left(way: Way, instance: Instance) -> float:
    """Gigabytes of its one GPU that are left for activations."""
    return instance.gpu_memory * 1024**3 / 1e9 - way.gb


def memory_table(types: Sequence[str] = ("ml.g4dn.2xlarge", "ml.g5.2xlarge")) -> Table:
    """What each way keeps, and what is left for pictures on the GPUs of these instances."""
    instances = [INSTANCES[name] for name in types]
    return Table(
        head=("Stable Diffusion 2.1", "keeps", *(f"left on {one.type}" for one in instances)),
        rows=[
            (way.name, f"{way.gb:.1f} GB", *(f"{left(way, one):.1f} GB" for one in instances))
            for way in WAYS
        ],
        notes=["Arithmetic, not a measurement: what a driver and fragments take is not in it."],
    )
