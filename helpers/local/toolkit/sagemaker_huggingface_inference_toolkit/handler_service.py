"""How the toolkit calls a model's functions, and what the model server makes of the outcome."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_worker.loop import Reply

from . import content_types, decoder_encoder
from .context import Context, RequestProcessor

_CONTENT_TYPE = re.compile(r"[Cc]ontent-?[Tt]ype")


class HuggingFaceHandlerService:
    """One model: its functions, or the toolkit's own where it has none.

    Each function may take the context as one argument more. ``transform_fn`` does the work of
    ``input_fn``, ``predict_fn`` and ``output_fn`` and cannot stand beside any of them.
    """

    def __init__(self, model_dir: Path, program: str) -> None:
        self._program = program
        self.context = Context(model_dir)
        self.model: Any = None

    def initialize(self) -> None:
        """Import the model's module and load the model. Raises whatever either raises."""
        user = _user_module(self._program)
        steps = [getattr(user, name, None) for name in ("input_fn", "predict_fn", "output_fn")]
        transform = getattr(user, "transform_fn", None)
        if transform and any(steps):
            raise ValueError(
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, "
                "and/or output_fn implementation"
            )
        load = getattr(user, "model_fn", None)
        if load is None:
            raise ValueError(
                f"{self._program} has no model_fn. In its own container the toolkit would build a "
                "pipeline by itself; here it does not."
            )
        load = self._with_context(load, 1)
        self._preprocess = self._with_context(steps[0] or decoder_encoder.decode, 2)
        self._predict = self._with_context(steps[1] or _call_model, 2)
        self._postprocess = self._with_context(steps[2] or decoder_encoder.encode, 2)
        self._transform = self._with_context(transform, 4) if transform else self._in_steps
        self.model = load(self.context.system_properties["model_dir"])

    def handle(self, headers: dict[str, str], body: bytes) -> Reply:
        """Answer one request. An exception of any kind is the caller's error: 400 and its text."""
        request = RequestProcessor(headers)
        self.context.request_processor = [request]
        try:
            kind = next((headers[name] for name in headers if _CONTENT_TYPE.match(name)), None)
            accept = headers.get("Accept") or headers.get("accept")
            if not accept or accept == content_types.ANY:
                accept = content_types.JSON
            data = body.decode("utf-8") if kind in content_types.UTF8_TYPES else body
            answer = self._transform(self.model, data, kind, accept)
            self.context.set_response_content_type(0, accept)
        except Exception as trouble:
            traceback.print_exc()
            return refusal(400, str(trouble))
        try:
            payload = _bytes(answer)
        except TypeError:
            traceback.print_exc()
            return refusal(503, "Unsupported model output data type.")
        said = {"content-type": request.content_type or ""}
        return Reply(code=request.status, message="OK", properties=said, body=payload)

    def _in_steps(self, model: Any, data: Any, content_type: str | None, accept: str) -> Any:
        return self._postprocess(self._predict(self._preprocess(data, content_type), model), accept)

    def _with_context(self, function: Callable[..., Any], arguments: int) -> Callable[..., Any]:
        """``function`` of that many arguments, or of one more: then the context is the last."""
        takes = len(inspect.signature(function).parameters)
        if takes == arguments:
            return function
        if takes == arguments + 1:
            return lambda *given: function(*given, self.context)
        raise TypeError(
            f"{function.__name__} definition takes {arguments} or {arguments + 1} arguments "
            f"but {takes} were given."
        )


def refusal(code: int, message: str) -> Reply:
    """An error as the model server writes it, whatever its code."""
    said = {"code": code, "type": "InternalServerException", "message": message}
    return Reply(
        code=code,
        message=message.partition("\n")[0],
        properties={"content-type": "application/json"},
        body=(json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode(),
    )


def _user_module(program: str) -> Any:
    name = program.removesuffix(".py")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"There is no code/{program} in the model archive.")
    return importlib.import_module(name)


def _call_model(data: dict[str, Any], model: Callable[..., Any]) -> Any:
    inputs = data.pop("inputs", data)
    return model(inputs, **(data.pop("parameters", None) or {}))


def _bytes(answer: Any) -> bytes:
    if isinstance(answer, str):
        return answer.encode("utf-8")
    if isinstance(answer, (bytes, bytearray)):
        return bytes(answer)
    return json.dumps(answer, indent=2).encode("utf-8")
