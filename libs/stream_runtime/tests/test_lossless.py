"""Nothing is lost, nothing is silently doubled, and batches do not matter: generated histories on a simulated AWS.

Every history is played as it is, in its own batches and with its failures; then one record by one; then in other
batches, some of which come twice. ``harness/promises.py`` says what must hold of each play, ``harness/batches.py`` that
all of them have the same distinct effects, and what rules may ask for instead.

Played here is a sample that finds each of the broken engines below, and an eighth of it in ``npm test`` without
``--thorough``. ``npm run soak -- --minutes N`` plays as many more as there is time for, and
``npm run soak -- --seed N`` the history of a seed that has failed.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import batches
import promises
import pytest
import rules_on_events
import rules_on_rows
import rules_with_sinks
from chains import check_chain, generate_chain
from failures import KINDS, Plan
from histories import EVENT_PIPELINES, ROW_PIPELINES, WANTED, History, generate, without_failures
from outcomes import OF_SEVERAL_RECORDS
from played_rules import PlayedRules
from playing import ENVIRONMENT, Violated, play
from sample_sizes import sample_of
from simulated_aws import SimulatedAws
from simulated_dynamodb import SimulatedDynamoDB
from stream_runtime import flavors, sinks
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.flow import GatherStep, compose, extend
from stream_runtime.engine.run import Run, current_run
from stream_runtime.flavors.job import Chunk, Position
from two_clients import WAYS, Way

PARTS = [0, *(pytest.param(part, marks=pytest.mark.thorough) for part in range(1, 8))]  # every eighth history each
CHAINS = 40


def in_a_hurry(history: History) -> bool:
    return bool(history.hurried and not OF_SEVERAL_RECORDS & set(history.pipelines))


def has(*pipelines: str) -> Callable[[History], Any]:
    return lambda history: set(pipelines) & set(history.pipelines)


def in_threads(history: History) -> bool:
    return history.parallel > 1


@cache
def sample() -> dict[int, History]:
    """Histories by their seeds: all of the first 200, and more of those in which few engines break their promise."""
    histories = {number: generate(random.Random(number)) for number in range(1000)}
    once, evaluate, of_one_key = has("once"), has("evaluate"), has("related", "split", "work")

    def is_in(number: int, history: History) -> Any:
        if number < 400 and (in_a_hurry(history) or evaluate(history)):
            return True
        return number < 200 or once(history) or (in_threads(history) and of_one_key(history))

    return {number: history for number, history in histories.items() if is_in(number, history)}


@pytest.fixture(autouse=True)
def simulated_environment(monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    monkeypatch.setattr(opensearch, "_shared", {})  # the simulated domain must not stay for other tests
    for name, value in {**ENVIRONMENT, "MAX_EXPANDED_SIZE": "16384"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("part", PARTS)
def test_whatever_fails_and_however_batches_are_cut_a_record_has_its_effects_or_a_fault(part: int) -> None:
    for number, history in [*sample().items()][part :: len(PARTS)]:
        with named(number):
            batches.compare(history, play(history, over_http=history.seed % 32 == 0))


def test_a_chain_from_collect_to_expired_has_the_same_effects_however_its_batches_are_cut() -> None:
    check_chains(range(sample_of(CHAINS)))


@contextmanager
def named(number: int) -> Iterator[None]:
    """A failure says with which seed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"npm run soak -- --seed {number}")
        raise


def test_without_failures_nothing_is_returned_and_nothing_happens_twice() -> None:
    for number in range(40):
        aws = play(without_failures(generate(random.Random(number))))

        assert aws.injected == []


def test_boto3_s_own_clients_and_direct_ones_have_the_same_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARALLEL", "1")
    for number in range(20):
        history = replace(generate(random.Random(number)), concurrency=False, parallel=1)
        direct, over_http = play(history), play(history, over_http=True)

        assert direct.injected == over_http.injected
        assert [*map(batches.text_of, direct.effects)] == [*map(batches.text_of, over_http.effects)]


