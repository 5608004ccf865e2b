"""The model that the tests deploy: what it does follows from the request's ``do``."""

import json
import os
import signal
import subprocess
import sys
import time

from djl_python import Input, Output

import helpers

options = {}


def handle(inputs: Input):
    if inputs.is_empty():
        options.update(inputs.get_properties())
        return None
    asked = inputs.get_as_json()
    print("asked to", asked["do"])
    return {
        "echo": echo, "fail": fail, "forget": forget, "sleep": sleep, "kill": kill, "leave": leave,
        "nothing": nothing, "text": text, "see": see, "orphan": orphan, "much": much, "mark": mark,
    }[asked["do"]](inputs, asked)  # fmt: skip


def echo(inputs, asked):
    return Output().add_as_json({"pid": os.getpid(), **asked})


def fail(inputs, asked):
    raise ValueError("the photos are blurred")


def forget(inputs, asked):
    raise MemoryError("no room for the model")


def sleep(inputs, asked):
    began = time.time()
    time.sleep(asked["seconds"])
    return Output().add_as_json({"pid": os.getpid(), "began": began, "ended": time.time()})


def mark(inputs, asked):
    with open(asked["file"], "a", buffering=1) as file:
        print(f"begin-{asked['job']}", file=file)
        while asked["until"] and not os.path.exists(asked["until"]):
            time.sleep(0.05)
        print(f"end-{asked['job']}", file=file)
    return Output().add_as_json(asked)


def kill(inputs, asked):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(inputs, asked):
    sys.exit("enough")


def nothing(inputs, asked):
    return None


def text(inputs, asked):
    return "not an Output"


def much(inputs, asked):
    return Output().add(b"x" * asked["bytes"])


def see(inputs, asked):
    return Output().add_as_json(
        {
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "options": options,
            "headers": inputs.get_properties(),
            "helpers": helpers.WHOSE,
            "path": sys.path,
        }
    )


def orphan(inputs, asked):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(json.dumps({"child": child.pid}))
    time.sleep(asked["seconds"])
    return Output().add_as_json({"child": child.pid})
