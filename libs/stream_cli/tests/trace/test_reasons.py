"""At the end of a timeline stands what it waits for, and why."""

import pytest
from observed_system import (
    LISTENER,
    NOON,
    QUEUE,
    STREAM,
    TABLE,
    TRIGGER,
    VIEW,
    Observed,
    SmallSystem,
    Trace,
    mapping,
)
from stream_cli.faults.ledger import Outcome, Resubmission
from stream_cli.trace.deployed import ShardLag
from stream_cli.trace.model import Timeline, Waiting

SHARD = "shardId-000000000000"


def only(timeline: Timeline) -> Waiting:
    (waiting,) = timeline.waits
    return waiting


def test_an_evaluation_that_still_needs_a_type_says_which(observed: Observed, trace: Trace) -> None:
    row = observed.collected(observed.event("s1", "submitted"))
    observed.attempt(TRIGGER, row, stream=TABLE)
    waiting = only(trace("story-1"))
    assert waiting.reason == "event types"
    assert waiting.what == f"evaluate-story of {TRIGGER} still needs analyzed for story-1"
    assert waiting.why == (
        "correlation story-1.whole holds 1 of 2: submitted (s1)",
        "no analyzed of story-1 was published",
        "its time to live ends at 2026-01-01T13:00:00Z; then expired is published",
    )


def test_a_type_that_came_elsewhere_is_named_and_a_misspelt_one_too(observed: Observed, trace: Trace) -> None:
    row = observed.collected(observed.event("s1", "submitted"))
    observed.attempt(TRIGGER, row, stream=TABLE)
    observed.filtered(LISTENER, number := observed.record(observed.event("a1", "analysed")))
    observed.filtered(VIEW, number)
    why = [line for waiting in trace("story-1").waits if waiting.reason == "event types" for line in waiting.why]
    assert "analysed came; is it misspelt?" in why
    observed.filtered(LISTENER, number := observed.record(observed.event("a2", "analyzed")))
    observed.filtered(VIEW, number)
    why = [line for waiting in trace("s1").waits if waiting.reason == "event types" for line in waiting.why]
    assert any(line.startswith("analyzed a2 came at ") for line in why)


