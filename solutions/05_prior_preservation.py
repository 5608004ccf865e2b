"""Answers to the exercises of `notebooks/05_prior_preservation.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from math import sqrt
from statistics import mean, stdev

from helpers.ui.lab import start

lab = start("05_prior_preservation")


# %% ex-1
def to_paint(brought, least):
    return max(0, least - brought)


# %% ex-1 mistake
def to_paint(brought, least):
    return least - brought  # with twenty brought, minus eight


# %% ex-2
def dreambooth_loss(subject, classes, weight):
    return mean(subject) + weight * mean(classes)
    # With weight 0 the class images are still in the batch, and preserve nothing: that was the
    # control of this notebook.


# %% ex-2 mistake
def dreambooth_loss(subject, classes, weight):
    return mean([*subject, *(weight * one for one in classes)])  # the longer list speaks louder


# %% ex-3
def paired(on, off):
    changes = [one - other for one, other in zip(on, off, strict=True)]
    return mean(changes), stdev(changes) / sqrt(len(changes))
    # Pictures differ more from each other than the training changed them. What two pictures of one
    # noise have in common falls out of their difference, and the bar gets short.


# %% ex-3 mistake
def paired(on, off):
    return mean(on) - mean(off), sqrt((stdev(on) ** 2 + stdev(off) ** 2) / len(on))
    # Right for two groups of strangers. Here it throws away that the noise was the same.
