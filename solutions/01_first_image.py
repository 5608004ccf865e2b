"""Answers to the exercises of `notebooks/01_first_image.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
from helpers.experiments.anatomy import open_pipeline, read_tokens
from helpers.ui.lab import start

lab = start("01_first_image")
base = lab.base
pipe = open_pipeline(base)

# %% ex-1
full = "a photo of a dog" + " dog" * 70
# 5 + 70 words of one token each; with the start and the end that makes 77.
assert read_tokens(pipe, full).read == 77

# %% ex-1 mistake
full = " dog" * 77  # the start and the end need room as well


# %% ex-2
def guided(with_words, without, scale):
    # "Classifier-free": the two answers of one network take the place of a classifier's gradient.
    return without + scale * (with_words - without)


# %% ex-2 mistake
def guided(with_words, without, scale):
    return scale * with_words - without  # at 1 it should be the words alone


# %% ex-3
wish = {
    "prompt": "a photo of a dog in the snow",
    "num_images_per_prompt": 2,
    "num_inference_steps": 20,
    "seed": 11,
}

# %% ex-3 mistake
wish = {**wish, "num_images_per_prompt": 1, "prompt": [wish["prompt"]] * 2}
# Two prompts get the same seeds, so that they can be compared: twice the same picture.
