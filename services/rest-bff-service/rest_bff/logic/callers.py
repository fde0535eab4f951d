"""Who sends a request, by the claims of the token that API Gateway has checked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .errors import UnknownCaller

SCOPES = ("scope", "scp")
"""Claims that hold scopes, separated by spaces."""


class Caller(NamedTuple):
    """Whoever sends a request.

    Attributes:
        id: a hash of issuer and subject (``iss``, ``sub``), which together are one caller and no other, so that rows
            and faults name nobody. Empty where access is open.
        is_admin: whether the caller may change stories of others.
    """

    id: str
    is_admin: bool


ANYBODY = Caller("", is_admin=False)
"""Who sends a request where access is open."""


def caller_of(claims: Mapping[str, Any], admin_scope: str) -> Caller:
    """The caller with these claims, which API Gateway hands over as text.

    Args:
        admin_scope: the scope of admins; empty if there are none.

    Raises:
        UnknownCaller: the token has no ``sub``, or one that names nobody; API Gateway writes a missing value as null.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or subject == "null":
        raise UnknownCaller
    both = json.dumps([claims.get("iss"), subject])
    is_admin = bool(admin_scope) and admin_scope in _scopes(claims)
    return Caller(hashlib.sha256(both.encode()).hexdigest(), is_admin)


def _scopes(claims: Mapping[str, Any]) -> Iterator[str]:
    """API Gateway writes a list as its values between brackets, separated by spaces."""
    for name in SCOPES:
        text = str(claims.get(name, ""))
        listed = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        yield from listed.split(" ")
