"""Answers to the exercises of `notebooks/09_clean_up.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from helpers.ui.lab import start

lab = start("09_clean_up")


# %% ex-1
def create(write, make):
    write("planned")
    make()
    write("created")
    # If the machine dies in between, clean-up looks for a thing that may not be there. The other
    # way round, nobody would look for a thing that is.


# %% ex-1 mistake
def create(write, make):
    make()
    write("planned")
    write("created")


# %% ex-2
def to_remove(ledger, tagged, named, kept):
    return (ledger | tagged | named) - kept
    # Each witness forgets something: a ledger can be lost, tags come late, and not every name is
    # ours to choose.


# %% ex-2 mistake
def to_remove(ledger, tagged, named, kept):
    return (ledger & (tagged | named)) - kept  # waits for two witnesses, and believes neither


# %% ex-3
def dollars(price, made, removed, now):
    ended = now if removed is None else removed
    return price * (ended - made) / 3600


# %% ex-3 mistake
def dollars(price, made, removed, now):
    return price * ((removed or now) - made) / 3600  # 0 is a moment, not "still running"
