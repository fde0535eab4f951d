"""AWS clients: one per service and process, built on first use, with pooled connections for parallel calls.

botocore's own retries are off. `stream_runtime.engine.retry` retries instead: it knows the deadline of the invocation
and can return a record to its stream.
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

    Endpoint, region and credentials come from the environment at first use (``AWS_ENDPOINT_URL`` for a local cloud).
    """
    found = _clients.get(service)
    if found is None:
        with _lock:
            found = _clients.get(service)
            if found is None:
                found = _clients[service] = _build(service)
    return found


def use(service: str, replacement: Any) -> None:
    """Use this client for a service, in tests or with other credentials."""
    with _lock:
        _clients[service] = replacement


def reset() -> None:
    """Forget all clients; the next use builds new ones from the environment."""
    with _lock:
        _clients.clear()


def _build(service: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(  # type: ignore[call-overload, unused-ignore]
        service,
        config=Config(
            max_pool_connections=POOL_CONNECTIONS,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            tcp_keepalive=True,
            retries={"total_max_attempts": 1, "mode": "standard"},
        ),
    )
