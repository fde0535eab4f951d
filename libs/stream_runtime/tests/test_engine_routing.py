"""Which pipelines a unit of work reaches, and in what form."""

import re
import threading
import time
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from stream_runtime import (
    DEFAULT_OPTIONS,
    InvalidRule,
    StreamPipeline,
    initialize_from,
    rx_filter,
    rx_map,
    stream_handler,
)
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.filters import Routed, event_type_of, on_content, on_event_type
from stream_runtime.flavors import correlate, task
from stream_runtime.print import print_end_pipeline, print_start_pipeline


def event_of(type_: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "type": type_, "timestamp": 1, "partition_key": f"k{number}", **fields}


def run(rules: list[dict[str, Any]], events: list[Any], **options: Any) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **options}, concurrency=False)
    pipeline.assemble(from_kinesis(to_kinesis_records(events)), on_next=lambda id_, uow: out.append((id_, uow)))
    return out


def rule(id_: str, event_type: Any, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "flavor": task, "event_type": event_type, "execute": lambda uow: uow["event"]["id"], **fields}


@pytest.mark.parametrize(
    "event_type",
    [
        "thing-created",
        ["thing-created", "other"],
        ("thing-created",),
        re.compile("thing-(created|deleted)"),
        re.compile("created"),
        lambda uow: uow["event"]["type"].endswith("created"),
        lambda uow, rule: rule["id"] == "a" and uow["event"]["type"] == "thing-created",
    ],
)
def test_a_rule_gets_the_events_of_its_type(event_type: Any) -> None:
    out = run([rule("a", event_type)], [event_of("thing-created", 0), event_of("thing-updated", 1)])

    assert [uow["event"]["id"] for _, uow in out] == ["e0"]


def test_units_of_work_that_are_passed_to_a_pipeline_stay_as_they_are() -> None:
    given = [{"record": {"n": n}, "event": event_of("thing", n)} for n in range(2)]
    before = [dict(uow) for uow in given]

    StreamPipeline(initialize_from([rule("a", "thing")]), DEFAULT_OPTIONS).assemble(given)

    assert given == before


def test_pipelines_get_units_of_work_of_their_own() -> None:
    seen: list[Any] = []
    fields = {"flavor": task, "event_type": "thing", "execute": seen.append}

    run([{"id": "a", **fields}, {"id": "b", **fields}], [event_of("thing")])

    assert [uow["pipeline"] for uow in seen] == ["a", "b"]
    assert seen[0]["event"] is seen[1]["event"]


@pytest.mark.parametrize("ids", ["a", "ab"])
def test_a_unit_of_work_that_names_a_pipeline_keeps_the_name(ids: str) -> None:
    seen: list[Any] = []
    rules = [rule(id_, "thing", execute=seen.append) for id_ in ids]
    uow = {"record": {"n": 1}, "event": event_of("thing"), "pipeline": "of-the-caller"}

    StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble([uow])

    assert [each["pipeline"] for each in seen] == ["of-the-caller"] * len(ids)


def test_a_result_that_nobody_takes_is_not_put_anywhere_and_its_effect_is_the_same() -> None:
    seen: list[Any] = []
    pipeline = StreamPipeline(initialize_from([rule("a", "thing", execute=seen.append)]), DEFAULT_OPTIONS)

    response = pipeline.assemble(from_kinesis(to_kinesis_records([event_of("thing", n) for n in range(3)])))

    assert (response, [uow["event"]["id"] for uow in seen]) == ({"batchItemFailures": []}, ["e0", "e1", "e2"])


def test_a_rule_is_asked_once_for_each_type_of_a_batch() -> None:
    asked: list[object] = []

    def accepts(type_: object) -> bool:
        asked.append(type_)
        return type_ == "b"

    def flavor(rule: Any) -> Any:
        return rx_filter(Routed(event_type_of, accepts))

    out = run([{"id": "a", "flavor": flavor}], [event_of("ab"[n % 2], n) for n in range(50)])

    assert sorted(map(str, asked)) == ["a", "b"]
    assert len(out) == 25


def test_a_rule_without_an_event_type_of_its_own_is_refused() -> None:
    with pytest.raises(InvalidRule, match="'a': field 'event_type' is missing"):
        run([{"id": "a", "flavor": task, "execute": len}], [event_of("x")])


def test_all_filters_must_hold() -> None:
    filters = [lambda uow, rule: uow["event"]["n"] > 1, lambda uow: uow["event"]["n"] < 3]
    out = run([rule("a", "x", filters=filters)], [event_of("x", n, n=n) for n in range(5)])

    assert [uow["event"]["n"] for _, uow in out] == [2]


def test_pipelines_get_units_of_work_of_their_own_and_share_the_event() -> None:
    out = dict(run([rule("a", "x"), rule("b", "x")], [event_of("x")]))

    assert out["a"]["pipeline"] == "a"
    assert out["b"]["pipeline"] == "b"
    assert out["a"] is not out["b"]
    assert out["a"]["event"] is out["b"]["event"]


def custom(rule: Any) -> Any:
    """The custom flavor of the documentation, with operators of ReactiveX between those of the runtime."""

    def wrapper(source: reactivex.Observable[Any]) -> reactivex.Observable[Any]:
        return source.pipe(
            rx_filter(on_event_type(rule)),
            ops.do_action(print_start_pipeline(rule)),
            rx_filter(on_content(rule)),
            rx_map(lambda uow: {**uow, "custom": True}),
            ops.do_action(print_end_pipeline(rule)),
        )

    return wrapper


def test_a_custom_flavor_may_use_operators_of_reactivex() -> None:
    out = run([{"id": "a", "flavor": custom, "event_type": "x"}], [event_of("x", 0), event_of("y", 1)])

    assert [(id_, uow["event"]["id"], uow["custom"]) for id_, uow in out] == [("a", "e0", True)]


