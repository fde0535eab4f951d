"""Signed requests to an OpenSearch domain, over connections that are kept open."""

from __future__ import annotations

import threading
from typing import Any

from stream_runtime import settings
from stream_runtime.errors import ConfigurationError, TransientError

from .clients import CONNECT_TIMEOUT_S, POOL_CONNECTIONS, READ_TIMEOUT_S

_lock = threading.Lock()
_shared: dict[str, Any] = {}


def request(host: str, method: str, path: str, body: bytes, content_type: str) -> bytes:
    """Send a request to a domain and return the body of its response.

    Args:
        host: the domain's host, or its URL for a domain without TLS.
        method: POST, PUT, ...
        path: starts with a slash.
        body: the request body.
        content_type: of the body.

    Raises:
        TransientError: the domain is unreachable, busy (429) or failing (5xx).
        ConfigurationError: it rejects the credentials (401, 403) or has no such path (404).
        ValueError: it rejects the request.

    Source: OpenSearch Service developer guide, "Signing HTTP requests" (Signature Version 4, service ``es``; ``aoss``
    for serverless collections).
    """
    import urllib3

    url = (host if "://" in host else f"https://{host}").rstrip("/") + path
    headers = _signed(method, url, body, {"Content-Type": content_type})
    try:
        answer = _pool().request(method, url, body=body, headers=headers)
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(f"{method} {url}: {type(error).__name__}: {error}") from error
    if answer.status < 300:
        return bytes(answer.data)
    message = f"{method} {url}: {answer.status}: {answer.data[:500].decode(errors='replace')}"
    if answer.status == 429 or answer.status >= 500:
        raise TransientError(message)
    if answer.status in (401, 403, 404):
        raise ConfigurationError(message)
    raise ValueError(message)


def _pool() -> Any:
    with _lock:
        if "pool" not in _shared:
            import urllib3

            _shared["pool"] = urllib3.PoolManager(
                maxsize=POOL_CONNECTIONS,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
                retries=False,
            )
        return _shared["pool"]


def _signed(method: str, url: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    with _lock:
        if "session" not in _shared:
            import boto3

            _shared["session"] = boto3.Session()
        credentials = _shared["session"].get_credentials()
    if credentials is None:
        raise ConfigurationError("there are no AWS credentials to sign requests to OpenSearch with")
    service = "aoss" if ".aoss." in url else "es"
    unsigned = AWSRequest(method=method, url=url, data=body, headers=headers)
    region = settings.required(settings.AWS_REGION)
    SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(unsigned)
    return dict(unsigned.headers.items())
