"""A Kinesis request does not look at every iterator and record of the past."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from stream_cli.local.emulator import kinesis_expiry
from stream_cli.local.emulator.kinesis_expiry import expire_records, forget_expired


class Counted(dict[Any, Any]):
    """A dict that counts the members which are looked at."""

    looked_at = 0

    def items(self) -> Iterator[tuple[Any, Any]]:  # type: ignore[override]
        for item in super().items():
            self.looked_at += 1
            yield item


class CountedRecords(list[Any]):
    """A list that counts the elements which are looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self.looked_at += 1
            yield each


def test_only_expired_iterators_and_the_first_other_are_looked_at() -> None:
    iterators = Counted({n: {"created_at": n} for n in range(10_000)})
    forget_expired(iterators, 3)
    assert (list(iterators), iterators.looked_at) == (list(range(3, 10_000)), 4)


def test_only_expired_records_and_the_first_other_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 4 * 3600.0)
    records = CountedRecords({"ApproximateArrivalTimestamp": n} for n in range(-2, 10_000))
    shards = {"old": {"records": records}, "new": {"records": []}, "past": {"records": list(records[:1])}}
    records.looked_at = 0
    expire_records({"RetentionPeriodHours": 4, "shards": shards})
    assert records.looked_at <= 4
    assert [len(shard["records"]) for shard in shards.values()] == [10_000, 0, 0]


def test_an_expired_iterator_is_refused_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import kinesis

    for name in ("_expire_iterators", "_expire_records"):
        monkeypatch.setattr(kinesis, name, getattr(kinesis, name))
    kinesis_expiry.patch()
    monkeypatch.setitem(kinesis._shard_iterators._data, ("1", "r", "old"), {"created_at": time.time() - 301})
    kinesis._expire_iterators()
    assert ("1", "r", "old") not in kinesis._shard_iterators._data