def test_operators_of_reactivex_may_emit_nested_observables() -> None:
    def nested(rule: Any) -> Any:
        return lambda source: source.pipe(
            rx_filter(on_event_type(rule)),
            ops.flat_map(lambda uow: reactivex.of(1, 2).pipe(rx_map(lambda n: {**uow, "n": n}))),
        )

    out = run([{"id": "a", "flavor": nested, "event_type": "x"}], [event_of("x", 0), event_of("x", 1)])

    assert [(uow["event"]["id"], uow["n"]) for _, uow in out] == [("e0", 1), ("e0", 2), ("e1", 1), ("e1", 2)]


def test_the_engine_waits_for_operators_of_reactivex_that_emit_from_other_threads() -> None:
    def later(uow: Any) -> Any:
        result: reactivex.Subject[Any] = reactivex.Subject()

        def answer() -> None:
            time.sleep(0.02)
            result.on_next(uow)
            result.on_completed()

        threading.Thread(target=answer).start()
        return result

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(rx_filter(on_event_type(rule)), ops.flat_map(later))

    out = run([{"id": "a", "flavor": flavor, "event_type": "x"}], [event_of("x", 0), event_of("x", 1)])

    assert sorted(uow["event"]["id"] for _, uow in out) == ["e0", "e1"]


def test_only_enabled_pipelines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLED_PIPELINES", "a,c")
    monkeypatch.setenv("DISABLED_PIPELINES", "c")

    out = run([rule("a", "x"), rule("b", "x"), rule("c", "x")], [event_of("x")])

    assert [id_ for id_, _ in out] == ["a"]


def test_a_pipeline_is_used_for_one_invocation_after_the_other() -> None:
    seen: list[str] = []
    handler = stream_handler([rule("a", "x", execute=lambda uow: seen.append(uow["event"]["id"]))], from_kinesis)

    for number in range(3):
        assert handler(to_kinesis_records([event_of("x", number)]), None) == {"batchItemFailures": []}

    assert seen == ["e0", "e1", "e2"]


@pytest.mark.parametrize("as_source", [iter, list, tuple, lambda uows: (uow for uow in uows), reactivex.from_iterable])
def test_a_source_may_be_any_iterable_or_observable(as_source: Any) -> None:
    seen: list[str] = []
    pipeline = StreamPipeline(
        initialize_from([rule("a", "x", execute=lambda uow: seen.append(uow["event"]["id"]))]), DEFAULT_OPTIONS
    )

    pipeline.assemble(as_source(list(from_kinesis(to_kinesis_records([event_of("x", n) for n in range(3)])))))

    assert seen == ["e0", "e1", "e2"]


def test_an_observable_source_that_ends_with_an_error_raises_it() -> None:
    pipeline = StreamPipeline(initialize_from([rule("a", "x")]), DEFAULT_OPTIONS)

    with pytest.raises(ValueError, match="broken source"):
        pipeline.assemble(reactivex.throw(ValueError("broken source")))


def test_a_mutation_of_a_frozen_event_becomes_a_fault(bus: Any) -> None:
    def mutate(uow: Any) -> None:
        uow["event"]["tags"].append("x")

    run([rule("a", "x", execute=mutate)], [event_of("x", tags=["y"])], freeze=True)

    assert [fault["err"]["name"] for fault in bus.of_type("fault")] == ["TypeError"]


def test_pipelines_that_wait_run_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=5)

    def flavor(rule: Any) -> Any:
        from stream_runtime.operators import rx_parallel

        return lambda source: source.pipe(rx_parallel(lambda run, uow: together.wait() is not None and uow, parallel=1))

    rules = [{"id": id_, "flavor": flavor} for id_ in "ab"]
    pipeline = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS)

    assert pipeline.assemble(from_kinesis(to_kinesis_records([event_of("x")]))) == {"batchItemFailures": []}


def test_on_completed_is_called_once_for_each_pipeline() -> None:
    completed: list[str] = []
    pipeline = StreamPipeline(
        initialize_from([rule("a", "x"), {"id": "b", "flavor": custom, "event_type": "x"}]), DEFAULT_OPTIONS
    )

    pipeline.assemble(from_kinesis(to_kinesis_records([event_of("x")])), on_completed=completed.append)

    assert sorted(completed) == ["a", "b"]


def test_a_stored_row_whose_type_cannot_be_read_is_a_fault_of_the_pipelines_that_need_it(bus: Any) -> None:
    row = {"pk": "e0", "sk": "EVENT", "discriminator": "EVENT", "event": "text"}
    rules = [
        {"id": "a", "flavor": correlate, "event_type": "x", "correlation_key": "id", "table_name": "t"},
        rule("b", "EVENT-created"),
    ]
    seen: list[str] = []
    response = StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(
        from_dynamodb(to_dynamodb_records([{"keys": {"pk": "e0", "sk": "EVENT"}, "newImage": row}])),
        on_next=lambda id_, uow: seen.append(id_),
    )

    assert response == {"batchItemFailures": []}
    assert [fault["tags"]["pipeline"] for fault in bus.of_type("fault")] == ["a"]
    assert seen == ["b"]


def test_a_rule_for_one_type_does_not_want_what_has_no_type() -> None:
    wants = on_event_type(rule("a", "thing-created"))

    assert [bool(wants({"event": {"type": type_}})) for type_ in ("thing-created", "other", None)] == [
        True,
        False,
        False,
    ]


def test_a_rule_without_filters_adds_no_step() -> None:
    source = reactivex.empty()

    assert rx_filter(on_content({}))(source) is source
    assert on_content({})({"event": {}})
