"""The local cloud enforces the policies that are deployed, as AWS does, by ministack's own evaluation of them.

ministack checks requests and their signatures if its switch AUTH is on. Here it is, and

- functions call with sessions of their roles (`callers`); keys that are not of this cloud are the administrator's;
- requests that name their operation are checked on their short way, too (`operations`), with decisions that are
  remembered (`decisions`), and with the variables of policies (`variables`); the signature of a session is not computed
  again there, its token is compared;
- actions and resources are AWS's where ministack has others (`operations`), and so are the answers (`refusals`), which
  people get together with the statement that is missing;
- services need permissions for what they deliver (`deliveries`) and read (`mappings`), also those of this cloud that
  run in other processes (`sessions`).
"""

from __future__ import annotations

from collections import defaultdict

from stream_cli.local.emulator.authorization import (
    callers,
    decisions,
    deliveries,
    mappings,
    operations,
    refusals,
    services,
    sessions,
    variables,
)

INTERNALS: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
for _part in (callers, decisions, deliveries, mappings, operations, refusals, services, sessions, variables):
    for _module, _names in _part.INTERNALS.items():
        INTERNALS[_module] += _names


def patch() -> None:
    """Enforce policies."""
    for part in (callers, decisions, variables, operations, refusals, deliveries, mappings):
        part.patch()
