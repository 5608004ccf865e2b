"""Stands for the fine-tuning container: a trainer in a process of its own, then an adapter in
staging. What is tried is everything around it."""

import os
import subprocess
import sys

import boto3
from djl_python import Output

told = {}


def handle(inputs):
    if inputs.is_empty():
        told.update(inputs.get_properties())
        return None
    asked = inputs.get_as_json()
    trainer = [sys.executable, "-c", "import time; time.sleep(0.3)", "chaos-trainer"]
    if code := subprocess.run(trainer).returncode:
        raise RuntimeError(f"the trainer ended with {code}")
    key = f"{asked['staging']}/{asked['id']}/adapter.tar.gz"
    adapter = os.path.join(told["model_dir"], f"adapter-{asked['adapter']}.tar.gz")
    boto3.client("s3").upload_file(adapter, asked["bucket"], key)
    return Output().add_as_json({"status": "completed", "adapter": f"s3://{asked['bucket']}/{key}"})
