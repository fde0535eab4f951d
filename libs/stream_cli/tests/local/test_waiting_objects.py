"""Objects of Firehose that wait for a permission: a write that fails takes none of the others with it."""

from __future__ import annotations

import threading

import pytest
from stream_cli.local.emulator.authorization import deliveries

ROLE = ("arn:aws:iam::000000000000:role/delivery", "arn:aws:firehose:us-east-1:000000000000:deliverystream/lake")


def test_a_write_that_fails_is_tried_again_and_the_other_objects_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    permitted, written, all_written = threading.Event(), [], threading.Event()
    problems = [OSError("no space left on device")]

    def put(_bucket: str, key: str, _body: bytes) -> None:
        if problems:
            raise problems.pop()
        written.append(key)
        if len(written) == 3:
            all_written.set()

    monkeypatch.setattr(deliveries, "_FIREHOSE_RETRY_S", 0.01)
    monkeypatch.setattr(deliveries._Waiting, "_may", lambda *_: permitted.is_set())
    waiting = deliveries._Waiting(put)
    delivering = deliveries._delivering.set(ROLE)
    try:
        for key in ("first", "second", "third"):
            waiting.put("lake", key, b"event")
    finally:
        deliveries._delivering.reset(delivering)
    assert not written
    permitted.set()
    assert all_written.wait(30)
    assert sorted(written) == ["first", "second", "third"]
