"""The console of a deployed cloud in a real browser: a shard is stuck and freed, a fault resubmitted until it succeeds,
every page on a phone and without a mouse, a production stage, odd words in every field.

The cloud is `running`, which other files use, too. tests/browser/deployed.mjs has what a person does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stream_cli.local.cloud import attach
from stream_cli.local.state import StateFolder

pytestmark = [pytest.mark.system, pytest.mark.thorough]

ROOT = Path(__file__).resolve().parents[2]
LISTENER, TRIGGER = "control-service-local-listener", "control-service-local-trigger"
TABLE = "control-service-local-events"
NARROW = {"width": 390, "height": 844}
SCREENS = {
    "narrow": {"viewport": NARROW, "colorScheme": "light"},
    "narrow and dark": {"viewport": NARROW, "colorScheme": "dark"},
    "wide and dark": {"viewport": {"width": 1280, "height": 800}, "colorScheme": "dark"},
}
WORDS = {
    "long": "x" * 8000, "far too long": "y " * 100_000, "wild": "%_*", "quotes": "\"'`;--", "NUL": "a\0b",
    "emoji": "\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea", "right to left": "\u05e9\u05dc\u05d5\u05dd \u202eabc",
    "terms": 'NEAR(a b) AND OR NOT ^col:"', "escapes": "\\u0000\\x1b", "markup": "<b>&amp;",
    "path": "../..?c#d&e=f%2F%zz", "spaces": " \t ", "brackets": "[({}])",
}  # fmt: skip
# `streamctl` for which the local cloud is AWS, and `local` is a stage there.
AS_A_STAGE = (
    "import stream_cli.terminal.options as options; options.LOCAL = 'nothing'; from stream_cli.cli import main; main()"
)
PRODUCTION = "service: precious\nprovider:\n  name: aws\nparams:\n  default:\n    deletionPolicy: Retain\n"


def client(running: Any, service: str) -> Any:
    return attach(StateFolder(running.state)).client(service)


@pytest.fixture(scope="module")
def url(running: Any) -> str:
    address: str = running.run_here("console").stdout.strip()
    return address


def story_event(key: str, what: str, **fields: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    event = {"id": f"{what}-{key}", "type": f"story-{what}", "timestamp": now, "partition_key": key}
    return {**event, "story": {"id": key, "score": 0.5, "model_version": "1", **fields}}


def send(running: Any, folder: Path, *events: dict[str, Any]) -> None:
    (folder / "events.json").write_text(json.dumps(events))
    sent = running.run_here("send", str(folder / "events.json"))
    assert sent.returncode == 0, sent.stderr


@contextlib.contextmanager
def without_permission(running: Any, role: str, policy: str, action: str) -> Iterator[None]:
    """A role that lacks the statements about a service's actions, until the end of the block."""
    iam = client(running, "iam")
    whole = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    left = [each for each in whole["Statement"] if not any(one.startswith(action) for one in each["Action"])]
    assert len(left) == len(whole["Statement"]) - 1
    less = {**whole, "Statement": left}
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(less))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(whole))


def test_a_shard_that_is_stuck_says_why_and_is_seen_to_be_free_again(
    chromium: Any, running: Any, url: str, tmp_path: Path
) -> None:
    person = "beside a stuck shard"
    chromium.play(person, "isLive", url)
    role = "control-service-local-us-east-1-listener"
    given = {"mapping": LISTENER, "reason": "AccessDeniedException"}
    with without_permission(running, role, "listener", "dynamodb:"):
        send(running, tmp_path, story_event("stuck-1", "submitted", title="A title"))
        stuck = chromium.play(person, "stuckShard", given=given)
    assert "rule collect-submitted-story, event submitted-stuck-1 (story-submitted), PutItem on " in stuck["row"]
    assert "because no identity-based policy allows the dynamodb:PutItem action" in stuck["row"]
    assert "attempt 2, 1 record left from" in stuck["failures"]
    assert stuck["problems"] == []
    assert not stuck["overflows"]
    free = chromium.play(person, "freedShard", given=given)
    assert free["same"]
    shown = dict(zip(("behind", "age"), free["row"][2:4], strict=True))
    assert shown == {"behind": "0", "age": "0 ms"}
    assert free["problems"] == []


