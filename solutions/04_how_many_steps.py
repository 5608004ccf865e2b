"""Answers to the exercises of `notebooks/04_how_many_steps.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
import numpy as np

from helpers.ui.lab import start

lab = start("04_how_many_steps")


# %% ex-1
def ends_at(losses, patience):
    best = 0
    for place, loss in enumerate(losses):
        if loss < losses[best]:
            best = place
        elif place - best == patience:
            break
    return place, best
    # The adapter that is kept is the one of `best`. Too little patience stops at the first wobble.


# %% ex-1 mistake
def ends_at(losses, patience):
    rises = 0
    for place in range(1, len(losses)):
        rises = rises + 1 if losses[place] > losses[place - 1] else 0
        if rises == patience:
            break
    return place, losses.index(min(losses))
    # Compared with the measurement before instead of the best: 3.5 and then 3.4 looks like hope.


# %% ex-2
def fidelity(painted, real):
    painted, real = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (painted, real))
    return (painted @ real.T).mean()


# %% ex-2 mistake
def fidelity(painted, real):
    return (painted @ real.T).mean()  # a long vector would be more alike than the picture itself


# %% ex-3
def soonest(rows):
    _, low, _ = max(rows, key=lambda row: row[1] + row[2])
    return next(step for step, _, high in rows if high >= low)
    # "Not told apart" is not "the same": with more pictures the bars shrink, and the step may move.


# %% ex-3 mistake
def soonest(rows):
    return max(rows, key=lambda row: row[1] + row[2])[0]  # the best, whatever it cost