@pytest.mark.parametrize("way", WAYS)
def test_clients_before_sockets_that_fail_and_direct_ones_have_the_same_effects(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARALLEL", "1")
    for number in range(8 if way == "lean" else 2):
        history = replace(generate(random.Random(number)), concurrency=False, parallel=1)
        direct, over_sockets = play(history), play(history, over_sockets=way)

        assert direct.injected == over_sockets.injected
        assert [*map(batches.text_of, direct.effects)] == [*map(batches.text_of, over_sockets.effects)]


def test_whatever_fails_at_the_socket_a_record_has_its_effects_or_a_fault() -> None:
    """In threads, through the lean client; ``npm run soak`` plays more of these, through both."""
    for number in range(100, 110):
        with named(number):
            history = generate(random.Random(number))
            batches.compare(history, play(history, over_sockets="lean"))


def test_a_history_survives_being_written_down_and_read_again() -> None:
    for number in range(40):
        history = generate(random.Random(number))

        assert History.from_json(history.to_json()) == history


def test_histories_meet_every_kind_of_failure_that_aws_has() -> None:
    met: set[str] = set()
    for number in range(150):
        met |= {failure.kind for failure in play(generate(random.Random(number))).injected}
        if met == set(KINDS):
            break

    assert met == set(KINDS)


@pytest.mark.thorough  # of the histories, not of the engine
def test_in_many_histories_faults_cannot_be_published() -> None:
    found = 0
    for number in range(150):
        injected = play(generate(random.Random(number))).injected
        found += any(
            failure.kind == "denied" and any(".fault" in identity for identity in failure.identities)
            for failure in injected
        )
        if found == 6:
            break

    assert found == 6


def test_an_index_lags_behind_its_table() -> None:
    aws = SimulatedAws(Plan(0))
    aws.call("PutItem", {"TableName": "t", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, "data": {"S": "c"}}})

    def found(name: str, value: str, **more: Any) -> set[int]:
        condition = {"KeyConditionExpression": f"{name} = :v", "ExpressionAttributeValues": {":v": {"S": value}}}
        return {len(aws.call("Query", {"TableName": "t", **condition, **more})["Items"]) for _ in range(20)}

    assert found("data", "c", IndexName="DataIndex") == {0, 1}
    assert found("pk", "a") == {0, 1}
    assert found("pk", "a", ConsistentRead=True) == {1}


def test_histories_have_rules_of_every_flavor_and_sink() -> None:
    rules = "".join(
        Path(module.__file__ or "").read_text() for module in (rules_on_events, rules_on_rows, rules_with_sinks)
    )
    flavor_names = {path.stem for path in Path(flavors.__path__[0]).glob("[a-z]*.py")}
    sink_names = {path.stem for path in Path(sinks.__path__[0]).glob("[a-z]*.py")} - {"entries", "limits", "messages"}
    # Sinks that flavors of another name use.
    used_by = {
        "correlations": "evaluate",
        "eventbridge": "task",
        "lambda_function": "invoke_lambda",
        "opensearch": "elasticsearch",
    }

    assert flavor_names <= set(re.findall(r"flavors\.(\w+)", rules))
    for name in sink_names:
        assert re.search(rf"flavors\.{used_by.get(name, name)}\b|sinks\.{name}\b", rules), name
    played = {name for name in dir(PlayedRules) if name[0] != "_"} - {"local"}
    assert played == {*EVENT_PIPELINES, *ROW_PIPELINES, *WANTED}


def test_exceptions_are_rules_of_histories() -> None:
    assert set(batches.EXCEPTIONS) <= {*EVENT_PIPELINES, *ROW_PIPELINES}


# Engines that break a promise


def play_all(wanted: Callable[[History], Any]) -> Iterator[tuple[History, SimulatedAws]]:
    for history in filter(wanted, sample().values()):
        yield history, play(history)


def compare_all(wanted: Callable[[History], Any]) -> None:
    for history, played in play_all(wanted):
        batches.compare(history, played)


Sabotage = Callable[[pytest.MonkeyPatch], None]


def _acknowledge_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "response", lambda self: {"batchItemFailures": []})


def _start_behind_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "may_start", lambda self, uow: True)


def _take_throttling_for_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.run.classify", lambda error: "poison")


def _forget_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.pipelines.pipeline.publish_faults", lambda run, options: None)


def _lose_faults_that_are_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("leave", "abandon"):
        kept = getattr(Run, name)

        def lost(self: Run, *arguments: Any, kept: Callable[..., None] = kept) -> None:
            if not self.publishing_faults:
                kept(self, *arguments)

        monkeypatch.setattr(Run, name, lost)


def _ignore_entries_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.sinks.eventbridge.outcomes_of", lambda entries, response: [{}] * len(entries))


def _run_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.operators.order_key", lambda uow: id(uow))


def _give_random_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.rules.emitting.derived_id", lambda *parts: f"{parts[0]}.work.{random.random()}")


