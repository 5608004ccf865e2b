"""The stand-in's requests and answers: V2 JSON, and JSON with the tensors' bytes behind it.

In binary mode the content type tells where the JSON ends
(``application/vnd.sagemaker-triton.binary+json;json-header-size=N``), a tensor's
``binary_data_size`` how many of the bytes behind it are its own, and each text has its length
before it, four bytes, little endian.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from helpers.local.standin_models import ModelFailure, Tensor

BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="
_BAD = "failed to parse the request JSON buffer"


def read_tensors(body: bytes, content_type: str) -> tuple[dict[str, Tensor], set[str]]:
    """The inputs, and the names of the outputs that are wanted in binary.

    Raises ``ModelFailure`` with Triton's words.
    """
    end = len(body)
    if content_type.startswith(BINARY.partition(";")[0]):
        size = re.search(r"json-header-size=(\d+)", content_type)
        if size is None or int(size[1]) > len(body):
            raise ModelFailure("unable to parse the JSON header size")
        end = int(size[1])
    try:
        asked, rest = json.loads(body[:end]), body[end:]
        tensors = {}
        for one in asked["inputs"]:
            if one["datatype"] != "BYTES":
                raise ModelFailure(f"unexpected datatype for input '{one['name']}'")
            own = one.get("parameters", {}).get("binary_data_size")
            if own is None:
                texts = [text.encode("utf-8") for text in _flat(one["data"])]
            else:
                texts, rest = _texts(rest[:own]), rest[own:]
            values = np.array(texts, dtype=object)
            tensors[one["name"]] = Tensor(one["name"], values.reshape(one["shape"]))
        wanted = {
            one["name"]
            for one in asked.get("outputs", [])
            if one.get("parameters", {}).get("binary_data")
        }
        return tensors, wanted
    except ModelFailure:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFailure(_BAD) from error


def write_answer(name: str, tensors: list[Tensor], binary: set[str]) -> tuple[bytes, str]:
    """Body and content type of an answer by the model ``name``."""
    outputs, behind = [], b""
    for tensor in tensors:
        values = tensor.as_numpy()
        raw = [v if isinstance(v, bytes) else str(v).encode("utf-8") for v in values.ravel()]
        told: dict[str, Any] = {
            "name": tensor.name(), "datatype": "BYTES", "shape": list(values.shape)
        }  # fmt: skip
        if tensor.name() in binary:
            own = b"".join(len(one).to_bytes(4, "little") + one for one in raw)
            told["parameters"], behind = {"binary_data_size": len(own)}, behind + own
        else:
            told["data"] = [one.decode("utf-8") for one in raw]
        outputs.append(told)
    said = {"model_name": name, "model_version": "1", "outputs": outputs}
    head = json.dumps(said).encode("utf-8")
    return head + behind, f"{BINARY}{len(head)}" if behind else "application/json"


def _flat(data: Any) -> list[Any]:
    return [text for part in data for text in (_flat(part) if isinstance(part, list) else [part])]


def _texts(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 + size:
            raise ModelFailure("incomplete bytes of a text")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found
