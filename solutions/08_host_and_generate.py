"""Answers to the exercises of `notebooks/08_host_and_generate.ipynb`.

Each cell takes the place of the notebook's cell of that name. The notebook's own checks accept it,
and refuse the mistake below it: `tests/notebooks/test_exercises.py` runs them all.
"""

# %% before
import base64
import io
import json

from PIL import Image

from helpers.ui.lab import start

lab = start("08_host_and_generate")


# %% ex-1
def request_body(prompt, seed):
    given = {"prompt": prompt, "gen_args": json.dumps({"seed": seed})}
    return json.dumps(
        {
            "inputs": [
                {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [text]}
                for name, text in given.items()
            ]
        }
    )
    # JSON in JSON: to Triton a tensor of text is a tensor of text, whatever the text says.


# %% ex-1 mistake
def request_body(prompt, seed):
    tensor = '{"name": "%s", "shape": [1, 1], "datatype": "BYTES", "data": ["%s"]}'
    return '{"inputs": [%s]}' % (tensor % ("prompt", prompt))
    # Glued together instead of written by json.dumps: a quotation mark breaks it. And no seed.


# %% ex-2
def opened(answer):
    (output,) = json.loads(answer)["outputs"]
    return Image.open(io.BytesIO(base64.b64decode(output["data"][0])))


# %% ex-2 mistake
def opened(answer):
    found = Image.open(io.BytesIO(base64.b64decode(json.loads(answer)["outputs"][0]["data"][0])))
    clean = Image.new("RGB", found.size)
    clean.paste(found)
    return clean  # the same pixels, and nothing that says they are generated


# %% ex-3
def that_fit(gpu, pipeline, stub, shm, region):
    if pipeline > gpu:
        return 0, 0
    return gpu // pipeline, min((gpu - pipeline) // stub, shm // region)
    # With adapters, memory of the GPU is no longer what runs out: a thousand of them would fit,
    # and /dev/shm is full after 64. Past that the endpoint evicts, and loads again on demand.


# %% ex-3 mistake
def that_fit(gpu, pipeline, stub, shm, region):
    return gpu // pipeline, gpu // stub  # the shared base takes room too, and so does /dev/shm
