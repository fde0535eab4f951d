"""What is acknowledged, what is returned, what becomes a fault, and what is not begun any more."""

import json
import threading
import time
from typing import Any

import pytest
from reactivex import operators as ops
from stream_runtime import (
    DEFAULT_OPTIONS,
    ConfigurationError,
    StreamPipeline,
    TransientError,
    UnfinishedBatch,
    clients,
    faulty,
    initialize_from,
    rx_filter,
    rx_map,
)
from stream_runtime.engine.run import current_run
from stream_runtime.events import from_dynamodb, from_kinesis, to_dynamodb_records, to_kinesis_records
from stream_runtime.faults import fault_event
from stream_runtime.filters import on_event_type
from stream_runtime.flavors import evaluate, task
from stream_runtime.operators import rx_effect, rx_parallel, split_buffer
from stream_runtime.payload.attributes import marshall
from stream_runtime.pipelines import fault_events


class Rows:
    """A DynamoDB client whose queries find these rows."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def query(self, **request: Any) -> dict[str, Any]:
        return {"Items": self.rows}


def events(count: int, key: str = "") -> list[dict[str, Any]]:
    return [{"id": f"e{n}", "type": "x", "timestamp": n, "partition_key": key or f"k{n}", "n": n} for n in range(count)]


def kinesis(count: int, key: str = "") -> Any:
    return from_kinesis(to_kinesis_records(events(count, key)))


def sqs(count: int, *, groups: str = "") -> Any:
    """Units of work of a queue; with groups, of a FIFO queue, one letter for each message's group."""
    return [
        {
            "record": {
                "messageId": f"m{n}",
                "attributes": {"MessageGroupId": groups[n]} if groups else {},
                "eventSourceARN": f"arn:aws:sqs:us-west-2:1:q{'.fifo' if groups else ''}",
            },
            "event": event,
        }
        for n, event in enumerate(events(count))
    ]


def unidentified(count: int, key: str = "") -> Any:
    return [{"record": {"Sns": {"n": event["n"]}}, "event": event} for event in events(count, key)]


def executes(function: Any, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": "a", "flavor": task, "event_type": "x", "execute": function, **fields}]


def assemble(rules: list[dict[str, Any]], source: Any, **keywords: Any) -> Any:
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(source, **keywords)


def failing_at(numbers: set[int], error: Any, seen: list[int]) -> Any:
    def execute(uow: Any) -> None:
        if uow["event"]["n"] in numbers:
            raise error
        seen.append(uow["event"]["n"])

    return execute


def identifiers(response: Any) -> list[str]:
    return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]


# Streams


def test_poison_becomes_a_fault_and_the_rest_of_the_batch_goes_on(bus: Any) -> None:
    seen: list[int] = []

    response = assemble(executes(failing_at({1}, ValueError("bad"), seen)), kinesis(3))

    assert response == {"batchItemFailures": []}
    assert seen == [0, 2]
    assert [(fault["id"], fault["err"]["message"]) for fault in bus.events] == [("e1.a.fault", "bad")]


@pytest.mark.parametrize("error", [TransientError(), TimeoutError(), ConnectionResetError(), ConfigurationError()])
def test_a_stream_gets_its_lowest_unfinished_sequence_number_back(error: Exception) -> None:
    assert identifiers(assemble(executes(failing_at({2, 4}, error, [])), kinesis(6))) == ["2"]


def test_the_lowest_sequence_number_counts_whatever_the_order_of_the_records() -> None:
    uows = list(kinesis(12))

    assert identifiers(assemble(executes(failing_at({10, 9}, TransientError(), [])), uows[::-1])) == ["9"]


def test_nothing_after_the_checkpoint_starts() -> None:
    seen: list[int] = []

    assemble(executes(failing_at({2}, TransientError(), seen)), kinesis(6))

    assert seen == [0, 1]


def test_nothing_after_the_checkpoint_starts_in_other_pipelines() -> None:
    seen: list[int] = []
    late = executes(failing_at(set(), None, seen), parallel=2)[0] | {"id": "b"}

    assemble([*executes(failing_at({2}, TransientError(), [])), late], kinesis(6))

    assert sorted(seen) == [0, 1]


def test_faults_before_the_checkpoint_are_published_and_later_ones_are_not(bus: Any) -> None:
    def execute(uow: Any) -> None:
        raise {1: ValueError("bad"), 3: TransientError()}.get(uow["event"]["n"], ValueError("worse"))

    response = assemble(executes(execute, parallel=8), kinesis(5))

    assert identifiers(response) == ["3"]
    assert {fault["id"] for fault in bus.events} == {"e0.a.fault", "e1.a.fault", "e2.a.fault"}