@contextlib.contextmanager
def changed(running: Any, function: str, file: str, old: str, new: str) -> Iterator[None]:
    """A function that runs other code until the end of the block."""
    functions = client(running, "lambda")
    location = functions.get_function(FunctionName=function)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        code = answer.read()
    other = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(code)) as given, zipfile.ZipFile(other, "w") as taken:
        assert old.encode() in given.read(file)
        for name in given.namelist():
            content = given.read(name)
            taken.writestr(name, content.replace(old.encode(), new.encode()) if name == file else content)
    functions.update_function_code(FunctionName=function, ZipFile=other.getvalue())
    functions.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.1})
    try:
        yield
    finally:
        functions.update_function_code(FunctionName=function, ZipFile=code)
        functions.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.1})


def test_from_a_resubmission_one_comes_to_the_second_attempt_and_its_outcome(
    chromium: Any, running: Any, url: str, tmp_path: Path
) -> None:
    key = f"mended-{time.time_ns()}"
    send(
        running, tmp_path, story_event(key, "submitted", title="A title"), story_event(key, "analyzed", sentiment="sad")
    )
    fault = f"analyzed-{key}.evaluate-story.fault"
    person = "who mends"
    chromium.play(person, "isLive", url)
    chromium.play(person, "sourceOfFault", given={"id": fault})
    given = {"button": "Resubmit …", "confirm": f"Resubmit 1 fault to {TRIGGER}", "done": "1 fault resubmitted"}
    chromium.play(person, "resubmit", given={**given, "within": "event", "became": "failed again"})
    text = f"{TRIGGER}: resubmitted, failed again in"
    seen = chromium.play(person, "traceOfResubmitted", given={"text": text})
    assert "ended in the same fault" in seen["text"]
    assert seen["names"].count("fault") == 2
    assert seen["problems"] == []
    assert not seen["overflows"]

    with changed(running, TRIGGER, "control/logic/stories.py", '"negative")', '"negative", "sad")'):
        chromium.play(person, "sourceOfFault", given={"id": fault})
        again = {**given, "within": "event", "include": "Also what has failed again since"}
        chromium.play(person, "resubmit", given=again)
        seen = chromium.play(person, "traceOfResubmitted", given={"text": f"{TRIGGER}: resubmitted, done in"})
    assert "resubmitted, failed again in" in seen["text"]
    assert "story-ready" in seen["names"]
    assert "It waits" not in seen["text"] or "became a fault" not in seen["text"]


@pytest.fixture
def one_fault(running: Any, chromium: Any, url: str, tmp_path: Path) -> str:
    """A fault that everybody sees."""
    key = f"faulty-{time.time_ns()}"
    send(running, tmp_path, {**story_event(key, "analyzed"), "story": {"score": 1}})
    fault = f"analyzed-{key}.collect-analyzed-story.fault"
    chromium.play("who waits for a fault", "isLive", url)
    chromium.play("who waits for a fault", "sourceOfFault", given={"id": fault})
    return fault


def complete(running: Any, folder: Path, key: str) -> None:
    analyzed = story_event(key, "analyzed", sentiment="neutral")
    send(running, folder, story_event(key, "submitted", title="A title"), analyzed)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.usefixtures("one_fault")
def test_every_page_is_looked_at(chromium: Any, running: Any, url: str, tmp_path: Path, screen: str) -> None:
    complete(running, tmp_path, "looked-at-1")
    chromium.play(screen, "isLive", url, screen=SCREENS[screen])
    seen = chromium.play(screen, "looksOfAll", given={"pictures": os.environ.get("PICTURES", "")})
    assert seen["wrong"] == {}
    assert len(seen["names"]) > 20


def test_all_pages_are_used_without_a_mouse(
    chromium: Any, running: Any, url: str, one_fault: str, tmp_path: Path
) -> None:
    complete(running, tmp_path, "typed-0")  # a second row for the list of what is ready
    complete(running, tmp_path, "typed-1")
    person = "without a mouse"
    chromium.play(person, "isLive", url)
    chromium.play(person, "traced", given={"asked": "typed-1", "text": "story-ready"})
    given = {
        "fault": one_fault,
        "table": TABLE,
        "partition": "submitted-typed-1",
        "listener": LISTENER,
        "target": LISTENER,
    }
    done = chromium.play(person, "withoutMouse", given=given)
    assert done["same"]  # it was never loaded anew
    assert len(done["done"]) == 11


