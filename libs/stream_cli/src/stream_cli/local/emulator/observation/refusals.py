"""Requests of functions that policies do not allow."""

from __future__ import annotations

from stream_cli.local.emulator.authorization import refusals
from stream_cli.local.emulator.authorization.refusals import Refusal
from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS: dict[str, tuple[str, ...]] = {}


def patch(lines: EmulatorJournal) -> None:
    """Observe what is refused."""

    def observe(refusal: Refusal) -> None:
        if refusal.function:
            lines.observe(
                {
                    "kind": "refused",
                    "at": lines.now(),
                    "function": refusal.function.rpartition(":function:")[2],
                    "action": refusal.action,
                    "resource": refusal.resource,
                    "missing": {"Effect": "Allow", "Action": refusal.action, "Resource": refusal.resource},
                    "message": str(refusal),
                }
            )

    refusals.listeners.append(safely(observe))
