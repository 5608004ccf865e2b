"""Strangers on the same machine: a page in a browser, and the program of another user.

Both reach a loopback port. Neither has the secret of the state file, and each route says 403.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.cloud.permissions import PERMISSIONS
from helpers.cloud.session import Cloud
from helpers.local.auth import Denied, Doorkeeper
from helpers.local.launch import find
from helpers.local.statefile import LocalService
from tests.local import knocks
from tests.local.browser import chromium, visited
from tests.local.knocks import Knock, ask_all, routes

NOBODY = 65534
SERVICES = {row.service for row in PERMISSIONS}


@pytest.fixture(scope="module")
def service(cloud: Cloud) -> LocalService:
    cloud.client("s3").put_object(Bucket=cloud.bucket, Key="photo.jpg", Body=b"private")
    found = find(cloud.settings)
    assert found
    return found


@pytest.fixture(scope="module")
def every() -> list[Knock]:
    return list(routes(SERVICES))


def port_of(service: LocalService) -> int:
    return int(service.url.rpartition(":")[2])


def with_headers(knock: Knock, **more: str) -> Knock:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {**knock, "headers": {**knock["headers"], **named}}


def signed(service: LocalService, knock: Knock, secret: str) -> Knock:
    """The request with a signature of that secret, otherwise as boto3 makes it."""
    name = knock["service"] or "s3"
    request = AWSRequest(knock["method"], service.url + knock["path"], knock["headers"],
                         knock["body"].encode())  # fmt: skip
    kind = S3SigV4Auth if name == "s3" else SigV4Auth
    kind(Credentials(service.access_key, secret), name, service.region).add_auth(request)
    return {**knock, "headers": dict(request.headers)}


def refused(service: LocalService, asked: list[Knock]) -> None:
    statuses = ask_all(port_of(service), asked)
    served = Counter(
        (knock["service"], status)
        for knock, status in zip(asked, statuses, strict=True)
        if status != 403
    )
    assert not served, served.most_common(5)


def test_there_are_routes_of_every_service_and_the_owner_is_served(
    service: LocalService, every: list[Knock]
) -> None:
    """Otherwise 403 everywhere would say nothing."""
    assert {knock["service"] for knock in every} == {*SERVICES, ""}
    assert len(every) > 1000
    reading = [knock for knock in every if "ListEndpoints" in str(knock["headers"])]
    reading += [knock for knock in every if knock["body"].startswith("Action=GetCallerIdentity")]
    own = [signed(service, knock, service.secret_key) for knock in reading]
    assert set(ask_all(port_of(service), own)) == {200} and len(own) >= 2


@pytest.mark.promise(
    "Another user's program gets 403 from every route",
    fault="a process of another user that asks for each operation of 15 services and knocks at the "
    "emulator's own doors, unsigned and with a guessed secret",
    outcome="403 each time; it cannot read the state file",
)
def test_another_user_s_process_gets_403_from_every_route(
    service: LocalService, every: list[Knock], cloud: Cloud, tmp_path: Path
) -> None:
    guessed = [signed(service, knock, "guessed") for knock in every]
    asked = {
        "port": port_of(service),
        "state": str(cloud.settings.state / "service.json"),
        "knocks": [*every, *guessed],
    }
    answer = _as_another_user(asked)
    served = [
        (knock["service"], knock["method"], knock["path"], status)
        for knock, status in zip(asked["knocks"], answer["statuses"], strict=True)
        if status != 403
    ]
    assert served == []
    if os.getuid() == 0:  # only root can become somebody else
        assert answer["user"] == NOBODY
        assert answer["readable"] is False


def _as_another_user(asked: dict[str, Any]) -> dict[str, Any]:
    """``knocks.py`` in a process that inherits nothing; of another user where that can be had."""
    script = Path(knocks.__file__).read_text(encoding="utf-8")
    python, more = sys.executable, {}
    if os.getuid() == 0:
        more = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
    done = subprocess.run(
        [python, "-I", "-c", script], input=json.dumps(asked), env={}, cwd="/",
        capture_output=True, text=True, timeout=120, **more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


PAGES = {
    "an image, script or frame of another site": {
        "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image",
        "Referer": "http://evil.example/",
    },
    "a script's request from another site": {
        "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors",
    },
    "one from another port of this machine": {
        "Origin": "http://127.0.0.1:8888", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors",
    },
    "one from a sandboxed frame or a file": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "one by a name that was bound to this machine": {
        "Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin",
    },
    "reading by such a name": {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
}  # fmt: skip
"""What browsers send for pages, by what the page does."""


@pytest.mark.promise(
    "A page in a browser gets 403 from every route",
    fault="images, scripts, forms and frames of other sites, of other ports and of names bound to "
    "127.0.0.1, as browsers send them; a real Chromium where there is one",
    outcome="403 each time, also when the signature is right",
)
def test_a_page_gets_403_from_every_route(
    service: LocalService, every: list[Knock], tmp_path: Path
) -> None:
    some = list({knock["service"]: knock for knock in every}.values())
    for number, headers in enumerate(PAGES.values()):
        asked = every if number == 1 else some
        refused(service, [{**knock, "headers": {**knock["headers"], **headers}} for knock in asked])
    stolen = [signed(service, knock, service.secret_key) for knock in some]
    refused(service, [with_headers(knock, Origin="http://127.0.0.1:8888") for knock in stolen])
    if browser := chromium():
        for status in visited(browser, port_of(service), some, tmp_path):
            assert status == 403


LETTERS = st.text(st.characters(max_codepoint=255), max_size=20)
PART = st.one_of(LETTERS, st.sampled_from(
    ["AKIAX", "20261129", "us-east-1", "s3", "aws4_request", "host", "", "\0", "a" * 5000]
))  # fmt: skip
CREDENTIAL = st.one_of(st.lists(PART, max_size=6).map("/".join),
                       st.just("AKIAX/20261129/us-east-1/s3/aws4_request"))  # fmt: skip
SIGNATURE = st.one_of(LETTERS, st.just("0" * 64))
CLAIM = st.builds(
    "AWS4-HMAC-SHA256 Credential={}, SignedHeaders={}, Signature={}".format,
    CREDENTIAL, st.lists(PART, max_size=4).map(";".join), SIGNATURE,
)  # fmt: skip
PRESIGNED = st.builds(
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={}"
    "&X-Amz-SignedHeaders={}&X-Amz-Signature={}".format,
    CREDENTIAL, PART, PART, PART, SIGNATURE,
)  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {"HTTP_HOST": st.one_of(st.just("127.0.0.1:1"), LETTERS),
     "REQUEST_METHOD": st.sampled_from(["GET", "POST"]), "PATH_INFO": LETTERS},
    optional={
        "HTTP_AUTHORIZATION": st.one_of(CLAIM, LETTERS), "RAW_URI": LETTERS, "HTTP_ORIGIN": LETTERS,
        "QUERY_STRING": st.one_of(PRESIGNED, LETTERS), "CONTENT_TYPE": LETTERS,
        "CONTENT_LENGTH": st.one_of(LETTERS, st.sampled_from(["-1", "9" * 20, "2"])),
        "HTTP_X_AMZ_DATE": PART, "HTTP_X_AMZ_CONTENT_SHA256": PART,
    },
)  # fmt: skip


@pytest.mark.promise(
    "No request makes the doorkeeper fall over",
    fault="fuzzed headers, claims, presigned queries and lengths, with the right access key, too",
    outcome="refused; a stranger's body is not even read",
)
@settings(max_examples=300, deadline=None)
@given(REQUESTS)
def test_whatever_is_sent_without_the_secret_is_denied(asked: dict[str, Any]) -> None:
    body = io.BytesIO(b"{}")
    environ = {**asked, "wsgi.input": io.BufferedReader(body)}  # type: ignore[arg-type]
    with pytest.raises(Denied) as denied:
        Doorkeeper(access_key="AKIAX", secret_key="unknown", port=1).check(environ)
    assert body.tell() == 0 or "AKIAX" in f"{asked}", denied.value