def test_a_record_that_is_poison_in_one_pipeline_and_left_in_another_has_no_fault_yet(bus: Any) -> None:
    rules = [
        *executes(failing_at({1}, ValueError("bad"), [])),
        executes(failing_at({1}, TransientError(), []))[0] | {"id": "b"},
    ]

    assert identifiers(assemble(rules, kinesis(3))) == ["1"]
    assert bus.events == []


def test_a_fault_that_cannot_be_published_leaves_its_record_for_retry(bus: Any, denied: Exception) -> None:
    bus.fails(denied)

    assert identifiers(assemble(executes(failing_at({1, 2}, ValueError("bad"), [])), kinesis(4))) == ["1"]


def test_a_fault_whose_publishing_is_throttled_is_published_again(bus: Any, throttled: Exception) -> None:
    bus.fails(throttled, times=3)

    assert assemble(executes(failing_at({1}, ValueError("bad"), [])), kinesis(4)) == {"batchItemFailures": []}
    assert [fault["id"] for fault in bus.events] == ["e1.a.fault"]


def test_faults_are_published_one_request_after_the_other(bus: Any, denied: Exception) -> None:
    bus.fails(denied)

    response = assemble(executes(failing_at(set(range(40)), ValueError("bad"), [])), kinesis(40))

    assert identifiers(response) == ["0"]
    assert len(bus.calls) == 1


def test_an_entry_that_failed_inside_a_successful_call_is_sent_again_alone(bus: Any) -> None:
    def first_fails(entries: list[Any]) -> Any:
        return {
            "FailedEntryCount": 1,
            "Entries": [{"ErrorCode": "ThrottlingException"}, *({"EventId": "1"} for _ in entries[1:])],
        }

    bus.answers = [first_fails]

    response = assemble(executes(lambda uow: 1, emit="done"), kinesis(3))

    assert response == {"batchItemFailures": []}
    assert [[json.loads(entry["Detail"])["id"] for entry in call] for call in bus.calls] == [
        ["e0.a", "e1.a", "e2.a"],
        ["e0.a"],
    ]


