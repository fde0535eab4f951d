"""A timeline goes from the bus over streams, functions and rows to the events that followed."""

import json
from pathlib import Path
from typing import Any

import pytest
from observed_system import LISTENER, NOON, STREAM, TABLE, TRIGGER, VIEW, Observed, SmallSystem, Trace
from stream_cli.journal import answers
from stream_cli.journal.answers import Journal
from stream_cli.terminal.output import VisibleConsole
from stream_cli.trace import command
from stream_cli.trace.command import timeline_of
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.model import Timeline
from stream_cli.trace.view import show

SECRET = "Xk29zQpL81"


def ready(observed: Observed, story: str = "story-1") -> None:
    """A story that is submitted, analyzed and ready, and has a view."""
    first, second = f"s-{story}", f"a-{story}"
    observed.attempt(TRIGGER, observed.collected(observed.event(first, "submitted", story)), stream=TABLE)
    last = observed.collected(observed.event(second, "analyzed", story))
    request = f"evaluating {story}"
    marker = observed.row(f"{story}.whole", "ONCE#evaluate-story", request, discriminator={"S": "ONCE"})
    observed.filtered(TRIGGER, marker, stream=TABLE)
    event = observed.event(
        f"{story}.whole.evaluate-story", "ready", story, by=request, triggers=[{"id": first}, {"id": second}],
        tags={"pipeline": "evaluate-story", "functionname": TRIGGER},
    )  # fmt: skip
    observed.now += 10
    observed.attempt(TRIGGER, last, stream=TABLE, request=request)
    number = observed.record(event)
    observed.filtered(LISTENER, number)
    observed.put("object", bucket="lake", key=f"events/{story}", change="put", events=[f"{story}.whole.evaluate-story"])
    observed.put("message", to="arn:aws:sns:us-east-1:0:stories", id=f"message-{story}", event=event["detail"]["id"])
    observed.now += 10
    keys = {"pk": {"S": story}, "sk": {"S": "view"}}
    old, new = ({**keys, "status": {"S": each}, "n": {"N": "0.5"}} for each in ("submitted", "ready"))
    observed.put(
        "change", table="views", change="MODIFY", keys=keys, old=old, new=new, by=f"viewing {story}"
    )  # fmt: skip
    observed.attempt(VIEW, number, request=f"viewing {story}")


def path_to(timeline: Timeline, text: str) -> list[str]:
    """The kinds of the steps that lead to the one with a text, and its own."""

    def found(steps: Any) -> list[str]:
        for step in steps:
            if text in step.text:
                return [step.kind]
            if below := found(step.steps):
                return [step.kind, *below]
        return []

    return found(timeline.steps)


def test_a_timeline_follows_an_event_to_the_view_of_what_it_led_to(observed: Observed, trace: Trace) -> None:
    ready(observed)
    timeline = trace("story-1")
    to_ready = ["event", "record", "attempt", "change", "attempt", "change", "attempt", "event"]
    assert path_to(timeline, "ready story-1.whole.evaluate-story on hub by pipeline evaluate-story") == to_ready
    assert path_to(timeline, "row story-1 | view of views changed (status: submitted → ready)") == [
        *to_ready, "record", "attempt", "change",
    ]  # fmt: skip
    assert path_to(timeline, "s3://lake/events/story-1 written") == [*to_ready, "object"]
    assert path_to(timeline, "message message-story-1 in stories") == [*to_ready, "message"]
    assert path_to(timeline, f"the filter of {VIEW} does not let it through") == ["event", "record", "filtered"]
    assert path_to(timeline, "taken by to-stream") == ["event", "rule"]
    assert path_to(timeline, f"{LISTENER}: done in 5 ms (alone) · collect-story") == ["event", "record", "attempt"]
    assert timeline.waits == []


def test_what_led_to_an_event_is_there_too(observed: Observed, trace: Trace) -> None:
    ready(observed)
    timeline = trace("story-1.whole.evaluate-story")
    assert [step.text for step in timeline.steps] == ["submitted s-story-1 on hub", "analyzed a-story-1 on hub"]
    assert path_to(timeline, "ready story-1.whole.evaluate-story")[-1] == "event"


def test_each_step_is_there_once_and_none_of_another_story(observed: Observed, trace: Trace) -> None:
    ready(observed)
    ready(observed, "story-2")
    texts = [step.text for root in trace("story-1").steps for step in root.walk()]
    rows = [each for each in texts if each.startswith(("row ", "message ", "ready "))]
    assert len(rows) == len(set(rows)) == 8
    assert not [each for each in texts if "story-2" in each]


