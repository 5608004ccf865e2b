"""A plugin of botocore: every client of this process writes down what it sends."""

import os
from pathlib import Path

from helpers.local.recorder import append_to, record


def initialize_client_plugin(client):
    record(client.meta.events, append_to(Path(os.environ["REHEARSAL_REQUESTS"])))
