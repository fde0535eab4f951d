"""Secrets that are known by their form: keys of AWS, JSON Web Tokens, tokens with the prefix of their service."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from itertools import pairwise

Span = tuple[int, int]

_AWS_KEY = re.compile(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}")
_AWS_SECRET_AFTER = re.compile(r"[\s,;:|\"'/]{1,8}([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])")
_BASE64_AND_DOTS = re.compile(r"[A-Za-z0-9+/_=.\-]*")
_KNOWN = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "hf_", "dop_v1_", "shpat_"),
    *("xoxa-", "xoxb-", "xoxp-", "xoxs-", "xapp-", "sk_live_", "sk_test_", "rk_live_", "whsec_", "sk-ant-", "sk-proj-"),
    *("sk-", "AIza", "ya29.", "SG."),
)
SHORTEST = 16


def known_by_form(text: str, start: int, end: int, has_secret: Callable[[str], bool]) -> list[Span]:
    """The secrets in a run of word characters, and what belongs to them behind it; `has_secret` looks into a text."""
    run = text[start:end]
    if len(run) < SHORTEST and "eyJ" not in run:
        return []
    aws = _AWS_KEY.search(run)
    if aws:
        found = [(start + aws.start(), end)]
        secret = _AWS_SECRET_AFTER.match(text, end)
        return [*found, secret.span(1)] if secret and is_random(secret[1]) else found
    jwt = run.find("eyJ")
    if jwt >= 0 and (jwt == 0 or not run[jwt - 1].isalnum()):
        stop = _BASE64_AND_DOTS.match(text, start + jwt).end()  # type: ignore[union-attr]
        token = text[start + jwt : stop]
        if len(token) >= 2 * SHORTEST and ("." in token or _hides(token, has_secret)):
            return [(start + jwt, stop)]
    if not run.startswith(_KNOWN):
        return []
    known = next(each for each in _KNOWN if run.startswith(each))
    return [(start, end)] if len(run) >= len(known) + SHORTEST and is_random(run) else []


def is_random(text: str) -> bool:
    """Whether a text looks made rather than written: it has digits, or capitals behind small letters."""
    has_digit = any(each.isdigit() for each in text)
    has_capitals = any(a.islower() and b.isupper() for a, b in pairwise(text))
    return has_digit or has_capitals or len(text) >= 2 * SHORTEST


def _hides(encoded: str, has_secret: Callable[[str], bool]) -> bool:
    """Whether a text in base64 has a secret; JSON in base64 begins as a JSON Web Token does."""
    try:
        text = base64.b64decode(f"{encoded.rstrip('=')}===", altchars=b"-_").decode()
    except ValueError:
        return True
    return has_secret(text)
