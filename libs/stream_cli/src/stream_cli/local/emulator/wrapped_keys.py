"""KMS's Decrypt refuses what another key has encrypted, and what no key has.

ministack decrypts with the key that the request names, whichever was used, and answers with random bytes.

Source: KMS API reference, "Decrypt", KeyId, IncorrectKeyException and InvalidCiphertextException.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Mapping
from typing import Any

INTERNALS = {"ministack.services.kms": ("_decrypt", "_keys", "_resolve_key", "error_response_json")}

_ID_CHARACTERS = 36
_SHORTEST = 84
"""Bytes of what ministack puts before a text that it encrypts: the key's id, a digest of the context, a nonce."""


def patch() -> None:
    """Look at what was encrypted before it is decrypted."""
    from ministack.services import kms

    decrypt = kms._decrypt

    def checked(data: Mapping[str, Any]) -> Any:
        named = kms._resolve_key(data.get("KeyId", ""))
        if named is None or "_symmetric_key" not in named:
            return decrypt(data)
        try:
            blob = a2b_base64(str(data.get("CiphertextBlob", "")))
        except Error:
            blob = b""
        used = blob[:_ID_CHARACTERS].decode("ascii", "replace")
        if len(blob) < _SHORTEST or used not in kms._keys:
            return kms.error_response_json("InvalidCiphertextException", "", 400)
        if used != named["KeyId"]:
            message = "The key ID in the request does not identify a CMK that can perform this operation."
            return kms.error_response_json("IncorrectKeyException", message, 400)
        return decrypt(data)

    kms._decrypt = checked
