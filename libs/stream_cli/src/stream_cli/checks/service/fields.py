"""What rules with encrypted fields need: the variable with the keys of KMS, and actions on these."""

from __future__ import annotations

from collections.abc import Iterator

from .handlers import ProbedRule
from .keys import is_arn_of_key
from .needs import Environment, publishes

KEYS = "ENCRYPTION_KEYS"


def encrypts(rule: ProbedRule) -> bool:
    """Whether a rule encrypts fields of what it publishes: its own, or those that it has decrypted."""
    return rule.has("encrypt") or (rule.has("decrypt") and publishes(rule))


def needs_keys(rule: ProbedRule) -> bool:
    """Whether a rule encrypts or decrypts fields."""
    return rule.known_flavor and (rule.has("encrypt") or rule.has("decrypt"))


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
