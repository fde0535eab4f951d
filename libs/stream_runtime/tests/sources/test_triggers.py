"""The one source of a function with several triggers."""

from typing import Any

import pytest
from stream_runtime import UnsupportedEvent
from stream_runtime.events import (
    from_event,
    to_dynamodb_records,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_s3_records,
    to_schedule_event,
    to_sns_records,
    to_sqs_records,
)

THING = {"id": "e1", "type": "thing-created", "timestamp": 1, "partition_key": "t1"}
ROW = {"keys": {"pk": "t1", "sk": "thing"}, "newImage": {"pk": "t1", "sk": "thing"}}
OBJECT = {"bucket": {"name": "drops"}, "object": {"key": "a"}}


@pytest.mark.parametrize(
    ("invocation", "type_"),
    [
        (to_kinesis_records([THING]), "thing-created"),
        (to_sns_records([THING]), "thing-created"),
        (to_sqs_records([THING]), "thing-created"),
        (to_eventbridge_event(THING), "thing-created"),
        (to_firehose_records([THING]), "thing-created"),
        (THING, "thing-created"),
        (to_dynamodb_records([ROW]), "thing-created"),
        (to_s3_records([OBJECT]), "object-created"),
        (to_schedule_event(), "Scheduled Event"),
    ],
    ids=["kinesis", "sns", "sqs", "eventbridge", "firehose", "direct", "dynamodb", "s3", "schedule"],
)
def test_the_invocation_is_read_by_the_source_it_comes_from(invocation: Any, type_: str) -> None:
    assert [uow["event"]["type"] for uow in from_event(invocation)] == [type_]


def test_an_empty_batch_has_no_units() -> None:
    assert list(from_event({"Records": []})) == []


def test_the_test_notification_of_s3_has_no_units() -> None:
    assert list(from_event({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []


@pytest.mark.parametrize(
    ("invocation", "seen"),
    [
        ({"requestContext": {}, "rawPath": "/"}, "rawPath, requestContext"),
        ({"Records": [{"eventSource": "aws:kafka"}]}, "records of aws:kafka"),
        ({"Records": [{"eventSource": "aws:sqs"}, {"eventSource": "aws:kinesis"}]}, "records of aws:kinesis, aws:sqs"),
        ("text", "a str"),
        ({}, r"\(none\)"),
    ],
)
def test_an_unknown_event_is_refused_with_what_was_seen(invocation: Any, seen: str) -> None:
    with pytest.raises(UnsupportedEvent, match=seen):
        from_event(invocation)
