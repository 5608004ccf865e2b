"""Prices written down by hand: US dollars an hour, on demand, by region and instance type.

Not verified against AWS. The United States' figures agree with public copies of AWS's price list
from 2026 (there hosting, training and notebooks of these types cost the same); those of the other
regions are from memory. A number counts for every use; ``{"hosting": …, "training": …}`` would tell
them apart. Storage, requests and messages of the course cost cents and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

DATE = "2026-11"
HOME = "us-east-1"
"""Whose price stands in, and is named, where a region has none of its own."""

Prices = Mapping[str, Mapping[str, float | Mapping[str, float]]]

_UNITED_STATES = {
    "ml.t2.medium": 0.056,
    "ml.t3.medium": 0.05,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.c5.xlarge": 0.204,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g6.xlarge": 1.1267,
    "ml.g6.2xlarge": 1.222,
    "ml.g6e.xlarge": 2.6054,
    "ml.g6e.2xlarge": 2.80,
    "ml.p3.2xlarge": 3.825,
}

PRICES: Prices = {
    "us-east-1": _UNITED_STATES,
    "us-east-2": _UNITED_STATES,
    "us-west-2": _UNITED_STATES,
    "eu-west-1": {
        "ml.t3.medium": 0.055,
        "ml.m5.large": 0.128,
        "ml.m5.xlarge": 0.257,
        "ml.c5.xlarge": 0.23,
        "ml.g4dn.xlarge": 0.822,
        "ml.g4dn.2xlarge": 1.048,
        "ml.g5.xlarge": 1.572,
        "ml.g5.2xlarge": 1.691,
        "ml.g5.4xlarge": 2.266,
        "ml.p3.2xlarge": 4.131,
    },
    "eu-central-1": {
        "ml.t3.medium": 0.058,
        "ml.m5.large": 0.138,
        "ml.m5.xlarge": 0.276,
        "ml.c5.xlarge": 0.233,
        "ml.g4dn.xlarge": 0.921,
        "ml.g4dn.2xlarge": 1.175,
        "ml.g5.xlarge": 1.761,
        "ml.g5.2xlarge": 1.895,
        "ml.g5.4xlarge": 2.54,
        "ml.p3.2xlarge": 4.779,
    },
    "ap-northeast-1": {
        "ml.t3.medium": 0.065,
        "ml.m5.large": 0.149,
        "ml.m5.xlarge": 0.298,
        "ml.c5.xlarge": 0.257,
        "ml.g4dn.xlarge": 0.994,
        "ml.g4dn.2xlarge": 1.269,
        "ml.g5.xlarge": 2.043,
        "ml.g5.2xlarge": 2.197,
        "ml.g5.4xlarge": 2.945,
        "ml.p3.2xlarge": 5.242,
    },
}
