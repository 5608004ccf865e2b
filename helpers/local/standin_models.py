"""Models of the stand-in: Triton's Python backend, as far as the course's models use it.

``install`` puts a module named ``triton_python_backend_utils`` in place, so that the same
``model.py`` runs here and in Triton. All models live in this process, each with one instance that
serves one request at a time; a model reaches another by name (BLS).
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers.local.pbtxt import parse

_LOG = logging.getLogger(__name__)
_NUMBERS = itertools.count()


class ModelFailure(Exception):
    """What Triton answers as an error: refused input, or a model that raised."""


class Tensor:
    def __init__(self, name: str, values: Any) -> None:
        self._name, self._values = name, np.asarray(values)

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._values


class TritonError:
    def __init__(self, message: str, code: int = 0) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class TritonModelException(Exception):
    """Raised by ``load_model``, under Triton's own name."""


class InferenceResponse:
    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


@dataclass(frozen=True)
class Request:
    """What ``execute`` receives."""

    tensors: Mapping[str, Tensor]
    outputs: tuple[str, ...]

    def requested_output_names(self) -> list[str]:
        return list(self.outputs)

    def inputs(self) -> list[Tensor]:
        return list(self.tensors.values())


@dataclass
class Model:
    """One loaded model: its configuration, its object and the lock of its single instance."""

    name: str
    config: Mapping[str, list[Any]]
    instance: Any
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def outputs(self) -> list[str]:
        return [one["name"][0] for one in self.config.get("output", [])]

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise ``ModelFailure`` where Triton refuses inputs before the model sees them."""
        declared = {one["name"][0]: one for one in self.config.get("input", [])}
        if set(tensors) - set(declared):
            raise ModelFailure("unexpected inference input for the model")
        optional = [one for one in declared.values() if one.get("optional") == ["true"]]
        if len(tensors) < len(declared) - len(optional):  # Triton counts them, no more
            raise ModelFailure(f"expected {len(declared)} inputs but got {len(tensors)}")
        largest = int(self.config.get("max_batch_size", ["0"])[0])
        for name, tensor in tensors.items():
            shape = tensor.as_numpy().shape
            dims = [int(size) for size in declared[name]["dims"]]
            inner = shape[1:] if largest else shape
            if len(inner) != len(dims) or any(
                size not in (-1, got) for size, got in zip(dims, inner, strict=True)
            ):
                raise ModelFailure(f"unexpected shape for input '{name}'")
            if largest and shape[0] > largest:
                raise ModelFailure(f"inference request batch-size must be <= {largest}")

    def run(self, tensors: Mapping[str, Tensor], outputs: Sequence[str] = ()) -> InferenceResponse:
        self.check(tensors)
        request = Request(tensors, tuple(outputs) or tuple(self.outputs))
        with self.lock:
            try:
                (answer,) = self.instance.execute([request])
            except Exception as error:
                _LOG.exception("model %s", self.name)
                raise ModelFailure(
                    f"Failed to process the request(s) for model '{self.name}', "
                    f"message: {type(error).__name__}: {error}"
                ) from error
        if not answer.has_error():
            # A tensor that the configuration does not declare is dropped, as Triton drops it.
            kept = [one for one in answer.output_tensors() if one.name() in self.outputs]
            return InferenceResponse(kept)
        return answer


class Models:
    """The models of one server by name, and the repository that BLS may load from."""

    def __init__(self, base_repository: Path | None) -> None:
        self.base_repository = base_repository
        self._models: dict[str, Model] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    def load(self, name: str, folder: Path) -> None:
        """Read ``config.pbtxt`` and ``1/model.py``. Raises ``ModelFailure``."""
        try:
            config = parse((folder / "config.pbtxt").read_text(encoding="utf-8"))
            for group in config.get("instance_group", []):
                if group.get("kind") == ["KIND_GPU"]:
                    raise ValueError("instance group has kind KIND_GPU but no GPUs are available")
            _check_environment(config, folder)
            spec = importlib.util.spec_from_file_location(
                f"model_{next(_NUMBERS)}", folder / "1" / "model.py"
            )
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            instance = module.TritonPythonModel()
            if hasattr(instance, "initialize"):
                instance.initialize(
                    {"model_name": name, "model_repository": str(folder), "model_version": "1"}
                )
        except Exception as error:
            _LOG.exception("loading %s", name)
            raise ModelFailure(
                f"load failed for model '{name}': version 1 is at UNAVAILABLE state: "
                f"Internal: {type(error).__name__}: {error}"
            ) from error
        self._models[name] = Model(name=name, config=config, instance=instance)

    def unload(self, name: str) -> None:
        model = self._models.pop(name, None)
        if model is not None and hasattr(model.instance, "finalize"):
            model.instance.finalize()


def _check_environment(config: Mapping[str, list[Any]], folder: Path) -> None:
    """An environment must be there, as for Triton; this process runs every model in its own."""
    for one in config.get("parameters", []):
        if one.get("key") == ["EXECUTION_ENV_PATH"]:
            path = str(one["value"][0]["string_value"][0])
            if not Path(path.replace("$$TRITON_MODEL_DIRECTORY", str(folder))).exists():
                raise ValueError(f"Failed to get the canonical path for {path}")


def install(models: Models) -> None:
    """Make ``import triton_python_backend_utils`` lead here."""

    class InferenceRequest:
        def __init__(
            self, model_name: str, requested_output_names: Sequence[str], inputs: Sequence[Tensor]
        ) -> None:
            self._name, self._outputs = model_name, list(requested_output_names)
            self._tensors = {one.name(): one for one in inputs}

        def exec(self) -> InferenceResponse:
            if self._name not in models:
                return InferenceResponse(error=TritonError(f"model '{self._name}' is not found"))
            try:
                return models[self._name].run(self._tensors, self._outputs)
            except ModelFailure as error:
                return InferenceResponse(error=TritonError(str(error)))

    def load_model(model_name: str) -> None:
        if models.base_repository is None:
            raise TritonModelException("failed to poll from model repository")
        try:
            models.load(model_name, models.base_repository / model_name)
        except ModelFailure as error:
            raise TritonModelException(str(error)) from error

    logger = logging.getLogger("model")
    module: Any = types.ModuleType("triton_python_backend_utils")
    module.Tensor, module.TritonError = Tensor, TritonError
    module.TritonModelException = TritonModelException
    module.InferenceRequest, module.InferenceResponse = InferenceRequest, InferenceResponse
    module.get_input_tensor_by_name = lambda request, name: request.tensors.get(name)
    module.get_output_tensor_by_name = lambda response, name: next(
        (one for one in response.output_tensors() if one.name() == name), None
    )
    module.load_model = load_model
    module.unload_model = lambda model_name: models.unload(model_name)
    module.is_model_ready = lambda model_name: model_name in models
    module.Logger = types.SimpleNamespace(
        log_info=logger.info,
        log_warn=logger.warning,
        log_error=logger.error,
        log_verbose=logger.debug,
    )
    sys.modules["triton_python_backend_utils"] = module
