"""Answers to the exercises of `notebooks/07_the_jumpstart_way.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from helpers.tuning.jumpstart import read_hyperparameters, steps_of
from helpers.ui.lab import start

lab = start("07_the_jumpstart_way")


# %% ex-1
def channel(address):
    return address.rstrip("/") + "/"
    # S3 has no folders, only keys that begin alike. The slash makes one a folder.


# %% ex-1 mistake
def channel(address):
    return address + "/"  # an address that had one already now matches nothing


# %% ex-2
import math


def steps_in(images, class_images, epochs, batch):
    return epochs * math.ceil(max(images, class_images) / batch)
    # Class images set the length of an epoch as soon as there are more of them than photos.


# %% ex-2 mistake
def steps_in(images, class_images, epochs, batch):
    return epochs * max(images, class_images) // batch  # the short batch at the end is a step, too


# %% ex-3
def twice(at, every):
    return at % every if every else at
    # A checkpoint costs time as well: write one about as often as you can bear to lose.


# %% ex-3 mistake
def twice(at, every):
    return at % every  # without checkpoints: ZeroDivisionError