def test_an_entry_that_is_refused_inside_a_successful_call_is_a_fault_of_its_own(bus: Any) -> None:
    bus.answers = [
        lambda entries: {
            "FailedEntryCount": 1,
            "Entries": [{"EventId": "1"}, {"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}, {"EventId": "2"}],
        }
    ]

    assert assemble(executes(lambda uow: 1, emit="done"), kinesis(3)) == {"batchItemFailures": []}
    assert [fault["err"]["message"] for fault in bus.of_type("fault")] == ["MalformedDetail: no"]


# Queues


def test_a_queue_gets_each_failed_message_back() -> None:
    assert identifiers(assemble(executes(failing_at({1, 3}, TransientError(), [])), sqs(5))) == ["m1", "m3"]


def test_a_queue_goes_on_behind_a_failed_message() -> None:
    seen: list[int] = []

    assemble(executes(failing_at({1}, TransientError(), seen)), sqs(4))

    assert seen == [0, 2, 3]


def test_a_fifo_queue_gets_back_all_later_messages_of_the_group() -> None:
    seen: list[int] = []

    response = assemble(executes(failing_at({1}, TransientError(), seen)), sqs(6, groups="aabaab"))

    assert identifiers(response) == ["m1", "m3", "m4"]
    assert seen == [0, 2, 5]


def test_a_message_group_of_a_standard_queue_blocks_nothing() -> None:
    uows = sqs(3, groups="aaa")
    for uow in uows:
        uow["record"]["eventSourceARN"] = "arn:aws:sqs:us-west-2:1:q"

    assert identifiers(assemble(executes(failing_at({0}, TransientError(), [])), uows)) == ["m0"]


# Sources without identifiers


def test_a_source_without_identifiers_fails_if_something_is_left_for_retry() -> None:
    with pytest.raises(UnfinishedBatch, match="TransientError") as raised:
        assemble(executes(failing_at({1}, TransientError("slow"), [])), unidentified(3))

    assert [str(cause) for cause in raised.value.causes] == ["slow"]


def test_a_source_without_identifiers_starts_nothing_after_a_record_is_left_for_retry() -> None:
    seen: list[int] = []

    with pytest.raises(UnfinishedBatch):
        assemble(executes(failing_at({1}, TransientError(), seen)), unidentified(4))

    assert seen == [0]


def test_a_source_without_identifiers_publishes_no_fault_if_the_batch_comes_again(bus: Any) -> None:
    def execute(uow: Any) -> None:
        raise ValueError("bad") if uow["event"]["n"] == 0 else TransientError()

    with pytest.raises(UnfinishedBatch):
        assemble(executes(execute), unidentified(2))

    assert bus.events == []


def test_a_source_without_identifiers_publishes_faults(bus: Any) -> None:
    assert assemble(executes(failing_at({1}, ValueError("bad"), [])), unidentified(3)) == {"batchItemFailures": []}
    assert [fault["id"] for fault in bus.events] == ["e1.a.fault"]


# Time


def test_at_the_deadline_everything_is_returned(context_with: Any) -> None:
    seen: list[int] = []

    response = assemble(executes(failing_at(set(), None, seen)), kinesis(3), context=context_with(0))

    assert identifiers(response) == ["0"]
    assert seen == []


def test_what_was_done_before_the_deadline_is_acknowledged(context_with: Any) -> None:
    def execute(uow: Any) -> None:
        if uow["event"]["n"] == 2:
            current_run.get().deadline = 0.0  # type: ignore[union-attr]

    assert identifiers(assemble(executes(execute), kinesis(5), context=context_with(60_000))) == ["3"]


def test_faults_are_published_after_the_deadline(bus: Any, context_with: Any) -> None:
    def execute(uow: Any) -> None:
        current_run.get().deadline = 0.0  # type: ignore[union-attr]
        raise ValueError("bad")

    assert identifiers(assemble(executes(execute), kinesis(2), context=context_with(60_000))) == ["1"]
    assert [fault["id"] for fault in bus.events] == ["e0.a.fault"]


def test_a_pipeline_that_has_not_ended_at_the_deadline_returns_the_whole_batch(context_with: Any) -> None:
    def flavor(rule: Any) -> Any:
        import reactivex

        return lambda source: source.pipe(rx_filter(on_event_type(rule)), ops.flat_map(lambda _: reactivex.never()))

    with pytest.raises(UnfinishedBatch, match="'a' has not ended"):
        assemble([{"id": "a", "flavor": flavor, "event_type": "x"}], kinesis(1), context=context_with(1_000))


# Order


def test_no_later_record_of_a_key_takes_effect_once_one_is_left_in_a_custom_flavor() -> None:
    seen: list[int] = []

    def flavor(rule: Any) -> Any:
        act = faulty(failing_at({1}, TransientError(), seen))
        return lambda source: source.pipe(rx_filter(on_event_type(rule)), rx_map(act))

    assemble([{"id": "a", "flavor": flavor, "event_type": "x"}], kinesis(4, key="k"))

    assert seen == [0]


def test_no_later_record_of_a_key_takes_effect_after_a_step_that_waited() -> None:
    seen: list[int] = []

    def flavor(rule: Any) -> Any:
        act = faulty(failing_at({1}, TransientError(), seen))
        return lambda source: source.pipe(rx_parallel(lambda run, uow: uow, parallel=4), rx_map(act))

    assemble([{"id": "a", "flavor": flavor}], kinesis(4, key="k"))

    assert seen == [0]


def test_records_of_one_key_keep_their_order_when_calls_run_in_parallel() -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def execute(uow: Any) -> None:
        with lock:
            seen.append(uow["event"]["n"])

    rows = [{**event, "partition_key": f"k{event['n'] % 3}"} for event in events(60)]
    assemble(executes(execute, parallel=8), from_kinesis(to_kinesis_records(rows)))

    assert sorted(seen) == list(range(60))
    assert [[n for n in seen if n % 3 == key] for key in range(3)] == [list(range(key, 60, 3)) for key in range(3)]


# Failures that are hard to trace


def test_an_error_of_a_step_over_a_list_is_the_fault_of_all_its_members(bus: Any) -> None:
    def fail(uows: list[Any]) -> Any:
        raise ValueError("bad list")

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(ops.buffer_with_count(2), rx_map(fail), split_buffer())

    assert assemble([{"id": "a", "flavor": flavor}], kinesis(2)) == {"batchItemFailures": []}
    assert [[single["event"]["id"] for single in fault["uow"]["batch"]] for fault in bus.events] == [["e0", "e1"]]


def test_an_error_attributed_to_one_member_is_still_the_failure_of_the_whole_step(bus: Any) -> None:
    one = faulty(failing_at({1}, ValueError("bad member"), []))

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(
            ops.buffer_with_count(3), rx_map(lambda uows: [one(uow) for uow in uows]), split_buffer()
        )

    assert assemble([{"id": "a", "flavor": flavor}], kinesis(3)) == {"batchItemFailures": []}
    assert [len(fault["uow"]["batch"]) for fault in bus.events] == [3]


def test_if_one_record_of_a_fault_comes_again_all_of_them_do(bus: Any) -> None:
    def fail(uows: list[Any]) -> Any:
        raise ValueError("bad list")

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(ops.buffer_with_count(4), rx_map(fail), split_buffer())

    rules = [
        {"id": "a", "flavor": flavor},
        executes(failing_at({2}, TransientError(), []), parallel=1)[0] | {"id": "b"},
    ]

    assert identifiers(assemble(rules, kinesis(4))) == ["0"]
    assert bus.events == []


def test_one_exception_raised_for_two_records_makes_two_faults(bus: Any) -> None:
    error = ValueError("always the same object")

    assemble(executes(failing_at({0, 2}, error, [])), kinesis(3))

    assert {fault["id"] for fault in bus.events} == {"e0.a.fault", "e2.a.fault"}


def test_an_exception_with_slots_is_traced_to_its_record(bus: Any) -> None:
    class Slotted(Exception):
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    assemble(executes(failing_at({1}, Slotted(), [])), kinesis(2))

    assert [fault["id"] for fault in bus.events] == ["e1.a.fault"]


def test_a_failure_that_belongs_to_no_record_returns_the_whole_batch() -> None:
    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(rx_map(lambda uow: {"lost": True}), rx_map(lambda uow: uow["missing"]))

    with pytest.raises(UnfinishedBatch, match="KeyError: 'missing'"):
        assemble([{"id": "a", "flavor": flavor}], kinesis(2))


def test_a_failed_group_with_an_untraceable_member_returns_the_whole_batch() -> None:
    def flavor(rule: Any) -> Any:
        def fail(uow: Any) -> Any:
            raise ValueError("bad")

        return lambda source: source.pipe(rx_map(lambda uow: {"batch": [uow, {"lost": True}]}), rx_map(fail))

    with pytest.raises(UnfinishedBatch, match="bad"):
        assemble([{"id": "a", "flavor": flavor}], kinesis(1))


def test_a_copy_of_a_record_is_found_by_its_identifier(bus: Any) -> None:
    def flavor(rule: Any) -> Any:
        copied = rx_map(lambda uow: {**uow, "record": json.loads(json.dumps(uow["record"]))})
        return lambda source: source.pipe(copied, rx_effect(failing_at({1}, TransientError(), [])))

    assert identifiers(assemble([{"id": "a", "flavor": flavor}], kinesis(3))) == ["1"]


def test_an_ignored_error_returns_the_whole_batch(bus: Any) -> None:
    def flavor(rule: Any) -> Any:
        return rx_map(faulty(failing_at({1}, ValueError("bad"), []), ignore=True))

    with pytest.raises(UnfinishedBatch, match="ValueError: bad"):
        assemble([{"id": "a", "flavor": flavor}], kinesis(2))
    assert bus.events == []


def test_an_error_in_an_operator_of_reactivex_ends_its_pipeline_and_returns_the_batch() -> None:
    ended: list[tuple[str, str]] = []

    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(ops.map(lambda uow: uow["missing"]))

    with pytest.raises(UnfinishedBatch, match="missing"):
        assemble(
            [{"id": "a", "flavor": flavor}], kinesis(2), on_error=lambda id_, error: ended.append((id_, str(error)))
        )
    assert ended == [("a", "'missing'")]


def test_an_error_callback_that_raises_does_not_acknowledge_the_batch() -> None:
    def flavor(rule: Any) -> Any:
        return lambda source: source.pipe(ops.map(lambda uow: uow["missing"]))

    def on_error(id_: str, error: BaseException) -> None:
        raise RuntimeError("from on_error")

    with pytest.raises((UnfinishedBatch, RuntimeError)):
        assemble([{"id": "a", "flavor": flavor}], kinesis(2), on_error=on_error)


@pytest.mark.parametrize("error", [KeyError, TypeError, AttributeError, ValueError])
@pytest.mark.parametrize("parallel", [None, 2])
def test_an_error_of_on_next_raises(error: type[Exception], parallel: int | None, bus: Any) -> None:
    def on_next(id_: str, uow: Any) -> None:
        raise error("from on_next")

    rules = executes(lambda uow: 1, **({"parallel": parallel} if parallel else {}))
    with pytest.raises((UnfinishedBatch, error), match="from on_next"):
        assemble(rules, kinesis(2), on_next=on_next)
    assert bus.events == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("parallel", [None, 4])
def test_an_interrupt_in_a_rule_ends_the_invocation(error: type[BaseException], parallel: int | None, bus: Any) -> None:
    rules = executes(failing_at({1}, error(), []), **({"parallel": parallel} if parallel else {}))

    with pytest.raises(error):
        assemble([*rules, rules[0] | {"id": "b"}], kinesis(8))
    assert bus.events == []


def test_anything_but_a_unit_of_work_is_a_fault_or_raises_and_is_never_acknowledged(bus: Any) -> None:
    with pytest.raises((UnfinishedBatch, AttributeError)):
        assemble(executes(lambda uow: 1), ["no unit of work"])

    assert assemble(executes(lambda uow: 1), [{"record": {"messageId": "m1"}}]) == {"batchItemFailures": []}
    assert [fault["err"]["name"] for fault in bus.events] == ["InvalidRecord"]


def test_code_in_other_threads_sees_the_run() -> None:
    runs: list[object] = []

    def flavor(rule: Any) -> Any:
        return rx_parallel(lambda run, uow: runs.append(current_run.get() is run) or uow, parallel=4)

    assemble([{"id": "a", "flavor": flavor}, {"id": "b", "flavor": flavor}], kinesis(10))

    assert runs == [True] * 20


def test_duplicate_sequence_numbers_are_returned_once() -> None:
    uows = list(kinesis(2)) + list(kinesis(2))

    assert identifiers(assemble(executes(failing_at({1}, TransientError(), [])), uows)) == ["1"]


def test_faults_that_no_time_is_left_for_stay_with_their_records(bus: Any, context_with: Any) -> None:
    def takes_all_the_time(entries: list[Any]) -> None:
        current_run.get().deadline = 0.0  # type: ignore[union-attr]

    bus.answers = [takes_all_the_time]

    response = assemble(
        executes(failing_at(set(range(30)), ValueError("bad"), [])), kinesis(30), context=context_with(60_000)
    )

    assert identifiers(response) == ["10"]
    assert len(bus.events) == 10


def test_faults_that_take_long_to_be_made_stay_with_their_records_and_the_others_are_published(
    bus: Any, context_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def slow(fault: Any, *given: Any) -> Any:
        made.append(fault.uow["event"]["id"])
        if len(made) == 3:
            current_run.get().deadline = time.monotonic() + 20  # type: ignore[union-attr]
        return fault_event(fault, *given)

    monkeypatch.setattr(fault_events, "fault_event", slow)

    response = assemble(
        executes(failing_at(set(range(30)), ValueError("bad"), [])), kinesis(30), context=context_with(60_000)
    )

    assert identifiers(response) == ["3"]
    assert made == ["e0", "e1", "e2"]
    assert [fault["id"] for fault in bus.events] == ["e0.a.fault", "e1.a.fault", "e2.a.fault"]


@pytest.mark.parametrize(("compact", "faults"), [(True, [["e0", "e1"]]), (None, [["e0"], ["e1"]])])
def test_a_fault_holds_all_records_that_a_rule_compacts(
    bus: Any, compact: bool | None, faults: list[list[str]]
) -> None:
    def emit(uow: Any, rule: Any, template: Any) -> Any:
        raise ValueError("bad emit")

    rows = [{"pk": "key", "sk": f"e{n}", "discriminator": "CORREL", "event": events(2)[n]} for n in range(2)]
    rule = {"id": "a", "flavor": evaluate, "event_type": "x", "expression": lambda uow: True, "emit": emit}
    clients.use("dynamodb", Rows([marshall(row) for row in rows]))
    batch = to_dynamodb_records([{"keys": {"pk": "key", "sk": row["sk"]}, "newImage": row} for row in rows])

    response = assemble([{**rule, "table_name": "t", "compact": compact}], from_dynamodb(batch))

    assert response == {"batchItemFailures": []}
    units = [fault["uow"].get("batch", [fault["uow"]]) for fault in bus.events]
    assert [[unit["event"]["id"] for unit in each] for each in units] == faults


@pytest.mark.parametrize("parallel", [1, 4])
def test_what_finished_before_the_deadline_is_acknowledged_and_the_rest_is_returned(parallel: int) -> None:
    def execute(uow: Any) -> None:
        if uow["event"]["n"] == 3:
            current_run.get().deadline = 0.0  # type: ignore[union-attr]

    assert identifiers(assemble(executes(execute, parallel=parallel), kinesis(20, key="k"))) == ["4"]
