"""Whatever an invocation looks like, every record is accounted for, in little time and memory: 1,500 mutated ones,
and 570 of them in ``npm test`` without ``--thorough``.

``harness/mutated_invocations.py`` says what must hold of each. They go through every source and every flavor, half of
them without orjson. These find each of the missing guards below; ``npm run soak -- --mutated --minutes N`` plays as
many more as there is time for.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mutated_invocations
import pytest
from mutated_invocations import Violated, check, check_all, kind_and_group, mutant_of
from playing import ENVIRONMENT, quiet
from rules_on_anything import GROUPS_OF, groups_of
from stream_runtime import flavors
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.records import UNIDENTIFIED
from stream_runtime.engine.run import Run
from stream_runtime.events import claim_check
from stream_runtime.payload import codec
from stream_runtime.rules import grouping
from valid_invocations import KINDS
from watched_aws import WatchedAws

# Invocations by their seeds: sources and rules in turn, more for rules whose guards few of them need, and one that has
# more than a fault event may hold, as one in three thousand does.
OF_ALL, OF_GROUPS, WITH_TOO_MUCH = 1_024, 2_440, 3_052
SAMPLE = [
    *range(OF_ALL),
    *(seed for seed in range(OF_ALL, OF_GROUPS) if kind_and_group(seed)[1] in ("compacting", "grouping")),
    WITH_TOO_MUCH,
]
PARTS = 8
# The second goes through every source and flavor, without orjson; the last has what needs most. The invocations of the
# first are played with orjson where ReactiveX cannot be imported.
SHOWN = [part if part in (1, 7) else pytest.param(part, marks=pytest.mark.thorough) for part in range(PARTS)]


@pytest.fixture(autouse=True)
def simulated_environment(monkeypatch: pytest.MonkeyPatch, environment: None) -> Iterator[None]:
    monkeypatch.setattr(opensearch, "_shared", {})
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with quiet():
        yield


def use_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write JSON as where orjson is not installed."""
    plain = ModuleType("codec_without_orjson")
    source = Path(codec.__file__).read_text().replace("import orjson", "raise ImportError")
    exec(compile(source, codec.__file__, "exec"), plain.__dict__)
    for name in ("encode", "decode", "decode_shallow"):
        monkeypatch.setattr(codec, name, vars(plain)[name])


@pytest.mark.parametrize("part", SHOWN)
def test_every_record_of_a_mutated_invocation_is_accounted_for(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if part % 2:
        use_json(monkeypatch)
        monkeypatch.setenv("METRICS", "true")
    check_all(SAMPLE[part * len(SAMPLE) // PARTS : (part + 1) * len(SAMPLE) // PARTS])


def test_mutated_invocations_go_through_every_source_and_flavor() -> None:
    mutants = [mutant_of(seed) for seed in range(200)]
    names = {path.stem for path in Path(flavors.__path__[0]).glob("[a-z]*.py")}

    assert {mutant.kind for mutant in mutants} == set(KINDS)
    assert {mutant.group for mutant in mutants} == {group for groups in GROUPS_OF.values() for group in groups}
    assert {mutant.recognised for mutant in mutants} == {True, False}
    assert names == {rule["flavor"].__name__ for rules in groups_of(lambda *_: True).values() for rule in rules}


def test_no_flavor_of_the_runtime_imports_reactivex(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 200 go through every source and flavor; where a module is None, its import fails."""
    monkeypatch.setitem(sys.modules, "reactivex", None)

    check_all(range(200))


def test_valid_invocations_are_neither_refused_nor_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutated_invocations, "mutated", lambda chance, kind, invocation: invocation)
    published: list[Any] = []
    monkeypatch.setattr(WatchedAws, "on_published", lambda self, event: published.append(event))

    assert [check(seed).refused for seed in range(320)] == [False] * 320
    assert {event["type"] for event in published if event["type"] != "fault"} >= {"grouped", "compacted", "complete"}
    reasons = {event["err"]["message"] for event in published if event["type"] == "fault"}
    assert all("compact" in reason or "thing" in reason or "'timestamp'" in reason for reason in reasons), reasons


FAILING_FAULT = 651400145870
"""A schedule's event with a fault event as its detail, and an id that is too long for a key of DynamoDB."""


def test_a_fault_event_that_fails_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    responses = []
    respond = Run.response
    monkeypatch.setattr(Run, "response", lambda run: responses.append(run.checkpoints) or respond(run))

    check(FAILING_FAULT)

    assert responses == [{UNIDENTIFIED: 0}]


@pytest.mark.thorough
def test_a_fault_about_a_fault_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.run.holds_fault", lambda uow: False)

    with pytest.raises(Violated, match="a fault about a fault"):
        check(FAILING_FAULT)


# Runtimes without one of their guards


Sabotage = Callable[[pytest.MonkeyPatch], None]


def _forget_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.pipelines.pipeline.publish_faults", lambda run, options: None)


def _acknowledge_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "fail", lambda self, error, uow: None)


def _compare_timestamps_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "timestamp_of", lambda event: event.get("timestamp") or 0)


def _take_anything_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_checked", lambda key: key)


def _order_by_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.records._within", lambda record, name: record.get(name) or {})


def _expand_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_EXPANDED_SIZE", str(1 << 30))


def _read_claims_of_any_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_check, "_place", lambda claim: (claim["bucket"], claim["key"]))
    monkeypatch.setattr(claim_check, "_is_of_the_set_up", lambda error: True)


def _never_shorten_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.faults._ENVELOPE_BYTES", -(1 << 30))


def _nest_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    use_json(monkeypatch)
    monkeypatch.setattr(codec, "decode", json.loads)
    monkeypatch.setattr(codec, "decode_shallow", json.loads)


def _return_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.run.holds_fault", lambda uow: True)


def sample_from(first: int) -> list[int]:
    """The sample from a seed on, and then what is before it."""
    place = SAMPLE.index(first)
    return SAMPLE[place:] + SAMPLE[:place]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sabotage", "what", "first"),
    [
        (_forget_faults, "neither effect nor fault|has no fault", 0),
        (_return_what_fails, "returned for retry", 0),
        (_acknowledge_what_fails, "neither effect nor fault|has no fault", 0),
        (_compare_timestamps_as_they_are, "compacting.*TypeError: '>=' not supported", 2214),
        (_take_anything_for_a_key, "grouping.*unhashable", 696),
        (_order_by_anything, "AttributeError", 36),
        (_expand_without_bounds, "took .* MiB", 320),
        (_read_claims_of_any_bucket, "retry", 716),
        (_never_shorten_faults, "does not fit", WITH_TOO_MUCH),
        (_nest_without_bounds, "RecursionError", 29),
    ],
)
def test_a_runtime_without_a_guard_is_noticed(
    sabotage: Sabotage, what: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins with a seed that has noticed it."""
    sabotage(monkeypatch)

    with pytest.raises(Violated, match=what):
        check_all(sample_from(first))