def test_a_correlation_with_all_types_waits_for_its_expression(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    for id, type in (("s1", "submitted"), ("a1", "analyzed")):
        observed.attempt(TRIGGER, observed.collected(observed.event(id, type)), stream=TABLE)
    waiting = only(trace("story-1"))
    assert waiting.reason == "expression"
    assert (
        waiting.what == "the expression of evaluate-story does not hold for the 2 events of correlation story-1.whole"
    )
    assert waiting.why[0].startswith(f"is_complete (handlers.py:6) of {TRIGGER}; held: ")


def test_a_correlation_whose_suffix_no_rule_evaluates_says_which_suffixes_are(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    system.handlers = system.handlers.replace('"whole", "expression"', '"hole", "expression"')
    for id, type in (("s1", "submitted"), ("a1", "analyzed")):
        observed.attempt(TRIGGER, observed.collected(observed.event(id, type)), stream=TABLE)
    for asked in ("story-1", "story-1.whole"):
        waiting = only(trace(asked))
        assert waiting.reason == "no pipeline"
        assert waiting.what == "no rule evaluates correlation story-1.whole, whose suffix is whole; did you mean hole?"
        assert waiting.why == (f"evaluate-story of {TRIGGER} evaluates those with the suffix hole",)


def test_a_correlation_that_has_emitted_waits_for_nothing(observed: Observed, trace: Trace) -> None:
    ready(observed)
    assert trace("story-1").waits == []


def ready(observed: Observed) -> None:
    """A story that is ready, and has a view."""
    observed.attempt(TRIGGER, observed.collected(observed.event("s1", "submitted")), stream=TABLE)
    last = observed.collected(observed.event("a1", "analyzed"))
    marker = observed.row("story-1.whole", "ONCE#evaluate-story", "evaluating", discriminator={"S": "ONCE"})
    event = observed.event(
        "story-1.whole.evaluate-story", "ready", by="evaluating", triggers=[{"id": "s1"}, {"id": "a1"}],
        tags={"pipeline": "evaluate-story", "functionname": TRIGGER},
    )  # fmt: skip
    observed.now += 10
    observed.attempt(TRIGGER, last, stream=TABLE, request="evaluating")
    observed.filtered(TRIGGER, marker, stream=TABLE)
    number = observed.record(event)
    observed.filtered(LISTENER, number)
    observed.attempt(VIEW, number)


def test_the_part_of_a_filter_that_lets_nothing_through_is_named(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("a1", "analysed"))
    observed.filtered(LISTENER, number)
    observed.filtered(VIEW, number)
    waiting = only(trace("a1"))
    assert (waiting.reason, waiting.what) == ("filter", "the filter of no mapping on hub lets analysed a1 through")
    assert waiting.why == (
        f'{LISTENER}: data.type is "analysed"; the pattern takes "submitted", "analyzed" (did you mean "analyzed"?)',
        f'{VIEW}: data.type is "analysed"; the pattern takes "ready"',
    )


def test_a_filter_that_drops_what_the_rules_handle_is_named(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    system.deployed["view"] = mapping("m-view", VIEW, STREAM)
    system.deployed["listener"] = mapping("m-listener", LISTENER, STREAM, {"data": {"typ": ["submitted"]}})
    number = observed.record(observed.event("s1", "submitted"))
    observed.filtered(LISTENER, number)
    observed.attempt(VIEW, number)
    waiting = only(trace("s1"))
    assert waiting.what == f"the filter of {LISTENER} does not let s1 through, though its rules handle it"
    assert waiting.why == (f'{LISTENER}: data.typ is missing; the pattern takes "submitted"',)


def test_a_filter_that_drops_a_collected_row_is_named(observed: Observed, system: SmallSystem, trace: Trace) -> None:
    kept = {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"discriminator": {"S": ["EVENTS"]}}}}
    system.deployed["trigger"] = mapping("m-trigger", TRIGGER, TABLE, kept)
    observed.filtered(TRIGGER, observed.collected(observed.event("s1", "submitted")), stream=TABLE)
    waiting = trace("s1").waits[0]
    name = "the change of row story-1.whole | s1"
    assert waiting.what == f"the filter of {TRIGGER} does not let {name} through, though its rules handle it"
    assert waiting.why == (f'{TRIGGER}: dynamodb.NewImage.discriminator.S is "CORREL"; the pattern takes "EVENTS"',)


def test_a_row_that_its_function_has_not_come_to_is_behind(observed: Observed, trace: Trace) -> None:
    observed.collected(observed.event("s1", "submitted"))
    behind = trace(
        "s1", {("m-trigger", "shard-1"): ShardLag(0, 0), ("m-trigger", "shard-2"): ShardLag(7, 1_200)}
    ).waits[0]
    assert behind.what == f"{TRIGGER} has not come to the change of row story-1.whole | s1"
    assert behind.why == ("table events: 7 records, 1200 ms behind",)


def test_functions_that_get_an_event_but_have_no_rule_for_it_are_named(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    system.deployed["view"] = mapping("m-view", VIEW, STREAM)
    number = observed.record(observed.event("r1", "redy"))
    observed.filtered(LISTENER, number)
    observed.attempt(VIEW, number)
    waiting = only(trace("r1"))
    assert waiting.reason == "no pipeline"
    assert waiting.what == "no rule of the functions that get it handles redy; did you mean ready?"
    assert waiting.why == (f"{VIEW} handles ready",)


def test_a_shard_that_is_behind_says_by_how_much_and_what_holds_it(observed: Observed, trace: Trace) -> None:
    before, number = (observed.record(observed.event(id, "submitted", id)) for id in ("s0", "s1"))
    observed.filtered(VIEW, number)
    observed.now += 50
    failing = {"outcome": "failed", "problem": "KeyError: 'story'", "attempt": 3, "next": NOON + observed.now + 5_000}
    observed.attempt(LISTENER, before, **failing)
    waiting = only(trace("s1", {("m-listener", SHARD): ShardLag(2, 150)}))
    assert (waiting.reason, waiting.what) == ("behind", f"{LISTENER} has not come to s1")
    assert waiting.why == (
        "shard 0 of hub: 2 records, 150 ms behind",
        "the records before it fail: KeyError: 'story' (attempt 3, again at 2026-01-01T12:00:05Z)",
    )


def test_a_record_in_backoff_says_until_when(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.filtered(VIEW, number)
    observed.attempt(
        LISTENER, number, outcome="failed", problem="reported 101", attempt=4, next=NOON + observed.now + 8_100,
        rule="collect-story", operation="PutItem", target="events", reason="ThrottlingException, password=Xk29z!",
    )  # fmt: skip
    waiting = only(trace("s1"))
    assert waiting.reason == "backoff"
    assert waiting.what == f"{LISTENER} tries s1 again in 8000 ms, at 2026-01-01T12:00:08Z"
    assert waiting.why == (
        "attempt 4 failed: reported 101, rule collect-story, PutItem on events, "
        "ThrottlingException, password=[redacted]",
    )


def test_an_event_that_no_rule_takes_says_which_part_of_each_rule(observed: Observed, trace: Trace) -> None:
    observed.event("i1", "internal", taken=False)
    waiting = only(trace("i1"))
    assert (waiting.reason, waiting.what) == ("no rule", "no rule of hub takes internal i1")
    (why,) = waiting.why
    assert why.startswith('rule to-stream: detail-type is "internal"; the pattern takes {"anything-but": ')


def test_a_fault_says_how_it_is_resubmitted_without_its_secrets(observed: Observed, trace: Trace) -> None:
    row = observed.collected(observed.event("a1", "analyzed"))
    observed.event(
        "a1.evaluate-story.fault", "fault", "a1", by="evaluating",
        err={"name": "ValueError", "message": "password=Xk29z!"},
        tags={"pipeline": "evaluate-story", "functionname": TRIGGER},
    )  # fmt: skip
    observed.attempt(TRIGGER, row, stream=TABLE, request="evaluating")
    fault = trace("a1").waits[0]
    assert fault.reason == "fault"
    assert fault.what == f"the record became a fault in pipeline evaluate-story of {TRIGGER}"
    assert fault.why[0] == "ValueError: password=[redacted]"
    assert fault.command == "streamctl faults resubmit a1.evaluate-story.fault --execute"


def test_a_fault_that_nothing_keeps_is_not_said_to_be_resubmitted(observed: Observed, trace: Trace) -> None:
    observed.event("a1.f", "fault", "a1", taken=False, err={"name": "ValueError", "message": "no"})
    (fault,) = trace("a1.f").waits
    assert fault.why[1].startswith("no rule of hub takes fault, so nothing keeps it, and it cannot be resubmitted")
    assert fault.command == "streamctl deploy event-fault-monitor"


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("done", None),
        ("failed", "its resubmission at 2026-01-01T12:00:01Z failed"),
        ("begun", "its resubmission at 2026-01-01T12:00:01Z was interrupted"),
    ],
)
def test_a_fault_that_was_resubmitted_says_how_that_ended(
    observed: Observed, trace: Trace, outcome: Outcome, told: str | None
) -> None:
    observed.event("a1.evaluate-story.fault", "fault", "a1", err={"name": "ValueError", "message": "no"})
    resubmitted = {"a1.evaluate-story.fault": Resubmission(outcome, NOON + 1_000, "")}
    waits = trace("a1.evaluate-story.fault", resubmitted=resubmitted).waits
    assert [each.why[1] for each in waits] == ([told] if told else [])
    again = {"failed": "--failed-again", "begun": "--again"}.get(outcome)
    assert all(str(each.command).endswith(f"--execute {again}") for each in waits)


def test_records_that_were_given_up_name_the_queue(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.filtered(VIEW, number)
    observed.attempt(LISTENER, number, outcome="failed", problem="KeyError", attempt=2)
    observed.put(
        "given_up", mapping="m-listener", function=LISTENER, stream=STREAM, shard=SHARD, numbers=[number],
        condition="RetryAttemptsExhausted", attempts=2, destination=QUEUE,
    )  # fmt: skip
    waiting = only(trace("s1"))
    assert waiting.what == f"{LISTENER} has given up s1 after 2 attempts"
    assert waiting.why == ("RetryAttemptsExhausted: KeyError", "failures has its place in the stream")


def test_a_request_that_the_role_does_not_allow_is_named(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.filtered(VIEW, number)
    statement = {"Effect": "Allow", "Action": "dynamodb:PutItem"}
    observed.put(
        "refused", function=LISTENER, action="dynamodb:PutItem", resource="table/events", missing=statement,
        message="User: x is not authorized to perform: dynamodb:PutItem", by="listening",
    )  # fmt: skip
    observed.attempt(LISTENER, number, outcome="failed", problem="reported 101", request="listening")
    refused, failed = trace("s1").waits
    assert (refused.reason, refused.what) == ("refused", f"{LISTENER} may not dynamodb:PutItem on table/events")
    assert refused.why[1] == f"its role lacks {statement}"
    assert failed.reason == "failed"


def test_the_statement_that_is_missing_stands_once_in_lines(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.put(
        "refused", function=LISTENER, action="dynamodb:PutItem", resource="table/events", by="listening",
        missing={"Effect": "Allow", "Action": "dynamodb:PutItem"},
        message="This one is missing:\n- Effect: Allow\n  Action: dynamodb:PutItem",
    )  # fmt: skip
    observed.attempt(LISTENER, number, outcome="failed", problem="reported 101", request="listening")
    refused = next(each for each in trace("s1").waits if each.reason == "refused")
    assert refused.why == ("This one is missing:", "- Effect: Allow", "  Action: dynamodb:PutItem")


def test_a_target_that_does_not_take_an_event_is_named_until_it_does(observed: Observed, trace: Trace) -> None:
    event = observed.event("s1", "submitted")
    failed = {"bus": "hub", "rule": "to-stream", "target": STREAM, "id": "bus-s1", "event": "s1", "attempts": 2}
    observed.put("delivery", **failed, outcome="given_up", problem="throttled", destination=QUEUE)
    waiting = only(trace("s1"))
    assert (waiting.reason, waiting.what) == ("undelivered", "rule to-stream of hub has not delivered s1 to hub")
    assert waiting.why == ("throttled", "it was given up; failures has it")
    number = observed.record(event)
    observed.filtered(VIEW, number)
    observed.filtered(LISTENER, number)
    assert "undelivered" not in {each.reason for each in trace("s1").waits}


def test_a_mapping_that_is_disabled_and_a_stream_without_readers_are_named(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.filtered(VIEW, number)
    system.deployed["listener"]["State"] = "Disabled"
    assert [each.reason for each in trace("s1").waits] == ["mapping disabled"]
    system.deployed.clear()
    assert [each.what for each in trace("s1").waits] == ["no function reads hub, which holds s1"]


def test_rules_of_code_that_cannot_be_imported_are_no_reason_but_told(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    system.handlers = "import nothing_there"
    observed.collected(observed.event("s1", "submitted"))
    timeline = trace("s1")
    assert any("nothing_there" in line for line in timeline.unknown)
    assert timeline.steps


def test_an_evaluation_of_collected_rows_says_what_it_still_needs(
    observed: Observed, system: SmallSystem, trace: Trace
) -> None:
    system.handlers = system.handlers.replace('"correlation_key_suffix": "whole",', "")
    event = observed.event("s1", "submitted")
    stored = {"M": {"id": {"S": "s1"}, "type": {"S": "submitted"}}}
    number = observed.record(event)
    observed.filtered(VIEW, number)
    row = observed.row("s1", "EVENT", "listening", data={"S": "story-1"}, event=stored)
    observed.attempt(LISTENER, number, request="listening")
    filed = observed.row("DATA#story-1", "us-east-1#1", "filing", discriminator={"S": "FILED"}, event=stored)
    observed.attempt(TRIGGER, row, stream=TABLE, request="filing")
    observed.attempt(TRIGGER, filed, stream=TABLE)
    waiting = only(trace("s1"))
    assert waiting.what == f"evaluate-story of {TRIGGER} still needs analyzed for story-1"


def published(observed: Observed, id: str, request: str, rule: str = "evaluate-story", **more: object) -> None:
    observed.event(id, "ready", by=request, tags={"pipeline": rule}, triggers=[{"id": "s1"}], **more)


def test_an_event_that_an_attempt_has_published_again_under_another_id_is_told(
    observed: Observed, trace: Trace
) -> None:
    row = observed.collected(observed.event("s1", "submitted"))
    for number in (1, 2, 3):
        request = f"request {number}"
        published(observed, f"random-{number}", request, timestamp=NOON + number)
        published(observed, "s1.derived", request, "derive-story")
        outcome = {"outcome": "failed", "problem": "it took too long"} if number < 3 else {}
        observed.attempt(TRIGGER, row, stream=TABLE, request=request, attempt=number, **outcome)
        observed.now += 10
    (waiting,) = (each for each in trace("story-1").waits if each.reason == "other id")
    assert waiting.what == (
        f"rule evaluate-story of {TRIGGER} has published ready again under another id: random-1, then random-2"
    )
    assert waiting.why[0].startswith("derive the id from the event")


def test_events_of_other_records_and_of_other_functions_are_not_the_same_again(
    observed: Observed, trace: Trace
) -> None:
    """Of a batch whose first record is done only the others come again; a record has an attempt at each mapping."""
    rows = [observed.collected(observed.event(id, "submitted")) for id in ("s1", "s2")]
    failed = {"outcome": "failed", "problem": "no", "attempt": 1}
    for number, (id, batch, more) in enumerate((("s1.a", rows, failed), ("s2.a", rows[1:], {}))):
        request = f"request {number}"
        published(observed, id, request)
        observed.attempt(TRIGGER, *batch, stream=TABLE, request=request, **more)
        observed.now += 10
    published(observed, "view-a", "request of view")
    observed.attempt(VIEW, rows[1], stream=TABLE, request="request of view")
    assert "other id" not in [each.reason for each in trace("story-1").waits]
