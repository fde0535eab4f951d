"""A Kinesis request looks at what has expired, and not at everything that may expire later.

ministack goes through all iterators of the last five minutes at each request, and through all records of a stream, a
day's, at each request that reads or writes it. Every GetRecords leaves an iterator behind, so the cost of a request
grows with their number: after 10,000 events, an idle emulator used half a core for polling readers.

Iterators are made and records arrive in the order of time, so that the first one which has not expired ends the search.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

INTERNALS = {
    "ministack.services.kinesis": (
        *("_expire_iterators", "_expire_records", "_shard_iterators", "ITERATOR_EXPIRY_SECONDS"),
    ),
}


def patch() -> None:
    """Stop each search at the first that has not expired."""
    from ministack.services import kinesis

    def expire_iterators() -> None:
        forget_expired(kinesis._shard_iterators._data, time.time() - kinesis.ITERATOR_EXPIRY_SECONDS)

    kinesis._expire_iterators, kinesis._expire_records = expire_iterators, expire_records


def forget_expired(iterators: MutableMapping[Any, dict[str, Any]], made_before: float) -> None:
    """Remove the iterators that were made before a time (s since 1970); they are in the order in which they were."""
    expired = []
    for token, iterator in iterators.items():
        if iterator["created_at"] >= made_before:
            break
        expired.append(token)
    for token in expired:
        del iterators[token]


def expire_records(stream: dict[str, Any]) -> None:
    """Remove the records that a stream does not keep any longer."""
    cutoff = time.time() - stream["RetentionPeriodHours"] * 3600
    for shard in stream["shards"].values():
        records = shard["records"]
        kept = next((n for n, record in enumerate(records) if record["ApproximateArrivalTimestamp"] >= cutoff), None)
        if kept is None:
            records.clear()
        elif kept:
            del records[:kept]
