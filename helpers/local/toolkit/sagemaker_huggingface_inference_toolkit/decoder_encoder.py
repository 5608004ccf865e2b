"""The toolkit's own ``input_fn`` and ``output_fn``: what each content type becomes."""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
from collections.abc import Callable
from typing import Any

from . import content_types


class PredictionException(Exception):
    """The model server's own exception; its text ends in the code, as the server's does."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        self.message, self.error_code = message, error_code
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


class UnsupportedFormatError(Exception):
    def __init__(self, content_type: str | None) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework. "
            "Implement input_fn to read the request, or output_fn to write the response."
        )


def decode(content: Any, content_type: str | None = content_types.JSON) -> Any:
    """The body of a request as ``predict_fn`` gets it. A header with parameters
    (``application/json; charset=utf-8``) is not taken apart: the toolkit does not either."""
    return _choose(_decoders(), content_type, content)


def encode(content: Any, content_type: str | None = content_types.JSON) -> Any:
    """What ``predict_fn`` returned as the body of a response."""
    return _choose(_ENCODERS, content_type, content)


def _choose(table: dict[str, Callable[[Any], Any]], content_type: str | None, content: Any) -> Any:
    try:
        return table[content_type or ""](content)
    except KeyError:  # also one from inside: the toolkit looks no closer
        raise UnsupportedFormatError(content_type) from None


def _from_csv(text: str) -> dict[str, list[Any]]:
    header = text.splitlines()[0].lower()
    if not any(name in header for name in ("question", "context", "inputs")):
        raise PredictionException(
            "The CSV needs a header line with a column inputs, question or context.", 400
        )
    rows = list(csv.DictReader(io.StringIO(text)))
    if "inputs" in rows[0]:
        return {"inputs": [row["inputs"] for row in rows]}
    return {"inputs": rows}


def _from_npy(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _from_image(data: bytes) -> dict[str, Any]:
    from PIL import Image

    return {"inputs": Image.open(io.BytesIO(data)).convert("RGB")}


def _from_audio(data: bytes) -> dict[str, bytes]:
    return {"inputs": bytes(data)}


def _to_json(content: Any) -> str:
    return json.dumps(
        content, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":")
    )


def _plain(value: Any) -> Any:
    """What JSON cannot say by itself: arrays and their numbers, times, pictures (PNG, base64)."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return str(value)
    if hasattr(value, "save") and hasattr(value, "getbands"):  # a Pillow picture, not imported
        buffer = io.BytesIO()
        value.save(buffer, format="PNG")
        return base64.b64encode(buffer.getvalue()).decode("ascii")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _to_csv(content: Any) -> str:
    rows = list(content)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _to_npy(content: Any) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, content, allow_pickle=False)
    return buffer.getvalue()


def _decoders() -> dict[str, Callable[[Any], Any]]:
    return {
        content_types.JSON: json.loads,
        content_types.CSV: _from_csv,
        content_types.NPY: _from_npy,
        **dict.fromkeys(content_types.IMAGE_TYPES, _from_image),
        **dict.fromkeys(content_types.AUDIO_TYPES, _from_audio),
    }


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    content_types.JSON: _to_json,
    content_types.CSV: _to_csv,
    content_types.NPY: _to_npy,
}
