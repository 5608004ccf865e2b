"""The front door: every request is checked, then goes to our own services or to moto."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from helpers.local.auth import Denied, Doorkeeper
from helpers.local.autoscaler import Autoscaler
from helpers.local.builds import Builds
from helpers.local.control_plane import ControlPlane
from helpers.local.data_plane import DataPlane
from helpers.local.keeper import Keeper, no_room
from helpers.local.pricing import Pricing
from helpers.local.tagging import answer_tagging
from helpers.local.wire import (
    Refusal,
    answer_control,
    answer_refusal,
    read_control_call,
    read_runtime_call,
)

_OURS = {
    "sagemaker": "sagemaker",
    "servicequotas": "service-quotas",
    "pricing": "pricing",
    "codebuild": "codebuild",
}
"""Services that moto does not answer, by the name that requests are signed for; botocore's name."""
_ACTIVITIES = "AnyScaleFrontendService.DescribeScalingActivities"
"""What scaled when, and why: moto keeps policies and never acts on them."""
_XML_SERVICES = {"s3", "sns", "iam", "sts", "monitoring"}


class Front:
    """A WSGI application in front of moto's, which has a keeper."""

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        control: ControlPlane,
        data: DataPlane,
        builds: Builds,
        autoscaler: Autoscaler,
        keeper: Keeper,
    ) -> None:
        self._doorkeeper, self._keeper = doorkeeper, keeper
        self._control, self._data, self._builds = control, data, builds
        self._answer = {
            "sagemaker": control.answer,
            "service-quotas": control.quotas.answer,
            "pricing": Pricing().answer,
            "codebuild": builds.answer,
            "application-autoscaling": autoscaler.answer,
        }

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            service = self._doorkeeper.check(environ)
        except Denied as denied:
            return _refuse(environ, denied)(environ, start)
        if service in _OURS:
            return self._ours(_OURS[service], Request(environ))(environ, start)
        if environ.get("HTTP_X_AMZ_TARGET", "") == _ACTIVITIES:
            return self._ours("application-autoscaling", Request(environ))(environ, start)
        if service == "tagging":
            tags = self._control.tags
            held = {arn: tags.of(arn) for arn in tags.tagged()} | self._builds.repository_tags()
            return answer_tagging(environ, held, self._keeper.moto)(environ, start)
        if environ["PATH_INFO"].startswith("/moto-api"):
            # moto's own door for tests: it could forget everything, seed values, record calls.
            return Response("not found", 404)(environ, start)
        return self._keeper(service, environ, start)

    def _ours(self, service: str, request: Request) -> Response:
        try:
            if "X-Amz-Target" in request.headers:
                return answer_control(self._answer[service](read_control_call(request, service)))
            return self._data.answer(read_runtime_call(request))
        except Refusal as refusal:
            return answer_refusal(refusal)
        except sqlite3.Error as trouble:
            return answer_refusal(Refusal("InsufficientStorage", no_room(trouble), status=507))
        except Exception as trouble:
            traceback.print_exc()
            return answer_refusal(
                Refusal("InternalFailure", f"{type(trouble).__name__}: {trouble}", status=500)
            )


def _refuse(environ: dict[str, Any], denied: Denied) -> Response:
    """403 in the words of the service that was asked, as far as an unchecked request shows it."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
    service = (
        scope[3]
        if len(scope) > 3
        else "s3"
        if "X-Amz-Algorithm" in environ.get("QUERY_STRING", "")
        else ""
    )
    if service in _XML_SERVICES:
        fault = f"<Code>{escape(denied.code)}</Code><Message>{escape(denied.message)}</Message>"
        whole = f"<Error>{fault}</Error>"
        if service != "s3":
            whole = f"<ErrorResponse>{whole}</ErrorResponse>"
        return Response(f'<?xml version="1.0"?>{whole}', 403, content_type="application/xml")
    return answer_refusal(Refusal(denied.code, denied.message, status=403))