def test_times_are_in_ms_since_the_first_step(observed: Observed, trace: Trace) -> None:
    ready(observed)
    timeline = trace("s-story-1")
    content = timeline.as_json()
    assert (content["first"], content["steps"][0]["ms"]) == (NOON, 0)
    (attempt,) = [each for each in content["steps"][0]["steps"][1]["steps"] if each["kind"] == "attempt"]
    assert attempt["ms"] == 5
    assert attempt["facts"]["pipelines"] == ["collect-story"]
    json.dumps(content)


def test_a_batch_shows_each_event_only_what_is_its_own(observed: Observed, trace: Trace) -> None:
    numbers = []
    for id in ("s1", "s2"):
        numbers.append(observed.record(event := observed.event(id, "submitted")))
        stored = {"M": {"id": {"S": id}, "type": {"S": "submitted"}, "partition_key": {"S": "story-1"}}}
        observed.row(id, "EVENT", "listening", event=stored)
        observed.event(f"{id}.collect-story.fault", "fault", id, by="listening", err={"name": "E", "message": id})
        assert event
    observed.attempt(LISTENER, *numbers, request="listening")
    for timeline in (trace("story-1"), trace("s2")):
        second = next(step for step in timeline.steps if " s2 " in step.text)
        assert [step.text for step in second.walk() if step.kind in ("change", "fault")] == [
            "row s2 | EVENT of events inserted", "fault s2.collect-story.fault: E: s2",
        ]  # fmt: skip


