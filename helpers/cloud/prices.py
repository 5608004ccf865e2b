"""What an instance costs: a small table for the types that the course names.

US dollars per hour for real-time and asynchronous hosting in us-east-1, on demand, written down in
November 2026; other regions and days differ, so a sum made with it is an estimate. Storage,
requests and messages of the course cost cents and are left out.
"""

from __future__ import annotations

DATE, REGION = "2026-11", "us-east-1"

PER_HOUR = {
    "ml.t2.medium": 0.056,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.c5.xlarge": 0.204,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 1.0528,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g6.xlarge": 1.1267,
    "ml.g6e.xlarge": 2.6054,
    "ml.p3.2xlarge": 3.825,
}


def price_per_hour(instance_type: str, count: int = 1) -> float:
    """Dollars an hour; 0.0 for a type that the table does not know."""
    return PER_HOUR.get(instance_type, 0.0) * count


def has_gpu(instance_type: str) -> bool:
    """Whether the family carries NVIDIA GPUs (``ml.g…`` and ``ml.p…``)."""
    return instance_type.startswith(("ml.g", "ml.p"))
