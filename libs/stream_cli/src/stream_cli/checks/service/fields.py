"""What rules with encrypted fields need: an extra of the runtime, a variable with keys of KMS, and actions on these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .handlers import ProbedRule
from .keys import is_arn_of_key
from .needs import Environment, publishes

KEYS = "ENCRYPTION_KEYS"
_BRINGS = re.compile(r"cryptography\b|-r\b|--requirement\b|[^#\[]*\[[^\]#]*\bencryption\b")
"""Lines of requirements that bring what encrypts, or may."""


def encrypts(rule: ProbedRule) -> bool:
    """Whether a rule encrypts fields of what it publishes: its own, or those that it has decrypted."""
    return rule.has("encrypt") or (rule.has("decrypt") and publishes(rule))


def needs_keys(rule: ProbedRule) -> bool:
    """Whether a rule encrypts or decrypts fields."""
    return rule.known_flavor and (rule.has("encrypt") or rule.has("decrypt"))


def lacks_extra(folder: Path | None) -> bool:
    """Whether the requirements of the service in a folder are known, and bring nothing that encrypts."""
    file = folder / "requirements.txt" if folder else None
    if file is None or not file.is_file():
        return False
    return not any(map(_BRINGS.match, file.read_text(encoding="utf-8").splitlines()))


def uses_of_fields(rule: ProbedRule, environment: Environment) -> Iterator[tuple[str, str | None]]:
    """Each action on a key that a rule takes, with the key's ARN; None where the key is named by an alias.

    Of several keys the function's own region's counts, which is not known here.
    """
    keys = [each.strip() for each in environment.get(KEYS, "").split(",") if each.strip()]
    if not needs_keys(rule) or not keys:
        return
    key = keys[0] if len(keys) == 1 and is_arn_of_key(keys[0]) else None
    if rule.has("decrypt"):
        yield "kms:Decrypt", key
    if encrypts(rule):
        yield "kms:GenerateDataKey", key
        if len(keys) > 1:
            yield "kms:Encrypt", None
