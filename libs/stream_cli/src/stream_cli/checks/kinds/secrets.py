"""Checks of secrets: what everybody can read who sees the template, the package or the function's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from stream_cli.checks.registry import Issue, Severity, check
from stream_cli.checks.service.packaged import Service

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = frozenset(
    {"bearer", "credential", "credentials", "creds", "passcode", "passphrase", "pwd", "secrets", "webhook"}
)  # fmt: skip
_ENDS = ("accesskey", "apikey", "passwd", "password", "privatekey", "secret", "secretkey", "token")
"""How a word ends that is a secret, also without a mark between its parts: `PGPASSWORD`."""
_KEYS = frozenset(
    {"access", "api", "auth", "client", "encryption", "hmac", "master", "private", "secret", "session", "shared",
     "signing", "ssh"}
)  # fmt: skip
"""Words before `key` that make it a secret; `PARTITION_KEY` is none."""
_DESCRIBES = frozenset(
    {"algorithm", "arn", "audience", "count", "days", "enabled", "endpoint", "field", "header", "hours", "id", "issuer",
     "length", "limit", "minutes", "ms", "name", "parameter", "path", "prefix", "scope", "seconds", "size", "table",
     "ttl", "type", "version"}
)  # fmt: skip
"""Last words of a name that say where a secret is, or something about it."""
_KEPT = re.compile(
    r"""(?x)
      \{\{resolve:(?:secretsmanager|ssm|ssm-secure):[^{}]+\}\}
    | arn:[\w-]+:(?:kms|secretsmanager|ssm):[^\s,]+
    | \balias/[\w/-]+  # a key of KMS, which stays there
    """
)
_RESOURCE = re.compile(r"\$\{(\w+)(?:\.(?:Arn|Id|Name))?\}")
_LOOKS_SECRET = re.compile(
    r"""(?x)
      \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                         # access key of AWS
    | (?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.                # JSON web token
    | -----BEGIN\ [A-Z\ ]{0,20}PRIVATE\ KEY-----
    | \b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk_live_|rk_live_)[\w-]{10,}
    | //hooks\.slack\.com/services/
    | ://[^\s/:@]{0,200}:[^\s/@]{1,200}@                    # password in a URL
    """
)


@check(
    "SM701",
    Severity.ERROR,
    title="Secret in the environment",
    why="Whoever sees the function's configuration, the template or the package reads it, and deployments keep it.",
    fix="Keep it in Secrets Manager or in a SecureString of Systems Manager, give the function its name or ARN (a "
    "variable such as TOKEN_ARN), and let it read the value. Replace a secret that was deployed.",
)
def secret_in_the_environment(service: Service) -> Iterator[Issue]:
    resources = service.template.resources
    for function in service.template.functions.values():
        for name, value in function.environment.items():
            written = _KEPT.sub("", value).strip(" ,")
            named = _RESOURCE.fullmatch(written)
            if says_secret(name) and written and not (named and named[1] in resources):
                yield Issue(function, f"the environment variable {name} holds a secret", "environment")
            elif _LOOKS_SECRET.search(written):
                yield Issue(
                    function, f"the value of the environment variable {name} looks like a secret", "environment"
                )


def says_secret(name: str) -> bool:
    """Whether the name of a variable says that its value is a secret, however it is written.

    `DB_PASSWORD`, `githubToken` and `SLACK_WEBHOOK_URL` do; `DB_PASSWORD_ARN`, `TOKEN_SECONDS`, `PARTITION_KEY` do not.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _DESCRIBES:
        return False
    if words[-1] == "pass" or any(word in _SECRET or word.endswith(_ENDS) for word in words):
        return True
    return any(before in _KEYS and word in ("key", "keys") for before, word in pairwise(words))
