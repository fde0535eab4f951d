"""Encrypted fields in a service's own rows and events, for code that makes and reads them itself.

    row = encrypt({"pk": "p1", "sk": "person", "email": "ada@example.org"}, ["email"], bound=["pk", "sk"])
    person = decrypt(row)

Rules of a function have the fields ``encrypt`` and ``decrypt`` for the events that they publish and get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .events.data_keys import BOUND_OF_EVENT, decrypted_object, encrypted_object, forget
from .payload.encryption import HEADER, is_encrypted

__all__ = ["BOUND_OF_EVENT", "HEADER", "decrypt", "encrypt", "forget", "is_encrypted"]


def encrypt(value: Mapping[str, Any], fields: Sequence[str], bound: Sequence[str] = BOUND_OF_EVENT) -> dict[str, Any]:
    """An object with some of its fields encrypted, and a header under ``encryption``.

    Args:
        value: the object; it stays as it is.
        fields: paths such as ``order.email`` or ``order.lines.*.card``. A field that is not there, or null, stays so.
        bound: names of members of the object, such as a row's key: it can be decrypted only with the same values there.

    Raises:
        ValueError: it has a header already, a path cannot be used, or nothing can be bound to a member.
        ConfigurationError: ENCRYPTION_KEYS is not set, or the package lacks ``stream-runtime[encryption]``.
        Exception: what KMS answered at the last attempt.
    """
    return encrypted_object(value, fields, bound)


def decrypt(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it was before `encrypt`, without the header; one without a header as it is.

    Raises:
        InvalidRecord: it is damaged, or not what was encrypted.
        ConfigurationError: ENCRYPTION_KEYS has no key for it, or the package lacks ``stream-runtime[encryption]``.
        Exception: what KMS answered at the last attempt; AccessDeniedException to those who may not.
    """
    return decrypted_object(value)[0] if is_encrypted(value) else dict(value)
