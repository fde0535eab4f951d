"""The emulator does not do again what it has done, nor what another process does."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from stream_cli.local.emulator import own_delivery
from stream_cli.local.emulator.dynamodb.remembered import remembered
from stream_cli.local.emulator.random_ids import random_id


def test_a_text_is_read_once() -> None:
    read: list[Any] = []

    def reading(text: Any) -> str:
        """Reads."""
        read.append(text)
        return f"<{text}>"

    once = remembered(reading)
    assert [once(text) for text in ("1.0", "2", "1.0", None, None, [])] == [
        *("<1.0>", "<2>", "<1.0>", "<None>", "<None>", "<[]>"),
    ]
    assert read == ["1.0", "2", None, None, []]


def test_a_bus_makes_no_text_for_targets_that_another_process_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import eventbridge, lambda_svc

    invoked: list[str] = []
    monkeypatch.setattr(eventbridge, "_invoke_target", lambda target, *event: invoked.append(target["Arn"]))
    for name in ("_poll_kinesis", "_poll_dynamodb_streams"):
        monkeypatch.setattr(lambda_svc, name, getattr(lambda_svc, name))
    own_delivery.patch()
    for service in ("kinesis", "firehose", "logs", "sqs", "lambda", "events"):
        eventbridge._invoke_target({"Arn": f"arn:aws:{service}:us-east-1:000000000000:x"}, {}, {})
    assert [arn.split(":")[2] for arn in invoked] == ["sqs", "lambda", "events"]


def test_a_random_id_is_a_uuid_of_version_4_and_there_once() -> None:
    made = [random_id() for _ in range(1_000)]
    assert len({*made}) == 1_000
    for each in made:
        read = uuid.UUID(each)
        assert (str(read), read.version, read.variant) == (each, 4, uuid.RFC_4122)
