"""How many events there were in each second, and how they shared keys, as a load for `streamctl plan`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from stream_cli.mappings.records import to_json
from stream_cli.stored.history import StoredEvent

RATE_COLUMNS = ("second", "type", "events", "bytes")
KEY_COLUMNS = ("keys", "hottest")
_DAY_S = 86_400


def rate_lines(stored: Iterable[StoredEvent]) -> Iterator[str]:
    """Lines of CSV. Seconds count from midnight (UTC) of the first day; bytes are those of a line's events together.

    Each line also says of all events of its type how many partition keys they have, and which share of them has the
    most frequent one.
    """
    counts: dict[tuple[int, str], list[int]] = {}
    keys: dict[str, Counter[object]] = {}
    for each in stored:
        count = counts.setdefault((each.published_ms // 1_000, each.type), [0, 0])
        count[0] += 1
        count[1] += len(to_json(each.event))
        keys.setdefault(each.type, Counter())[str(each.event.get("partition_key") or each.event.get("id"))] += 1
    yield ",".join((*RATE_COLUMNS, *KEY_COLUMNS))
    first = min(counts, default=(0, ""))[0] // _DAY_S * _DAY_S
    shared = {type_: (len(of), max(of.values()) / of.total()) for type_, of in keys.items()}
    for (second, type_), (events, size) in sorted(counts.items()):
        many, hottest = shared[type_]
        yield f"{second - first},{_field(type_)},{events},{size},{many},{hottest:.6g}"


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
