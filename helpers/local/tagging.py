"""Everything that carries a tag: our SageMaker's resources and moto's, in one listing; and the tags
of a new bucket, which moto passes over."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.wrappers import Response

_GET = "ResourceGroupsTaggingAPI_20170126.GetResources"
_TAGS = re.compile(rb"<Tags>(.*)</Tags>", re.DOTALL)


Held = Mapping[str, list[dict[str, str]]]
"""Tags by ARN."""


def answer_tagging(environ: dict[str, Any], held: Held, moto: Callable[..., Any]) -> Response:
    """moto's answer; the first page of ``GetResources`` gets what moto does not know in front."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = Response.from_app(moto, {**environ, "wsgi.input": io.BytesIO(body)})
    if environ.get("HTTP_X_AMZ_TARGET") != _GET or answer.status_code != 200:
        return answer
    asked = json.loads(body or b"{}")
    members = json.loads(answer.get_data())
    if not asked.get("PaginationToken"):
        members["ResourceTagMappingList"] = _ours(asked, held) + members["ResourceTagMappingList"]
        answer.set_data(json.dumps(members))
    return answer


def creates_bucket(environ: dict[str, Any]) -> bool:
    """Whether a request to S3 is ``PUT /bucket``."""
    path = environ["PATH_INFO"].strip("/")
    return environ["REQUEST_METHOD"] == "PUT" and "/" not in path and not environ["QUERY_STRING"]


def answer_create_bucket(environ: dict[str, Any], moto: Callable[..., Any]) -> Response:
    """moto's answer; a bucket that it made is then tagged as the request asks."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = Response.from_app(moto, {**environ, "wsgi.input": io.BytesIO(body)})
    if answer.status_code == 200 and (tags := _TAGS.search(body)):
        tagging = b"<Tagging><TagSet>" + tags[1] + b"</TagSet></Tagging>"
        Response.from_app(
            moto,
            {
                **environ,
                "QUERY_STRING": "tagging",
                "CONTENT_LENGTH": str(len(tagging)),
                "wsgi.input": io.BytesIO(tagging),
            },
        )
    return answer


def _ours(asked: dict[str, Any], held: Held) -> list[dict[str, Any]]:
    return [
        {"ResourceARN": arn, "Tags": tags}
        for arn, tags in held.items()
        if _of_type(arn, asked.get("ResourceTypeFilters", []))
        and _has_tags(tags, asked.get("TagFilters", []))
    ]


def _of_type(arn: str, types: list[str]) -> bool:
    service, kind = arn.split(":")[2], arn.split(":")[5].partition("/")[0]
    return not types or service in types or f"{service}:{kind}" in types


def _has_tags(held: list[dict[str, str]], filters: list[dict[str, Any]]) -> bool:
    values = {tag["Key"]: tag["Value"] for tag in held}
    return all(
        wanted["Key"] in values
        and (not wanted.get("Values") or values[wanted["Key"]] in wanted["Values"])
        for wanted in filters
    )
