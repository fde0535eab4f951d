"""Who a request is from: a session or a user of IAM with keys of this cloud, or else the account's administrator.

ministack refuses keys that it has not issued. Here they are those of this machine's tools, which may do everything.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

INTERNALS = {
    "ministack.app": ("AUTH", "pin_request_origin"),
    "ministack.core.iam_evaluator": ("is_root_access_key", "pin_request_origin", "_role_name_from_assumed_arn"),
    "ministack.core.lambda_runtime": ("execution_credentials",),
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


_issued: set[str] = set()
"""Keys of sessions and users of this cloud, also of those that have ended."""

_functions: dict[str, str] = {}
"""ARNs of functions by the keys of their roles' sessions."""


def patch() -> None:
    """Turn ministack's authorization on, with all other keys as the administrator's."""
    from ministack import app
    from ministack.core import iam_evaluator, lambda_runtime
    from ministack.services import iam, lambda_svc, sts

    register, generate, pin = sts.register_session, iam._gen_access_key_id, iam_evaluator.pin_request_origin
    credentials_of = lambda_runtime.execution_credentials

    def register_issued(key: str, session: dict[str, Any]) -> None:
        _issued.add(key)
        register(key, session)

    def generate_issued() -> str:
        key = str(generate())
        _issued.add(key)
        return key

    def credentials(config: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = credentials_of(config)
        _functions[found["AWS_ACCESS_KEY_ID"]] = str(config.get("FunctionArn", ""))
        return found

    def pin_secure(source_ip: str, _secure: bool) -> None:
        pin(source_ip, True)  # nobody listens on loopback: policies that ask for TLS are met

    sts.register_session, iam._gen_access_key_id = register_issued, generate_issued
    iam_evaluator.is_root_access_key = is_administrator
    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = credentials
    app.pin_request_origin = pin_secure
    app.AUTH = True


def is_administrator(key: str) -> bool:
    """Whether a key is not of this cloud's sessions and users."""
    return key not in _issued


def caller_of(key: str, token: str) -> Caller | None:
    """The session of a role that a key and its token are of; None if ministack is to find out what they are."""
    from ministack.core import iam_evaluator
    from ministack.services import sts

    session = sts._sessions.get(key)
    if session is None or session.get("SessionToken") != token or ":assumed-role/" not in session["Arn"]:
        return None
    return Caller(key, session["Arn"], iam_evaluator._role_name_from_assumed_arn(session["Arn"]))


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

    digest = hashlib.sha256(f"{account}/{role}/{name}".encode()).hexdigest()
    key = f"ASIA{digest[:16].upper()}"
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/{name}"
    if key not in sts._sessions:
        keys = {"SecretAccessKey": secrets.token_hex(20), "SessionToken": secrets.token_hex(32)}
        sts.register_session(key, {"Arn": arn, "UserId": f"{role}:{name}", **keys})
    return Caller(key, arn, role)
