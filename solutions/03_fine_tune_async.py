"""Answers to the exercises of `notebooks/03_fine_tune_async.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
import json

from helpers.ui.lab import start

lab = start("03_fine_tune_async")


# %% ex-1
def told(body):
    # SNS puts our message as a text into an envelope of its own, so there are two layers of JSON.
    message = json.loads(json.loads(body)["Message"])
    if message["invocationStatus"] == "Failed":
        return "Failed", message["failureReason"]
    return message["invocationStatus"], message["responseParameters"]["outputLocation"]


# %% ex-1 mistake
def told(body):
    message = json.loads(json.loads(body)["Message"])
    return message["invocationStatus"], message["responseParameters"]["outputLocation"]
    # A failed message has no responseParameters: it breaks on the day when it is needed.


# %% ex-2
asked = {
    "n_steps": 300,
    "batch_size": 2,
    "with_prior_preservation": False,
    "heldout_images": 3,
}

# %% ex-2 mistake
asked = {**asked, "n_stepz": 300}  # refused by name, and the right one is suggested

# %% ex-3
from math import ceil


def room(jobs, minutes, instances, dollars_an_hour):
    wait = ceil(jobs / instances) * minutes
    # The work costs the same, however it is shared. What costs more are instances that wait for
    # the last round to end, and those that nobody needed.
    return wait, instances * wait / 60 * dollars_an_hour


# %% ex-3 mistake
def room(jobs, minutes, instances, dollars_an_hour):
    wait = jobs * minutes / instances  # a job cannot be cut in two
    return wait, instances * wait / 60 * dollars_an_hour
