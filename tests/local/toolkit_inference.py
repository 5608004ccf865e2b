"""The ``code/inference.py`` that the tests deploy; the request's ``do`` says what it does."""

import os
import signal
import sys
import time

import helpers


def model_fn(model_dir):
    print("loading from", os.listdir(model_dir))
    return {"folder": model_dir, "loaded": time.time()}


def predict_fn(data, model):
    if not isinstance(data, dict):
        return data
    return {
        "echo": echo, "fail": fail, "memory": memory, "kill": kill, "leave": leave,
        "sleep": sleep, "much": much, "see": see, "odd": odd,
    }[data.get("do", "echo")](data, model)  # fmt: skip


def echo(data, model):
    return {"pid": os.getpid(), **data}


def fail(data, model):
    raise ValueError("boom: k")


def memory(data, model):
    raise MemoryError("no room for the picture")


def kill(data, model):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(data, model):
    sys.exit("enough")


def sleep(data, model):
    time.sleep(data["seconds"])
    return {"pid": os.getpid()}


def much(data, model):
    return "x" * data["bytes"]


def odd(data, model):
    return {"a", "set"}


def see(data, model):
    return {
        "model": model,
        "environment": dict(os.environ),
        "path": sys.path,
        "helpers": helpers.WHOSE,
        "threads": os.environ["OMP_NUM_THREADS"],
    }
