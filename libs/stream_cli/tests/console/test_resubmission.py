"""Faults are resubmitted from the page as `streamctl faults resubmit` does it, and only as they were shown."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from stream_cli.console.application import Sources
from stream_cli.faults.ledger import ResubmissionLedger
from stream_cli.journal.writer import Writer

NOW = 1_795_000_000_000
LISTENER = "control-local-listener"


def fault(
    number: int, *, function: str = LISTENER, error: str = "KeyError", at: int = 0, **more: Any
) -> dict[str, Any]:
    data = base64.b64encode(json.dumps({"id": f"e{number}", "password": "correct-horse-9"}).encode()).decode()
    record = {"eventID": f"shard:{number}", "kinesis": {"sequenceNumber": str(number), "data": data}}
    return {
        "id": f"f{number}", "type": "fault", "timestamp": NOW + at + number,
        "tags": {"source": "control", "functionname": function, "pipeline": "collect"},
        "err": {"name": error, "message": "'evnt'", "stack": ""},
        "uow": {"pipeline": "collect", "record": record, "event": {"id": f"e{number}"}}, **more,
    }  # fmt: skip


class Stage:
    """A connection: the ledger's bucket of moto, and functions that answer as the test says."""

    stage = "local"

    def __init__(self) -> None:
        self.functions_there = {LISTENER}
        self.invoked: list[tuple[str, Any]] = []
        self.fails: Callable[[Any], str | None] = lambda event: None

    def client(self, service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    def bucket(self, service: str, given: str | None) -> str:
        assert (service, given) == ("event-fault-monitor", None)
        return "faults"

    def functions(self) -> frozenset[str]:
        return frozenset(self.functions_there)

    def invoking(self) -> Any:
        return self

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        event = json.loads(Payload)
        self.invoked.append((FunctionName, event))
        if why := self.fails(event):
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(why.encode())}
        return {"Payload": io.BytesIO(b'{"batchItemFailures": []}')}

    def taken(self) -> list[str]:
        """The sequence numbers of the records that functions were invoked with."""
        return [each["kinesis"]["sequenceNumber"] for _, event in self.invoked for each in event["Records"]]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="faults")
        yield Stage()