def test_what_is_tried_again_without_a_wait_is_tried_again_at_once(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.attempt(LISTENER, number, request="listening", outcome="failed", problem="no", next=NOON)
    (attempt,) = [step for root in trace("s1").steps for step in root.walk() if step.kind == "attempt"]
    assert attempt.text.startswith(f"{LISTENER}: failed in 5 ms (alone): no; again at once")


def test_failed_attempts_invocations_and_refused_requests_are_marked(observed: Observed, trace: Trace) -> None:
    number = observed.record(observed.event("s1", "submitted"))
    observed.put(
        "refused", function=LISTENER, action="dynamodb:PutItem", resource="table/events", missing={},
        message="no", by="listening",
    )  # fmt: skip
    observed.attempt(
        LISTENER, number, request="listening", outcome="failed", problem="timed out", next=NOON + 700, attempt=2
    )
    timeline = trace("s1")
    assert path_to(timeline, f"{LISTENER} may not dynamodb:PutItem on table/events")[-1] == "refused"
    (attempt,) = [step for root in timeline.steps for step in root.walk() if step.kind == "attempt"]
    assert attempt.failed
    assert attempt.text.startswith(f"{LISTENER}: failed in 5 ms (alone, attempt 2): timed out; again 700 ms later")


@pytest.mark.parametrize("asked", ["bus-s-story-1", "listening to s-story-1", "message-story-1", "101"])
def test_ids_of_every_kind_lead_to_a_timeline(observed: Observed, trace: Trace, asked: str) -> None:
    ready(observed)
    timeline = trace(asked)
    assert timeline.steps
    assert timeline.nearest == []


def test_values_that_may_be_secret_are_hidden(observed: Observed, trace: Trace) -> None:
    event = observed.event("s1", "submitted", user={"password": SECRET})
    stored = {"M": {"id": {"S": "s1"}, "type": {"S": "submitted"}, "api_key": {"S": SECRET}}}
    observed.row("s1", "EVENT", "listening", event=stored, token={"S": SECRET})
    number = observed.record(event)
    observed.attempt(LISTENER, number, request="listening", outcome="failed", problem=f"password={SECRET}")
    content = json.dumps(trace("s1").as_json())
    assert SECRET not in content
    assert content.count("[redacted]") >= 4


def test_control_characters_of_events_do_not_act_on_the_terminal(
    observed: Observed, trace: Trace, capsys: pytest.CaptureFixture[str]
) -> None:
    observed.event("s\x1b[2J1", "submitted\x9b31m", taken=False)
    show(trace("s\x1b[2J1"), VisibleConsole())
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    assert "s\\x1b[2J1" in printed


def test_an_id_that_nobody_has_seen_has_those_that_are_like_it(observed: Observed, trace: Trace) -> None:
    ready(observed)
    timeline = trace("story-11")
    assert (timeline.steps, timeline.waits) == ([], [])
    assert "story-1" in timeline.nearest


def test_an_unknown_id_exits_with_1_and_a_known_one_with_0(
    observed: Observed, system: SmallSystem, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from contextlib import contextmanager

    ready(observed)
    observed.flush()

    @contextmanager
    def connected(*_: object) -> Any:
        yield Journal(tmp_path / "journal"), Deployed(system, kept)

    monkeypatch.setattr(command, "_connected", connected)
    assert command.trace_id("story-11", "local", None, tmp_path, as_json=False) == 1
    said = capsys.readouterr().err
    assert said.startswith("Nobody has seen story-11 in the local cloud.\nNearest: story-1\n")
    assert command.trace_id("story-1", "local", None, tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["asked"] == "story-1"


def test_what_a_timeline_reads_does_not_grow_with_the_journal(
    observed: Observed, system: SmallSystem, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    at_once = answers._Reading._read
    monkeypatch.setattr(answers._Reading, "_read", lambda self, place: read.append(1) or at_once(self, place))
    journal = Journal(tmp_path / "journal")

    def lines_read() -> int:
        observed.flush()
        journal.coverage()
        read.clear()
        assert timeline_of(journal, Deployed(system, kept), "story-1").steps
        return len(read)

    ready(observed)
    few = lines_read()
    for number in range(200):
        ready(observed, f"other-{number}")
    assert lines_read() == few <= 400
    journal.close()


def test_the_rules_of_a_function_are_read_from_its_code_once(system: SmallSystem, tmp_path: Path) -> None:
    (rule,) = Deployed(system, tmp_path).rules(LISTENER) or ()
    assert (rule.id, rule.flavor, rule.types) == ("collect-story", "collect", ("submitted", "analyzed"))
    again = Deployed(system, tmp_path)
    assert again.rules(LISTENER) == (rule,)
    assert again.rules(f"{LISTENER}:live") == (rule,)
    assert system.asked == 1
    assert again.rules("nobody") is None
    assert STREAM in {each.source for each in again.mappings}


def test_the_code_of_functions_finds_no_credentials(
    system: SmallSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    system.handlers = "import boto3\nraise SystemExit(str(boto3.Session().get_credentials()))"
    deployed = Deployed(system, tmp_path)
    assert deployed.rules(LISTENER) is None
    assert deployed.problems == [f"The rules of {LISTENER} cannot be read from its code: SystemExit: None"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_fault_that_was_resubmitted_has_its_second_attempt_and_what_came_of_it(
    observed: Observed, trace: Trace, *, fails: bool
) -> None:
    row = observed.collected(observed.event("a1", "analyzed"))
    record = {"eventSourceARN": TABLE, "dynamodb": {"SequenceNumber": row}}
    fault = {
        "err": {"name": "ValueError", "message": "no"}, "tags": {"pipeline": "evaluate-story", "functionname": TRIGGER},
        "uow": {"record": record, "event": {"id": "a1"}},
    }  # fmt: skip
    id = "a1.evaluate-story.fault"
    first = observed.event(id, "fault", "story-1", by="evaluating", **fault)
    observed.attempt(TRIGGER, row, stream=TABLE, request="evaluating")
    observed.now += 60_000
    if fails:
        observed.put(**{**first, "id": "bus-again", "at": NOON + observed.now, "by": "again"})
    else:
        observed.event("story-1.whole.evaluate-story", "ready", by="again", triggers=[{"id": "a1"}])
    start = NOON + observed.now - 20
    observed.put(
        "call", function=TRIGGER, request="again", start=start, end=start + 20, outcome="ok", source=TABLE,
        records=[row], count=1,
    )  # fmt: skip
    # Of another stream, with the same number.
    observed.put("call", function=LISTENER, request="other", start=start, end=start + 1, outcome="ok", source=STREAM,
                 records=[row], count=1)  # fmt: skip
    timeline = trace("a1")
    text = f"{TRIGGER}: resubmitted, {'failed again' if fails else 'done'} in 20 ms"
    assert path_to(timeline, text) == [*path_to(timeline, "evaluate-story")[:-1], "call"]  # beside the first attempt
    (step,) = [each for each in every_step(timeline.steps) if each.text == text]
    assert step.failed is fails
    assert [each.kind for each in step.steps] == ["fault" if fails else "event"]
    assert not [each for each in every_step(timeline.steps) if LISTENER in each.text and "resubmitted" in each.text]


def every_step(steps: Any) -> list[Any]:
    return [each for step in steps for each in (step, *every_step(step.steps))]
