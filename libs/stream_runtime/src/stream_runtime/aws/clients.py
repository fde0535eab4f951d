"""AWS clients: one per service and process, built when first used, with pooled connections for calls in parallel.

botocore's own retries are off: `stream_runtime.retry` retries, because it knows the deadline of the invocation and
can return a record to its stream instead.
"""

from __future__ import annotations

import threading
from typing import Any

POOL_CONNECTIONS = 64
"""Connections kept per client: the largest value of PARALLEL."""

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20

_clients: dict[str, Any] = {}
_lock = threading.Lock()


def client(service: str) -> Any:
    """The process's boto3 client of a service (``"dynamodb"``, ``"events"``, ``"s3"``, ...).

    The endpoint, region and credentials are those of the environment when it is first asked for
    (``AWS_ENDPOINT_URL`` reaches a local cloud).
    """
    found = _clients.get(service)
    if found is None:
        with _lock:
            found = _clients.get(service)
            if found is None:
                found = _clients[service] = _build(service)
    return found


def use(service: str, replacement: Any) -> None:
    """Hand in a client of one's own, for tests or for other credentials."""
    with _lock:
        _clients[service] = replacement


def reset() -> None:
    """Forget every client; the next use builds a new one from the environment."""
    with _lock:
        _clients.clear()


def _build(service: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        config=Config(
            max_pool_connections=POOL_CONNECTIONS,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            tcp_keepalive=True,
            retries={"total_max_attempts": 1, "mode": "standard"},
        ),
    )
