"""Nothing is lost, nothing is silently doubled: generated batches, rules and failures against a simulated AWS.

What must hold is written in ``harness/histories.py``. ``npm run soak -- --minutes N`` plays more of the same.
"""

import random
from collections.abc import Iterable

import pytest
from histories import ENVIRONMENT, History, Violated, generate, play, without_failures
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from simulated_aws import KINDS
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.run import Run


def play_all(numbers: Iterable[int]) -> None:
    for number in numbers:
        play(generate(random.Random(number)))


def _acknowledge_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "response", lambda self: {"batchItemFailures": []})


def _start_behind_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "may_start", lambda self, uow: True)


def _take_throttling_for_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.engine.run.classify", lambda error: "poison")


def _forget_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_runtime.pipelines.pipeline.publish_faults", lambda run, options: None)


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


SABOTAGES = {
    sabotage.__name__.strip("_"): sabotage
    for sabotage in (
        _acknowledge_everything,
        _start_behind_the_checkpoint,
        _take_throttling_for_poison,
        _forget_faults,
        _ignore_entries_that_failed,
        _run_in_any_order,
        _give_random_ids,
        _return_what_was_finished,
    )
}

HISTORIES = settings(
    max_examples=252,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


@pytest.fixture(autouse=True)
def simulated_environment(monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    monkeypatch.setattr(opensearch, "_shared", {})  # the simulated domain must not stay for other tests
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("part", range(8))
def test_whatever_fails_every_record_ends_with_its_effects_or_a_fault(part: int) -> None:
    @seed(part)
    @HISTORIES
    @given(st.randoms(use_true_random=False))
    def check(chance: random.Random) -> None:
        play(generate(chance))

    check()


def test_without_failures_nothing_is_returned_and_nothing_happens_twice() -> None:
    for number in range(40):
        aws = play(without_failures(generate(random.Random(number))))

        assert aws.injected == []


def test_a_history_survives_being_written_down_and_read_again() -> None:
    for number in range(40):
        history = generate(random.Random(number))

        assert History.from_json(history.to_json()) == history


def test_histories_meet_every_kind_of_failure_that_aws_has() -> None:
    met = {failure.kind for number in range(150) for failure in play(generate(random.Random(number))).injected}

    assert met == set(KINDS)


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_harness_notices_an_engine_that_breaks_a_promise(sabotage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SABOTAGES[sabotage](monkeypatch)

    with pytest.raises(Violated):
        play_all(range(400))
