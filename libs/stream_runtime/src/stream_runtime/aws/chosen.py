"""Whether the lean client may be used: only where it is certain that it sends what botocore would send.

Sources: botocore's configprovider.py (`BOTOCORE_DEFAUT_SESSION_VARIABLES`), credentials.py and utils.py; AWS SDKs and
Tools reference guide, "Environment variables".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from stream_runtime import settings

REFUSED = {
    "AWS_PROFILE": "a profile",
    "AWS_DEFAULT_PROFILE": "a profile",
    "AWS_DATA_PATH": "models of your own",
    "AWS_CA_BUNDLE": "certificates of your own",
    "REQUESTS_CA_BUNDLE": "certificates of your own",
    "AWS_ACCOUNT_ID": "endpoints of the account",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "endpoints of the account",
    "AWS_AUTH_SCHEME_PREFERENCE": "another signature",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "credentials of a container",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "credentials of a container",
    "AWS_CREDENTIAL_EXPIRATION": "credentials that expire",
    "AWS_DEFAULTS_MODE": "other defaults",
    "AWS_ENDPOINT_DISCOVERY_ENABLED": "endpoint discovery",
    "AWS_ROLE_ARN": "a role to assume",
    "AWS_SDK_UA_APP_ID": "an id of the application",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "a web identity",
    "BOTOCORE_EXPERIMENTAL__PLUGINS": "plugins of botocore",
}
"""Variables that send every call through boto3 where they are set, and what they ask for."""

REFUSED_UNLESS_FALSE = {
    "AWS_CSM_ENABLED": "client-side monitoring",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "endpoints that are ignored",
    "AWS_USE_DUALSTACK_ENDPOINT": "dual-stack endpoints",
    "AWS_USE_FIPS_ENDPOINT": "FIPS endpoints",
}

HANDLED = {"AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}

HARMLESS = {
    "AWS_CSM_CLIENT_ID": "of monitoring, which is refused",
    "AWS_CSM_HOST": "of monitoring, which is refused",
    "AWS_CSM_PORT": "of monitoring, which is refused",
    "AWS_DISABLE_HOST_PREFIX_INJECTION": "operations with a host prefix go through boto3",
    "AWS_DISABLE_REQUEST_COMPRESSION": "operations with compression go through boto3",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "credentials come from the environment",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "credentials come from the environment",
    "AWS_EC2_METADATA_V1_DISABLED": "credentials come from the environment",
    "AWS_IMDS_USE_IPV6": "credentials come from the environment",
    "AWS_MAX_ATTEMPTS": "the runtime's own retries",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "credentials come from the environment",
    "AWS_METADATA_SERVICE_TIMEOUT": "credentials come from the environment",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "operations with checksums go through boto3",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "operations with compression go through boto3",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "operations with checksums go through boto3",
    "AWS_RETRY_MODE": "the runtime's own retries",
    "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH": "S3 goes through boto3",
    "AWS_SIGV4A_SIGNING_REGION_SET": "operations with that signature go through boto3",
    "AWS_STS_REGIONAL_ENDPOINTS": "STS goes through boto3",
    "BOTOCORE_TCP_KEEPALIVE": "the runtime's own setting",
}

_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_OWN_MODELS = "~/.aws/models"

_own_sessions: list[Any] = []


def in_lambda() -> bool:
    """Whether this is a function's process, of Lambda or of the local cloud."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


def refusal() -> str | None:
    """Why calls of this process go through boto3, or None if the lean client may make them."""
    return _of_environment(os.environ) or _of_process() or interception()


def interception() -> str | None:
    """Who gets the calls of botocore before it sends them, or None. Asked at each call, since a mock may come later.

    Where botocore's clients are not imported, which is usual in functions, this costs two look-ups. A module that
    another thread is importing may lack what is looked for; then nothing of it is patched yet.
    """
    modules = sys.modules
    client: Any = getattr(modules.get("botocore.client"), "BaseClient", None)
    if client is not None:
        call = client._make_api_call  # one of wrapt's wrappers has all attributes of the function
        if type(call) is not FunctionType or not str(call.__globals__["__name__"]).startswith("botocore."):
            return "the calls of botocore are patched"
    handlers: Any = getattr(modules.get("botocore.handlers"), "BUILTIN_HANDLERS", None)
    if handlers is not None:
        for handler in _foreign(handlers):
            if getattr(handler, "enabled", True):  # moto's is there from its import on
                return f"botocore has a hook of {_of_module(handler)}"
    return None


def _foreign(handlers: list[Any]) -> list[Any]:
    """The handlers that are not botocore's own; they are looked for when there are more or less of them."""
    if _seen.handlers is not handlers or _seen.count != len(handlers):
        _seen.foreign = [each for _, each, *_ in handlers if not _of_module(each).startswith("botocore")]
        _seen.handlers, _seen.count = handlers, len(handlers)
    return _seen.foreign


class _Seen:
    handlers: Any = None
    count = 0
    foreign: list[Any] = []  # noqa: RUF012 - replaced, never changed


_seen = _Seen()


def proxy(url: str) -> bool:
    """Whether botocore would send requests to an address through a proxy."""
    scheme = url.partition(":")[0]
    if not any(name.lower() == f"{scheme}_proxy" and value for name, value in os.environ.items()):
        return False
    from urllib.request import getproxies, proxy_bypass

    host = url.partition("://")[2].partition("/")[0]
    return scheme in getproxies() and not proxy_bypass(host)


def remember_default_session() -> None:
    """After the runtime made a client: the default session of boto3 is its own, and has no settings or hooks."""
    session = sys.modules["boto3"].DEFAULT_SESSION
    _own_sessions[:] = [] if session is None else [session]


def _of_environment(environment: Mapping[str, str]) -> str | None:
    for name, what in REFUSED.items():
        if name in environment:
            return f"{name} asks for {what}"
    for name, what in REFUSED_UNLESS_FALSE.items():
        if environment.get(name, "false").lower() != "false":
            return f"{name} asks for {what}"
    for name in environment:
        if name.startswith("AWS_BEARER_TOKEN_"):
            return f"{name} asks for another signature"
    if not environment.get("AWS_ACCESS_KEY_ID") or not environment.get("AWS_SECRET_ACCESS_KEY"):
        return "the environment has no credentials"
    region = environment.get("AWS_DEFAULT_REGION")
    if not region or environment.get("AWS_REGION", region) != region:
        return "AWS_DEFAULT_REGION is not set, or is another than AWS_REGION"
    for name, default in _FILES.items():
        path = os.path.expanduser(environment.get(name, default))
        if _has_content(path):
            return f"{path} may say otherwise"
    if os.path.exists(os.path.expanduser(_OWN_MODELS)):
        return f"{_OWN_MODELS} may hold models of your own"
    return None


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # not so of /dev/null
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _of_process() -> str | None:
    """What other code in this process has asked for that clients get when they are made."""
    if settings.TRACING.read():
        return "X-Ray traces the calls of botocore"
    session = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    if session is not None and session not in _own_sessions:
        return "boto3 has a default session, which may have settings and hooks"
    if "ddtrace" in sys.modules or "newrelic" in sys.modules or _waits_for_botocore():
        return "a tracer patches botocore as soon as it is imported"
    return None


def _waits_for_botocore() -> bool:
    """Whether a hook of wrapt, by which tracers patch, waits for the import of botocore."""
    importer: Any = sys.modules.get("wrapt.importer")
    return any(name.startswith(("boto3", "botocore")) for name in getattr(importer, "_post_import_hooks", ()))


def _of_module(handler: Any) -> str:
    return getattr(handler, "__module__", None) or type(handler).__module__