def test_the_focus_stays_on_its_row_while_others_come_in(chromium: Any, running: Any, url: str, tmp_path: Path) -> None:
    person = "reading one row"
    complete(running, tmp_path, "first-of-list")
    chromium.play(person, "isLive", url)
    at = chromium.play(person, "focusOnRow")
    send(running, tmp_path, *(story_event(f"list-{number}", "heard-of") for number in range(60)))
    given = {"after": at["index"] + 60, "row": at["row"]}
    assert chromium.play(person, "stillOnRow", given=given)["index"] >= at["index"] + 60


def test_odd_words_find_nothing_and_break_nothing(chromium: Any, url: str) -> None:
    person = "who types odd words"
    chromium.play(person, "isLive", url)
    given = {"words": WORDS, "table": TABLE, "listener": LISTENER, "most_ms": 10_000}
    found = chromium.visit(None, scenario="searchesFor", visitor=person, given=given)
    assert "failed" not in found, found
    too_long = {key for key in found["value"]["said"] if key.endswith("far too long")}
    assert found["value"]["said"] == {key: ["This is too long to be looked for."] for key in too_long}
    assert {key.partition("?")[0].split("/")[1].split()[0] for key in too_long} <= {"events", "trace", "items"}
    assert all("431" in error for error in found["errors"]), found["errors"]


@pytest.fixture
def production(running: Any, tmp_path: Path) -> Iterator[str]:
    """The address of a console of a production stage, which may write."""
    folder = tmp_path / "services" / "precious"
    folder.mkdir(parents=True)
    (folder / "serverless.yml").write_text(PRODUCTION)
    words = f"console --stage local --write --yes --services {folder.parent} --state {tmp_path / 'state'}"
    line = f"{running.exports}\nexec {shlex.quote(sys.executable)} -c {shlex.quote(AS_A_STAGE)} {words}"
    environment = {**os.environ, **running.variables}
    served = subprocess.Popen(
        ["bash", "-c", line], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert served.stdout
    try:
        yield served.stdout.readline().strip()
    finally:
        served.send_signal(signal.SIGTERM)
        _, said = served.communicate(timeout=60)
    assert served.returncode == 128 + signal.SIGTERM, said


def test_at_a_production_stage_the_name_is_typed_before_anything_is_written(
    chromium: Any, running: Any, production: str, one_fault: str, tmp_path: Path
) -> None:
    s3 = client(running, "s3")
    bucket = next(each["Name"] for each in s3.list_buckets()["Buckets"] if "event-fault-monitor" in each["Name"])

    def written() -> tuple[set[str], set[str]]:
        keys = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
        files = {each for each in (tmp_path / "state" / "replays").rglob("*") if each.is_file()}
        # A plan reads the ledger of a replay under its lock.
        ledgers = {str(each) for each in files if each.suffix != ".lock"}
        return {key for key in keys if not key.startswith("faults/")}, ledgers

    before = written()
    person = "at a production stage"
    chromium.play(person, "visited", production, given={"text": "Faults"})
    asks = {"kind": "resubmit", "path": f"/api/resubmission?id={one_fault}", "typed": "Local"}
    refused = chromium.visit(None, scenario="asksPastThePage", visitor=person, given=asks)["value"]
    assert refused == {"status": 409, "error": "local is a production stage: type its name to go on."}
    confirm = f"Resubmit 1 fault to {LISTENER}"
    given = {"address": f"#/faults/{one_fault}", "button": "Resubmit …", "confirm": confirm, "name": "local"}
    seen = chromium.play(person, "needsTheName", given=given)
    assert seen["disabled"] == [True, True, True]
    assert "local is a production stage. Type its name to go on." in seen["text"]
    assert seen["problems"] == []
    assert written() == before
    chromium.play(person, "confirmed", given={"confirm": confirm, "done": "1 fault resubmitted"})
    assert len(written()[0]) > len(before[0])

    before = written()
    given = {
        "address": "#/lake", "button": "Replay …", "show": "Show what would be sent", "choose": f"function {LISTENER}",
        "confirm": "Replay ", "name": "local",
    }  # fmt: skip
    seen = chromium.play(person, "needsTheName", given=given)
    assert seen["disabled"] == [True, True, True]
    assert "local is a production stage. Type its name to go on." in seen["text"]
    assert written() == before
