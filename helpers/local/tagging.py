"""Everything that carries a tag: our SageMaker's resources and moto's, in one listing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Response

from helpers.local.store import Tags

_GET = "ResourceGroupsTaggingAPI_20170126.GetResources"


def answer_tagging(environ: dict[str, Any], tags: Tags, moto: Callable[..., Any]) -> Response:
    """moto's answer; the first page of ``GetResources`` gets SageMaker's resources in front."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = Response.from_app(moto, {**environ, "wsgi.input": io.BytesIO(body)})
    if environ.get("HTTP_X_AMZ_TARGET") != _GET or answer.status_code != 200:
        return answer
    asked = json.loads(body or b"{}")
    members = json.loads(answer.get_data())
    if not asked.get("PaginationToken"):
        members["ResourceTagMappingList"] = _ours(asked, tags) + members["ResourceTagMappingList"]
        answer.set_data(json.dumps(members))
    return answer


def _ours(asked: dict[str, Any], tags: Tags) -> list[dict[str, Any]]:
    return [
        {"ResourceARN": arn, "Tags": tags.of(arn)}
        for arn in tags.tagged()
        if _of_type(arn, asked.get("ResourceTypeFilters", []))
        and _has_tags(tags.of(arn), asked.get("TagFilters", []))
    ]


def _of_type(arn: str, types: list[str]) -> bool:
    kind = arn.split(":")[5].partition("/")[0]
    return not types or "sagemaker" in types or f"sagemaker:{kind}" in types


def _has_tags(held: list[dict[str, str]], filters: list[dict[str, Any]]) -> bool:
    values = {tag["Key"]: tag["Value"] for tag in held}
    return all(
        wanted["Key"] in values
        and (not wanted.get("Values") or values[wanted["Key"]] in wanted["Values"])
        for wanted in filters
    )
