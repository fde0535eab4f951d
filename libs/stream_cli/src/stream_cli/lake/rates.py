"""How many events there were in each second, as a load for `streamctl plan`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stream_cli.mappings.records import to_json
from stream_cli.stored.history import StoredEvent

RATE_COLUMNS = ("second", "type", "events", "bytes")
_DAY_S = 86_400


def rate_lines(stored: Iterable[StoredEvent]) -> Iterator[str]:
    """Lines of CSV. Seconds count from midnight (UTC) of the first day; bytes are those of a line's events together."""
    counts: dict[tuple[int, str], list[int]] = {}
    for each in stored:
        count = counts.setdefault((each.published_ms // 1_000, each.type), [0, 0])
        count[0] += 1
        count[1] += len(to_json(each.event))
    yield ",".join(RATE_COLUMNS)
    first = min(counts, default=(0, ""))[0] // _DAY_S * _DAY_S
    for (second, type_), (events, size) in sorted(counts.items()):
        yield f"{second - first},{_field(type_)},{events},{size}"


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
