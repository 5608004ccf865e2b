"""Who may call: requests for this address, from no browser page, signed with this start's secret.

The service runs the code of whoever reaches it, and every program and every web page on the machine
can reach a loopback port. So each request must carry a Signature Version 4 made with the random
keys of the state file; it is recomputed here with botocore's own signer.
"""

from __future__ import annotations

import hmac
import io
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^,\s]+), ?"
    r"SignedHeaders=(?P<headers>[^,\s]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW = timedelta(minutes=15)
_STAMP = "%Y%m%dT%H%M%SZ"


class Denied(Exception):
    """The request is not served; ``code`` as AWS names it."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


@dataclass(frozen=True)
class _Claim:
    """What a request says about its own signature; ``payload_hash`` may be empty."""

    credential: str
    signed_headers: str
    signature: str
    stamp: str
    payload_hash: str
    query: str
    presigned: bool = False


class Doorkeeper:
    """Checks each WSGI request against the keys and the address of this service."""

    def __init__(self, *, access_key: str, secret_key: str, port: int) -> None:
        self._credentials = Credentials(access_key, secret_key)
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def check(self, environ: dict[str, Any]) -> str:
        """The name of the AWS service that the request is signed for. Raises ``Denied``.

        Replaces ``wsgi.input`` by a buffered copy when the signature covers the body.
        """
        if environ.get("HTTP_HOST") not in self._hosts:
            raise Denied("AccessDeniedException", "This service answers to its own address only.")
        if "HTTP_ORIGIN" in environ:
            raise Denied("AccessDeniedException", "This service does not answer web pages.")
        claim = _claim(environ)
        access_key, day, region, service = _scope(claim)
        if not _alike(access_key, str(self._credentials.access_key)):
            raise Denied("UnrecognizedClientException", "The access key is not of this service.")
        if not claim.payload_hash:  # read only now: a stranger's body may be without end
            claim = replace(claim, payload_hash=_hash_body(environ))
        expected = self._signature(environ, claim, region, service)
        if not _alike(expected, claim.signature):
            raise Denied("SignatureDoesNotMatch", "The request signature does not match.")
        _check_time(claim, day)
        _check_body(environ, claim.payload_hash)
        return service

    def _signature(self, environ: dict[str, Any], claim: _Claim, region: str, service: str) -> str:
        path = (environ.get("RAW_URI") or environ["PATH_INFO"]).partition("?")[0]
        url = f"http://{environ['HTTP_HOST']}{path}" + (f"?{claim.query}" if claim.query else "")
        request = AWSRequest(method=environ["REQUEST_METHOD"], url=url)
        for name in claim.signed_headers.split(";"):
            request.headers[name] = _header(environ, name)
        if not claim.presigned:
            request.headers["X-Amz-Content-SHA256"] = claim.payload_hash
        request.context["timestamp"] = claim.stamp
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        if claim.presigned:
            if service != "s3":
                raise Denied("AccessDeniedException", "Only S3 addresses can be presigned.")
            kind = S3SigV4QueryAuth
        signer = kind(self._credentials, service, region)
        # Only the headers that the caller signed count, whatever else the signer would add.
        signed = {name: request.headers[name] for name in claim.signed_headers.split(";")}
        if "host" not in signed:
            raise Denied("SignatureDoesNotMatch", "The signature does not cover the host.")
        signer.headers_to_sign = lambda _: _as_message(signed)  # type: ignore[method-assign]
        words = signer.string_to_sign(request, signer.canonical_request(request))
        return str(signer.signature(words, request))


def _alike(one: str, other: str) -> bool:
    """In the same time, whatever letters a stranger sends."""
    return hmac.compare_digest(one.encode(), other.encode())


def _as_message(headers: dict[str, str]) -> HTTPHeaders:
    message = HTTPHeaders()
    for name, value in headers.items():
        message[name] = value
    return message


def _claim(environ: dict[str, Any]) -> _Claim:
    query = environ.get("QUERY_STRING", "")
    if match := _AUTHORIZATION.fullmatch(environ.get("HTTP_AUTHORIZATION", "")):
        return _Claim(
            credential=match["credential"],
            signed_headers=match["headers"],
            signature=match["signature"],
            stamp=environ.get("HTTP_X_AMZ_DATE", ""),
            payload_hash=environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""),
            query=query,
        )
    values = dict(parse_qsl(query, keep_blank_values=True))
    if values.get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
        return _Claim(
            credential=values.get("X-Amz-Credential", ""),
            signed_headers=values.get("X-Amz-SignedHeaders", ""),
            signature=values.get("X-Amz-Signature", ""),
            stamp=values.get("X-Amz-Date", ""),
            payload_hash="UNSIGNED-PAYLOAD",
            query="&".join(p for p in query.split("&") if not p.startswith("X-Amz-Signature=")),
            presigned=True,
        )
    raise Denied("MissingAuthenticationToken", "The request carries no AWS signature.")


def _scope(claim: _Claim) -> tuple[str, str, str, str]:
    parts = claim.credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise Denied("IncompleteSignature", "The credential of the signature is malformed.")
    return parts[0], parts[1], parts[2], parts[3]


def _check_time(claim: _Claim, day: str) -> None:
    try:
        made = datetime.strptime(claim.stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise Denied("IncompleteSignature", "The signature carries no valid date.") from None
    lifetime = _SKEW
    if claim.presigned:
        expires = dict(parse_qsl(claim.query)).get("X-Amz-Expires", "")
        lifetime = timedelta(seconds=min(int(expires), 7 * 86_400) if expires.isdigit() else 0)
    age = datetime.now(UTC) - made
    if age > lifetime or age < -_SKEW or not claim.stamp.startswith(day):
        raise Denied("RequestExpired", "The signature is too old, or from the future.")


def _check_body(environ: dict[str, Any], payload_hash: str) -> None:
    """A signed hash must be that of the body; S3 may also send ``UNSIGNED-PAYLOAD``."""
    if re.fullmatch("[0-9a-f]{64}", payload_hash) and _hash_body(environ) != payload_hash:
        raise Denied("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")


def _hash_body(environ: dict[str, Any]) -> str:
    source = environ["wsgi.input"]
    if not isinstance(source, io.BytesIO):
        if environ.get("wsgi.input_terminated"):
            body = source.read()
        else:
            length = environ.get("CONTENT_LENGTH") or "0"
            if not re.fullmatch(r"[0-9]{1,12}", length):
                raise Denied("IncompleteSignature", "The length of the body is no number.")
            body = source.read(int(length))
        source = environ["wsgi.input"] = io.BytesIO(body)
    return sha256(source.getbuffer()).hexdigest()


def _header(environ: dict[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")
    if value is None:
        raise Denied("SignatureDoesNotMatch", f"The signed header {name} is missing.")
    return value
