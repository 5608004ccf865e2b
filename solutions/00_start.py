"""Answers to the exercises of `notebooks/00_start.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from helpers.cloud.costs import estimate
from helpers.cloud.quotas import QuotaBook
from helpers.ui.lab import start

lab = start("00_start")
cloud = lab.cloud

# %% ex-1
budget = 20.0
hours = budget // cloud.prices.price("ml.g5.2xlarge").per_hour
# Little more than half a day. An endpoint forgotten on Friday has spent it by Saturday morning.

# %% ex-1 mistake
hours = budget / cloud.prices.price("ml.g5.2xlarge").per_hour  # not whole

# %% ex-2
types = ["ml.g5.2xlarge", "ml.p4d.24xlarge", "ml.g4dn.xlarge", "ml.p2.xlarge"]
book = QuotaBook(cloud)
could_start = [one for one in types if book.quota(f"{one} for endpoint usage").applied]
# Both 0 and None count as no: the p4d has a quota of zero, the p2 is no longer sold at all.

# %% ex-2 mistake
could_start = [one for one in types if f"{one} for endpoint usage" in book.listed]
# A quota that is listed may still be zero.

# %% ex-3
agreed = lab.consent(subject="marlow", given_by="Marlow", purpose="a poster", days=7)

# %% ex-3 mistake
agreed = lab.consent(subject="marlow", given_by="Marlow", purpose="a poster")  # thirty days
