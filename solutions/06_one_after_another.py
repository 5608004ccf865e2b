"""Answers to the exercises of `notebooks/06_one_after_another.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
import numpy as np

from helpers.ui.lab import start

lab = start("06_one_after_another")


# %% ex-1
def forgotten(scores):
    return [scores[j][j] - scores[-1][j] for j in range(len(scores) - 1)]
    # The last subject has had no lesson after its own, so there is nothing it could have lost to.


# %% ex-1 mistake
def forgotten(scores):
    return [scores[0][j] - scores[-1][j] for j in range(len(scores) - 1)]
    # After the first lesson the second subject was not known yet.


# %% ex-2
def put_on(weights, up, down, scale=1.0):
    return weights + scale * up @ down
    # Taking an adapter off by subtracting leaves rounding errors. The course keeps the base's
    # weights and never subtracts, and so its swapped pictures are the same to the last bit.


# %% ex-2 mistake
def put_on(weights, up, down, scale=1.0):
    weights += scale * up @ down  # the base itself has changed, for every other adapter too
    return weights


# %% ex-3
def chance(value, shuffled):
    as_much = sum(one >= value for one in shuffled)
    return (1 + as_much) / (1 + len(shuffled))


# %% ex-3 mistake
def chance(value, shuffled):
    return sum(one >= value for one in shuffled) / len(shuffled)  # 0 of 99 is not "impossible"