def _return_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = Run.may_go_on

    def may_go_on(self: Run, uow: object) -> bool:
        if self.left_s() == 0:
            self.leave(uow, TimeoutError())
        return goes_on(self, uow)

    monkeypatch.setattr(Run, "may_go_on", may_go_on)


def _forget_who_may_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.sinks.correlations._owns", lambda marker, there: False)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sabotage", "wanted"),
    [
        (_acknowledge_everything, bool),
        (_start_behind_the_checkpoint, bool),
        (_take_throttling_for_poison, bool),
        (_forget_faults, bool),
        (_lose_faults_that_are_not_published, bool),
        (_ignore_entries_that_failed, has("work", "workers", "cdc")),
        (_run_in_any_order, in_threads),
        (_give_random_ids, has("work")),
        (_forget_who_may_publish, has("once")),
        (_return_what_was_finished, in_a_hurry),
    ],
)
def test_the_harness_notices_an_engine_that_breaks_a_promise(
    sabotage: Sabotage, wanted: Callable[[History], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)

    # Up to three times: threads that may run in any order may happen to run in the right one.
    with pytest.raises(Violated):
        list(chain.from_iterable(play_all(wanted) for _ in range(3)))


# Engines for which batches matter


def _evaluate_once_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("stream_runtime.flavors.evaluate")
    emitted = module.emitted

    def last_of_each(run: Run, uows: Any) -> Any:
        return {uow["meta"]["correlation_key"]: uow for uow in uows}.values()

    def emitted_once(*arguments: Any) -> Any:
        return compose(extend(GatherStep(last_of_each)), emitted(*arguments))

    monkeypatch.setattr(module, "emitted", emitted_once)


def _derive_ids_from_places_in_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def derived_id(event_id: str, *more: object) -> str:
        run = current_run.get()
        assert run is not None
        run.count("ids")
        return f"{event_id}.{run.outcomes['ids']}"

    monkeypatch.setattr("stream_runtime.rules.emitting.derived_id", derived_id)


def _write_a_batch_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(keys: Any, work: Callable[[int], None], parallel: int) -> None:
        for number in reversed(range(len(keys))):
            work(number)

    monkeypatch.setattr("stream_runtime.engine.operators.in_key_order", backwards)


def _read_one_page_for_all_events_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def advance(self: Position, uow: Any, read: Callable[[Any], Any]) -> Any:
        items, end = read(self.cursor)
        self.chunks.append(Chunk(uow, self.cursor, end, False))
        return items

    monkeypatch.setattr(Position, "advance", advance)


def _compact_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream_runtime.rules import steps
    from stream_runtime.rules.grouping import compacted

    monkeypatch.setattr(steps, "_pieces", lambda rule: [compacted({"compact": True})])


def _read_rows_as_an_index_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lateness = SimulatedDynamoDB.lateness
    monkeypatch.setattr(SimulatedDynamoDB, "lateness", lambda self, request: lateness(self, {}))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sabotage", "wanted"),
    [
        (_evaluate_once_for_a_batch, has("each", "evaluate")),
        (_derive_ids_from_places_in_the_batch, has("work", "workers")),
        (_write_a_batch_from_its_end, has("view", "split")),
        (_read_one_page_for_all_events_of_a_batch, has("job")),
        (_compact_everywhere, has("work", "topic")),
        (_read_rows_as_an_index_shows_them, has("evaluate", "once")),
    ],
)
def test_the_comparison_alone_notices_an_engine_for_which_batches_matter(
    sabotage: Sabotage, wanted: Callable[[History], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    monkeypatch.setattr(promises, "check_invocation", lambda *_: None)
    monkeypatch.setattr(promises, "check_end", lambda *_: None)

    with pytest.raises(Violated, match=r"in batches|last states|compacting|grouped"):
        compare_all(wanted)


def _publish_once_whoever_owns_the_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.sinks.correlations.claim_in_dynamodb", lambda table_name=None: compose())


@pytest.mark.thorough
@pytest.mark.parametrize(
    "sabotage",
    [_evaluate_once_for_a_batch, _publish_once_whoever_owns_the_marker, _read_rows_as_an_index_shows_them],
)
def test_chains_notice_an_engine_for_which_batches_matter(sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch)

    with pytest.raises(Violated):
        check_chains(range(CHAINS))


def check_chains(numbers: Iterable[int]) -> None:
    for number in numbers:
        with named(number):
            check_chain(generate_chain(random.Random(number)))
