"""AWS clients: one per service and process, built on first use, with pooled connections for parallel calls.

botocore's own retries are off. `stream_runtime.engine.retry` retries instead: it knows the deadline of the invocation
and can return a record to its stream.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.errors import ConfigurationError

from . import chosen
from .models import OtherProtocol
from .shapes import Unusual

POOL_CONNECTIONS = 64
"""Connections kept per client: the largest value of PARALLEL."""

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20

_clients: dict[str, Any] = {}
_lean: list[Any] = []
_lock = threading.Lock()
_session_lock = threading.Lock()
_log = logging.getLogger(__name__)


def client(service: str, region: str | None = None) -> Any:
    """The process's client of a service (``"dynamodb"``, ``"events"``, ``"s3"``, ...): boto3's, or one called like it.

    Endpoint, region and credentials come from the environment at first use (``AWS_ENDPOINT_URL`` for a local cloud).
    In a function, services with AWS's JSON protocols get the lean client, unless something asks for what it does not
    have (`chosen`); the setting AWS_CLIENT says so, too.

    Args:
        service: as boto3 names it.
        region: another one than the environment's.

    Raises:
        ConfigurationError: AWS_CLIENT is ``lean``, and that client cannot be used here.
    """
    name = service if region is None else f"{service} in {region}"
    found = _clients.get(name)
    if found is None:
        with _lock:
            found = _clients.get(name)
            if found is None:
                found = _clients[name] = _build(service, region)
    return found


def tokens_of(service: str, operation: str) -> Sequence[str]:
    """The parameters by which AWS recognises a request that comes again, such as ``ClientRequestToken``.

    Both clients make up a value for each call that has none. A caller that repeats a call gives every attempt the same.
    """
    found = client(service)
    made = getattr(found, operation, None)
    tokens = getattr(made, "tokens", None)
    if isinstance(tokens, list):
        return tokens
    if type(found).__module__ != "botocore.client":
        return ()
    names = found.meta.method_to_api_mapping
    members = (
        found.meta.service_model.operation_model(names[operation]).idempotent_members if operation in names else ()
    )
    return [str(each) for each in members]


def new_token() -> str:
    """A random UUID, version 4."""
    from .operation import random_uuid

    return random_uuid()


def use(service: str, replacement: Any) -> None:
    """Use this client for a service, in tests or with other credentials."""
    with _lock:
        _clients[service] = replacement


def reset() -> None:
    """Forget all clients; the next use builds new ones from the environment."""
    with _lock:
        _clients.clear()
        while _lean:
            _lean.pop().close()


def _build(service: str, region: str | None) -> Any:
    """The lean client where it may be used, else boto3's; one line of the log says which and why."""
    asked = settings.AWS_CLIENT.read()
    refusal = "AWS_CLIENT says so" if asked == "boto3" else None
    if asked == "auto" and not chosen.in_lambda():
        refusal = "this is no function of Lambda"
    refusal = refusal or chosen.refusal()
    if refusal is None:
        from .lean import LeanClient

        try:
            lean = LeanClient(
                service,
                lambda: _boto3_client(service, region),
                region=region,
                most=POOL_CONNECTIONS,
                connect_timeout_s=CONNECT_TIMEOUT_S,
                read_timeout_s=READ_TIMEOUT_S,
            )
        except OtherProtocol as unusual:
            asked, refusal = "auto", str(unusual)
        except Unusual as unusual:
            refusal = str(unusual)
        else:
            _log.debug("client for %s: lean", service)
            _lean.append(lean)
            return lean
    if asked == "lean":
        raise ConfigurationError(f"AWS_CLIENT is lean, and the client for {service} cannot be: {refusal}")
    _log.debug("client for %s: boto3, because %s", service, refusal)
    return _boto3_client(service, region)


def _boto3_client(service: str, region: str | None) -> Any:
    import boto3
    from botocore.config import Config

    with _session_lock:  # the default session may not make clients in several threads at once
        first = boto3.DEFAULT_SESSION is None
        made = boto3.client(  # type: ignore[call-overload, unused-ignore]
            service,
            region_name=region,
            config=Config(
                max_pool_connections=POOL_CONNECTIONS,
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                tcp_keepalive=True,
                retries={"total_max_attempts": 1, "mode": "standard"},
            ),
        )
        if first:
            chosen.remember_default_session()
        return made
