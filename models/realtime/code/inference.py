"""The door of the real-time container: its toolkit calls these two functions; helpers do the work.

``model_fn`` runs once, when the container starts, and ``predict_fn`` for every request, with what
the toolkit made of its JSON. What they raise reaches the caller as HTTP 400 with the error's text.
"""

import os
from pathlib import Path

from helpers.startup import check_start_up, import_libraries


def model_fn(model_dir):
    print(check_start_up(Path(__file__).with_name("requirements.txt")), flush=True)
    import_libraries()
    from helpers.hosting.real_time import RealTimePainter

    painter = RealTimePainter(Path(model_dir), safety=os.environ.get("OPTION_SAFETY_CHECKER", ""))
    print(painter.describe(), flush=True)
    return painter


def predict_fn(data, model):
    return model.answer(data)
