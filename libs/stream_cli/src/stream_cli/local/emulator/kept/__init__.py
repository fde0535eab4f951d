"""The state of the local cloud survives the end of the emulator, however it comes.

Requests are not replayed, as that would give other ids, numbers and times: what is kept is the state itself. What has
changed is written in one transaction before an answer tells of it (`keeper`): an answer that was sent is kept, and what
was not kept was told to nobody. After a kill the emulator goes on with what is in the file, and does what it had
acknowledged but not done yet (`promises`).

Kept are `settled` state, which only some requests change, and `moving` state, which changes all the time. Not kept are
results of queries of logs, faults that were injected, and connections.
"""

from __future__ import annotations

from collections import defaultdict

from stream_cli.local.emulator.kept import moving, promises, requests, settled
from stream_cli.local.emulator.kept.keeper import Keeper
from stream_cli.local.emulator.kept.requests import Answers

INTERNALS: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
for _part in (moving, promises, requests, settled):
    for _module, _names in _part.INTERNALS.items():
        INTERNALS[_module] += _names

__all__ = ["INTERNALS", "Answers", "Keeper", "patch"]


def patch(keeper: Keeper) -> None:
    """Learn of all changes; after the patches that make some, and before those that only ask."""
    keeper.patch()
    requests.patch(keeper)
