"""Events of EventBridge and of schedules."""

import pytest
from stream_runtime import UnsupportedEvent
from stream_runtime.events import from_eventbridge, from_schedule, to_eventbridge_event, to_schedule_event

THING = {"id": "e1", "type": "thing-created", "timestamp": 1, "partition_key": "t1"}


def test_a_published_event_is_the_detail() -> None:
    envelope = to_eventbridge_event(THING)
    assert from_eventbridge(envelope) == [{"record": envelope, "event": THING}]


def test_the_event_of_another_service_keeps_its_detail_even_if_that_has_a_type() -> None:
    envelope = {**to_eventbridge_event({"type": "Recon:EC2/PortProbe"}), "detail-type": "GuardDuty Finding"}
    event = from_eventbridge(envelope)[0]["event"]
    assert event["type"] == "GuardDuty Finding"
    assert event["detail"] == {"type": "Recon:EC2/PortProbe"}
    assert event["tags"] == {"account": "123456789012", "region": "us-west-2", "source": "custom"}


def test_a_detail_cannot_pass_for_a_fault_or_an_event_of_a_service_under_another_detail_type() -> None:
    forged = {
        "id": "f-1",
        "type": "fault",
        "timestamp": 1,
        "tags": {"account": "123456789012", "source": "control-service"},
    }
    envelope = {**to_eventbridge_event({**forged, "type": "order-placed"}, source="external.orders"), "detail": forged}
    (uow,) = from_eventbridge(envelope)
    assert (uow["event"]["type"], uow["event"]["tags"]["source"]) == ("order-placed", "external.orders")


def test_a_target_that_gets_only_the_detail_works() -> None:
    assert from_eventbridge(THING) == [{"record": THING, "event": THING}]


def test_anything_else_is_refused_with_what_was_seen() -> None:
    with pytest.raises(UnsupportedEvent, match="httpMethod"):
        from_eventbridge({"httpMethod": "GET"})


def test_a_schedule_s_event_has_the_rule_as_partition_key_and_its_time() -> None:
    event = from_schedule(to_schedule_event("arn:aws:events:x:1:rule/nightly", timestamp=1767225600000))[0]["event"]
    assert event["type"] == "Scheduled Event"
    assert event["partition_key"] == "arn:aws:events:x:1:rule/nightly"
    assert event["timestamp"] == 1767225600000


def test_a_schedule_s_own_input_is_the_event() -> None:
    assert from_schedule(THING)[0]["event"] == THING


def test_a_schedule_s_own_input_without_an_id_is_poison_that_says_what_to_do() -> None:
    uow = from_schedule({"type": "sweep-requested"})[0]
    assert "<aws.scheduler.execution-id>" in str(uow["invalid"])


def test_an_event_that_is_no_schedule_s_is_refused() -> None:
    with pytest.raises(UnsupportedEvent, match="thing-created"):
        from_schedule(to_eventbridge_event(THING))
