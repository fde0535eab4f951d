"""Who a request is from: a session or a user of IAM with keys of this cloud, or else the account's administrator.

ministack refuses keys that it has not issued. Here they are those of this machine's tools, which may do everything.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

INTERNALS = {
    "ministack.app": ("AUTH", "pin_request_origin", "pin_signed_request"),
    "ministack.core.iam_evaluator": (
        *("is_root_access_key", "pin_request_origin", "pin_request_caller", "_request_caller_arn"),
        *("enforce", "_verified_key", "_anonymous", "_signed_request", "_role_name_from_assumed_arn"),
    ),
    "ministack.core.lambda_runtime": ("execution_credentials",),
    "ministack.core.responses": ("get_account_id",),
    "ministack.core.router": ("extract_access_key_id",),
    "ministack.services.iam": ("_gen_access_key_id",),
    "ministack.services.lambda_svc": ("execution_credentials",),
    "ministack.services.sts": ("register_session", "_sessions"),
}


class Caller(NamedTuple):
    """The session of a role.

    Attributes:
        key: its access key.
        arn: ``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``.
        role: the name of the role.
    """

    key: str
    arn: str
    role: str


_CREDENTIAL = re.compile(rb"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9_-]+)/")

issued: dict[str, None] = {}
"""Keys of sessions and users of this cloud, also of those that have ended."""

_functions: dict[str, str] = {}
"""ARNs of functions by the keys of their roles' sessions."""


def patch() -> None:
    """Turn ministack's authorization on, with all other keys as the administrator's."""
    from ministack import app
    from ministack.core import iam_evaluator, lambda_runtime
    from ministack.core.responses import get_account_id
    from ministack.core.router import extract_access_key_id
    from ministack.services import iam, lambda_svc, sts

    register, generate, pin = sts.register_session, iam._gen_access_key_id, iam_evaluator.pin_request_origin
    credentials_of, pin_caller = lambda_runtime.execution_credentials, iam_evaluator.pin_request_caller
    pin_signed, enforce = app.pin_signed_request, iam_evaluator.enforce

    def register_issued(key: str, session: dict[str, Any]) -> None:
        issued[key] = None
        register(key, session)

    def generate_issued() -> str:
        key = str(generate())
        issued[key] = None
        return key

    def credentials(config: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = credentials_of(config)
        _functions[found["AWS_ACCESS_KEY_ID"]] = str(config.get("FunctionArn", ""))
        return found

    def pin_secure(source_ip: str, _secure: bool) -> None:
        pin(source_ip, True)  # nobody listens on loopback: policies that ask for TLS are met

    def pin_signed_of_others(method: str, path: str, query: Any, headers: Any, *more: Any, **options: Any) -> None:
        if query or not _is_of_administrator(headers):
            pin_signed(method, path, query, headers, *more, **options)
            return
        iam_evaluator._verified_key.set("")
        iam_evaluator._anonymous.set(False)
        iam_evaluator._signed_request.set(None)  # a signature of the administrator is not checked

    def enforced(key: str, action: str, service: str, *more: Any, **options: Any) -> Any:
        plain = bool(key) and iam_evaluator._signed_request.get() is None and not iam_evaluator._anonymous.get()
        if plain and is_administrator(key):
            return None
        return enforce(key, action, service, *more, **options)

    def pin_known(headers: dict[str, str], query_params: Any = None) -> None:
        if is_administrator(str(extract_access_key_id(headers, query_params or {}) or "")):
            iam_evaluator._request_caller_arn.set(f"arn:aws:iam::{get_account_id()}:root")
        else:
            pin_caller(headers, query_params)

    sts.register_session, iam._gen_access_key_id = register_issued, generate_issued
    iam_evaluator.is_root_access_key = is_administrator
    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = credentials
    app.pin_request_origin, iam_evaluator.pin_request_caller = pin_secure, pin_known
    app.pin_signed_request, iam_evaluator.enforce = pin_signed_of_others, enforced
    app.AUTH = True


def _is_of_administrator(headers: Any) -> bool:
    """Whether a request is signed in one header, with a key that is not of this cloud's sessions and users."""
    signed = [value for name, value in headers if name.lower() == b"authorization"]
    found = _CREDENTIAL.match(signed[0]) if len(signed) == 1 else None
    return found is not None and is_administrator(found[1].decode())


def is_administrator(key: str) -> bool:
    """Whether a key is not of this cloud's sessions and users."""
    return key not in issued


def caller_of(key: str, token: str) -> Caller | None:
    """The session of a role that a key and its token are of; None if ministack is to find out what they are."""
    session = _sts()._sessions.get(key)
    if session is None or session.get("SessionToken") != token:
        return None
    return _caller(key, session["Arn"])


@functools.cache
def _sts() -> Any:
    from ministack.services import sts

    return sts


@functools.lru_cache(1024)
def _caller(key: str, arn: str) -> Caller | None:
    from ministack.core import iam_evaluator

    return Caller(key, arn, iam_evaluator._role_name_from_assumed_arn(arn)) if ":assumed-role/" in arn else None


def function_of(key: str) -> str:
    """The ARN of the function whose session has a key, or an empty text."""
    return _functions.get(key, "")


def session_of_service(account: str, role: str, name: str) -> Caller:
    """A session of a role for an AWS service that acts with it; one for each role and name.

    Args:
        account: of the role.
        role: its name.
        name: of the session.
    """
    from ministack.services import sts

    caller = _service(account, role, name)
    if caller.key not in sts._sessions:
        keys = {"SecretAccessKey": secrets.token_hex(20), "SessionToken": secrets.token_hex(32)}
        sts.register_session(caller.key, {"Arn": caller.arn, "UserId": f"{role}:{name}", **keys})
    return caller


@functools.lru_cache(1024)
def _service(account: str, role: str, name: str) -> Caller:
    digest = hashlib.sha256(f"{account}/{role}/{name}".encode()).hexdigest()
    return Caller(f"ASIA{digest[:16].upper()}", f"arn:aws:sts::{account}:assumed-role/{role}/{name}", role)
