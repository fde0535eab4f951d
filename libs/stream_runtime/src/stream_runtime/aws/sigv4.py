"""Signature Version 4 of a request's headers and body; botocore is its oracle in the tests.

Source: IAM user guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple


class Credentials(NamedTuple):
    """An access key, from the environment of the function."""

    access_key: str
    secret_key: str
    token: str = ""


def authorization(
    credentials: Credentials,
    region: str,
    service: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    amz_date: str,
) -> str:
    """The value of the header Authorization.

    Args:
        credentials: what signs.
        region: of the endpoint.
        service: the signing name, such as ``"dynamodb"``.
        method: POST, PUT, ...
        path: encoded and normalised.
        query: encoded and sorted.
        headers: those to sign, with names in lower case and in alphabetical order; among them host and x-amz-date.
        body: of the request.
        amz_date: the value of x-amz-date, such as ``20261122T013852Z``.
    """
    pairs = [(name, " ".join(value.split())) for name, value in headers]
    names = ";".join([name for name, _ in pairs])
    canonical = "\n".join(
        [
            *(method, path, query),
            *[f"{name}:{value}" for name, value in pairs],
            *("", names, hashlib.sha256(body).hexdigest()),
        ]
    )
    scope = f"{amz_date[:8]}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, amz_date[:8], region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"


_keys: dict[tuple[str, str, str, str], bytes] = {}
_MOST_KEYS = 32


def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The derived key, which is the same for a day."""
    wanted = (secret_key, date, region, service)
    key = _keys.get(wanted)
    if key is None:
        key = f"AWS4{secret_key}".encode()
        for part in (date, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        if len(_keys) >= _MOST_KEYS:
            _keys.clear()  # of earlier days and credentials
        _keys[wanted] = key
    return key