@pytest.fixture
def comes(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Faults are published, one after the other."""
    writer = Writer(tmp_path / "journal", "emulator")
    times = iter(range(NOW, NOW + 1000))

    def publish(*faults: dict[str, Any]) -> None:
        for each in faults:
            line = {"bus": "hub", "source": "custom", "type": "fault", "rules": [], "detail": each}
            at = next(times)
            writer.put({"kind": "event", "at": at, "id": f"bus-{at}", **line})
        writer.flush()

    yield publish
    writer.close()


@pytest.fixture
def sources(sources: Sources, stage: Stage) -> Sources:
    return dataclasses.replace(sources, connection=lambda: stage)  # type: ignore[arg-type, return-value]


def confirmed(plan: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**plan["asked"], "plan": plan["plan"], **more}


def resubmitted(console: Any, query: str) -> dict[str, Any]:
    """What is asked for is confirmed as it was shown; the job at its end."""
    plan = console.get(f"/api/resubmission?{query}")
    assert plan.status == 200, plan.text
    return ended(console, console.post("/api/jobs/resubmit", confirmed(plan.content)))


def ended(console: Any, begun: Any) -> dict[str, Any]:
    """The job that an answer has begun, at its end."""
    assert begun.status == 200, begun.text
    while (job := console.get(f"/api/jobs/{begun.content['id']}").content)["state"] == "running":
        time.sleep(0.005)
    found: dict[str, Any] = job
    return found


def test_a_plan_says_what_would_be_done_to_what_and_does_nothing(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    comes(fault(1), fault(2), fault(3, error="ValueError"))
    plan = console.get("/api/resubmission?id=f1").content
    assert (plan["number"], plan["what"], plan["stage"]) == (1, f"Resubmit 1 fault to {LISTENER}", "local")
    assert plan["due"] == [{"id": "f1", "function": LISTENER, "error": "KeyError", "before": None}]
    group = f"service=control&function={LISTENER}&pipeline=collect"
    assert console.get(f"/api/resubmission?{group}&error=KeyError").content["number"] == 2
    assert console.get(f"/api/resubmission?{group}&error=TypeError").content["number"] == 0
    every = console.get("/api/resubmission?all=true").content
    assert every["functions"] == [{"function": LISTENER, "faults": 3}]
    assert "correct-horse-9" not in json.dumps(every)
    assert stage.invoked == []


def test_a_fault_says_where_it_arose_and_what_shows_what_became_of_it(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    where = "control/rules/trigger.py:6, to_row: thing['state'], password=correct-horse-9"
    comes(fault(1, err={"name": "KeyError", "message": "'state'", "stack": "", "where": where}))
    seen = console.get("/api/faults/f1")
    assert seen.content["where"].startswith("control/rules/trigger.py:6, to_row: thing['state']")
    assert (seen.content["trace"], seen.content["frames"]) == ("e1", [])
    assert "correct-horse-9" not in seen.text


def test_one_fault_is_resubmitted_and_seen_done(console: Any, comes: Callable[..., None], stage: Stage) -> None:
    comes(fault(1), fault(2))
    job = resubmitted(console, "id=f1")
    assert (job["state"], job["done"], job["total"]) == ("done", 1, 1)
    traces = [{"id": "f1", "trace": "e1"}]
    assert job["result"] == {"done": 1, "failed": [], "taken": [], "traces": traces}
    assert stage.invoked == [(LISTENER, {"Records": [fault(1)["uow"]["record"]]})]
    seen = console.get("/api/resubmissions").content
    assert seen["problem"] is None
    assert {id: each["outcome"] for id, each in seen["entries"].items()} == {"f1": "done"}
    assert console.get("/api/resubmission?id=f1").content["kinds_left_out"] == {"done": 1}
    again = console.get("/api/resubmission?id=f1&again=true").content
    assert again["due"][0]["before"]["outcome"] == "done"


def test_what_fails_or_fails_again_is_seen_and_stays_due_or_is_left_out(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    comes(fault(1), fault(2))
    stage.fails = lambda event: "no, password=correct-horse-9" if "shard:1" in str(event) else None
    job = resubmitted(console, "all=true")
    assert job["state"] == "done"
    (failed,) = job["result"]["failed"]
    assert failed["id"] == "f1"
    assert f"{LISTENER} failed" in failed["why"]
    assert "correct-horse-9" not in json.dumps(job)
    comes(fault(2, at=10_000_000_000_000 - NOW))
    outcomes = {id: each["outcome"] for id, each in console.get("/api/resubmissions").content["entries"].items()}
    assert outcomes == {"f1": "failed", "f2": "failed again"}
    plan = console.get("/api/resubmission?all=true").content
    assert ([each["id"] for each in plan["due"]], plan["kinds_left_out"]) == (["f1"], {"failed again": 1})
    assert console.get("/api/resubmission?all=true&failed_again=true").content["number"] == 2


def test_what_is_refused_masked_or_interrupted_is_left_out_with_the_reason(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    ResubmissionLedger(boto3.client("s3"), "faults").begin("f4", None)
    comes(fault(1), fault(2, function="another-of-the-account"), fault(3, redacted=["record.kinesis.data"]), fault(4))
    plan = console.get("/api/resubmission?all=true").content
    assert [each["id"] for each in plan["due"]] == ["f1"]
    why = {each["id"]: (each["kind"], each["why"]) for each in plan["left_out"]}
    assert why["f2"] == ("refused", "another-of-the-account is not a function of the stacks of this stage")
    assert why["f3"][0] == "impossible"
    assert "masked" in why["f3"][1]
    assert why["f4"][0] == "interrupted"
    resubmitted(console, "all=true")
    assert stage.taken() == ["1"]
    assert {each: console.get("/api/resubmissions").content["entries"][each]["outcome"] for each in ("f1", "f4")} == {
        "f1": "done", "f4": "begun",
    }  # fmt: skip


def test_faults_that_come_after_the_plan_are_not_in_it(console: Any, comes: Callable[..., None], stage: Stage) -> None:
    comes(fault(1))
    plan = console.get("/api/resubmission?all=true").content
    comes(fault(2))
    ended(console, console.post("/api/jobs/resubmit", confirmed(plan)))
    assert stage.taken() == ["1"]


def test_a_plan_that_has_changed_since_it_was_shown_is_refused(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    comes(fault(1), fault(2))
    plan = console.get("/api/resubmission?all=true").content
    resubmitted(console, "id=f1")
    answer = console.post("/api/jobs/resubmit", confirmed(plan))
    assert (answer.status, answer.content["error"].partition(":")[0]) == (409, "Nothing was done")
    assert stage.taken() == ["1"]
    stage.functions_there = set()
    plan = console.get("/api/resubmission?all=true").content
    assert console.post("/api/jobs/resubmit", confirmed(plan)).content == {"error": "There is nothing to resubmit."}


@pytest.mark.parametrize("typed", [{}, {"typed": ""}, {"typed": "local "}, {"typed": "LOCAL"}])
def test_a_production_stage_is_changed_only_by_who_types_its_name(
    sources: Sources, console_of: Callable[..., Any], comes: Callable[..., None], stage: Stage, typed: dict[str, str]
) -> None:
    console = console_of(dataclasses.replace(sources, is_production=lambda: True))
    comes(fault(1))
    plan = console.get("/api/resubmission?id=f1").content
    assert plan["type"] == "local"
    assert console.post("/api/jobs/resubmit", confirmed(plan, **typed)).status == 409
    assert stage.invoked == []
    assert ended(console, console.post("/api/jobs/resubmit", confirmed(plan, typed="local")))["state"] == "done"


def test_a_console_that_may_not_write_shows_the_plan_and_refuses_to_do_it(
    sources: Sources, console_of: Callable[..., Any], comes: Callable[..., None], stage: Stage
) -> None:
    console = console_of(dataclasses.replace(sources, writes=False))
    comes(fault(1))
    plan = console.get("/api/resubmission?id=f1").content
    assert plan["refusal"] == "This console is read-only: start it with --write."
    assert console.post("/api/jobs/resubmit", confirmed(plan)).status == 403
    assert stage.invoked == []


def test_a_stopped_resubmission_leaves_no_fault_half_done(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    comes(*(fault(number) for number in range(1, 30)))
    plan = console.get("/api/resubmission?all=true").content
    begun = console.post("/api/jobs/resubmit", confirmed(plan))
    path = f"/api/jobs/{begun.content['id']}"
    while console.get(path).content["done"] == 0:
        time.sleep(0.005)
    console.post(f"{path}/stop", {})
    job = ended(console, begun)
    assert job["state"] == "stopped"
    assert 0 < len(stage.invoked) < 29
    entries = console.get("/api/resubmissions").content["entries"]
    assert len(entries) == len(stage.invoked) == job["result"]["done"]
    assert {each["outcome"] for each in entries.values()} == {"done"}
    assert console.get("/api/resubmission?all=true").content["number"] == 29 - len(stage.invoked)


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"ids": ["f1"], "all": True}, {"all": False}, {"ids": ["f1"], "service": "control"},
     {"ids": [f"f{number}" for number in range(51)]}, {"ids": ["f1"], "until": "now"}, {"ids": ["f1"], "rate": 1e9},
     {"ids": "f1"}, {"ids": ["f1"], "plan": 1}, {"ids": ["f1"]}, {"ids": ["f1"], "plan": ""}],
)  # fmt: skip
def test_a_wrong_question_is_told_what_is_wrong(
    console: Any, comes: Callable[..., None], stage: Stage, body: dict[str, Any]
) -> None:
    comes(fault(1))
    answer = console.post("/api/jobs/resubmit", body)
    assert (answer.status, bool(answer.content["error"])) == (400, True)
    assert stage.invoked == []


def test_an_unknown_fault_and_a_stage_without_a_ledger_are_said(
    console: Any, comes: Callable[..., None], stage: Stage
) -> None:
    assert console.get("/api/resubmission?id=nothing").content == {"error": "There is no fault nothing."}
    comes(fault(1))
    boto3.client("s3").delete_bucket(Bucket="faults")
    assert console.get("/api/resubmission?id=f1").status == 409
    seen = console.get("/api/resubmissions").content
    assert seen["entries"] == {}
    assert "does not exist" in seen["problem"]


def test_an_entry_of_the_ledger_is_read_again_only_if_it_has_changed(stage: Stage) -> None:
    s3 = boto3.client("s3")
    ledger = ResubmissionLedger(s3, "faults")
    for number in range(3):
        ledger.begin(f"f{number}", None)
    known = ledger.entries(["f0", "f1", "f2"])
    ledger.end("f1", known["f1"], "done")
    read: list[str] = []
    s3.meta.events.register("before-call.s3.GetObject", lambda **request: read.append(request["params"]["url_path"]))
    found = ledger.entries(["f0", "f1", "f2"], known)
    assert (len(read), found["f1"].outcome, found["f0"]) == (1, "done", known["f0"])
