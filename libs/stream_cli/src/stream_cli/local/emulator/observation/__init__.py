"""What happens in the emulator goes into the journal: each module observes one kind of it, in one place.

`patch` comes before other patches wrap the same functions, so that what they add is observed, too; `calls` comes last.
Observing never changes what happens: a line that cannot be made is left out, and the log says so once.
"""

from __future__ import annotations

from collections import defaultdict

from stream_cli.journal.writer import Writer
from stream_cli.local.emulator.observation import calls, events, items, messages, objects, records, refusals
from stream_cli.local.emulator.observation.observing import EmulatorJournal

INTERNALS: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
for _observed in (calls, events, items, messages, objects, records, refusals):
    for _module, _names in _observed.INTERNALS.items():
        INTERNALS[_module] += _names


def patch(journal: Writer) -> None:
    """Observe everything but invocations."""
    lines = EmulatorJournal(journal)
    for each in (events, items, messages, objects, records, refusals):
        each.patch(lines)


def patch_calls(journal: Writer) -> None:
    """Observe invocations, whichever way they are run."""
    calls.patch(EmulatorJournal(journal))
