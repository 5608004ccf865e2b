"""The instance types that the course names, and what each of them can run."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from helpers.cloud.images import MULTI_MODEL_FAMILIES, TURING_AND_LATER


@dataclass(frozen=True)
class Instance:
    """One type. Memory in GiB; ``gpu_memory`` is that of its one GPU, 0 where it has none."""

    type: str
    vcpus: int
    memory: float
    gpu: str = ""
    gpu_memory: float = 0

    @property
    def family(self) -> str:
        return self.type.split(".")[1]

    @property
    def multi_model(self) -> bool:
        """Whether a multi-model endpoint may use its GPU."""
        return self.family in MULTI_MODEL_FAMILIES

    @property
    def cuda_13(self) -> bool:
        """Whether containers built for CUDA 13 run on its GPU: not on the V100 of p3."""
        return self.family in TURING_AND_LATER


INSTANCES = MappingProxyType(
    {
        instance.type: instance
        for instance in (
            Instance("ml.t2.medium", 2, 4),
            Instance("ml.t3.medium", 2, 4),
            Instance("ml.m5.large", 2, 8),
            Instance("ml.m5.xlarge", 4, 16),
            Instance("ml.c5.xlarge", 4, 8),
            Instance("ml.g4dn.xlarge", 4, 16, "T4", 16),
            Instance("ml.g4dn.2xlarge", 8, 32, "T4", 16),
            Instance("ml.g5.xlarge", 4, 16, "A10G", 24),
            Instance("ml.g5.2xlarge", 8, 32, "A10G", 24),
            Instance("ml.g5.4xlarge", 16, 64, "A10G", 24),
            Instance("ml.g6.xlarge", 4, 16, "L4", 24),
            Instance("ml.g6.2xlarge", 8, 32, "L4", 24),
            Instance("ml.g6e.xlarge", 4, 32, "L40S", 48),
            Instance("ml.g6e.2xlarge", 8, 64, "L40S", 48),
            Instance("ml.p3.2xlarge", 8, 61, "V100", 16),
        )
    }
)
"""By type; sizes as EC2 describes them (from memory, 2026-11, not verified)."""


def has_gpu(instance_type: str) -> bool:
    """Whether the family carries NVIDIA GPUs (``ml.g…`` and ``ml.p…``)."""
    return instance_type.startswith(("ml.g", "ml.p"))
