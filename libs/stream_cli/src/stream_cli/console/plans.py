"""Plans: what would be done is shown first, and exactly that is done when it is confirmed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stream_cli.errors import CommandError

CONFIRMED: Mapping[str, type] = {"plan": str, "typed": str}
"""The fields of a body that confirms a plan."""


def plan_id(*what: Any) -> str:
    """Names a plan by all that would be done; ``what`` are values of JSON."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def require_confirmed(body: Mapping[str, Any], plan: str, stage: str, *, is_production: bool) -> None:
    """See that a body confirms a plan as it is now.

    Args:
        body: with the ``plan`` that was shown and, for a production stage, the stage's name as it was ``typed``.

    Raises:
        ValueError: it names no plan.
        CommandError: the plan is another one by now, or the name was not typed.
    """
    if not body.get("plan"):
        raise ValueError("plan is missing: ask what would be done first.")
    if is_production and body.get("typed") != stage:
        raise CommandError(f"{stage} is a production stage: type its name to go on.")
    if body["plan"] != plan:
        raise CommandError("Nothing was done: what would be done has changed since it was shown. Look at it again.")
