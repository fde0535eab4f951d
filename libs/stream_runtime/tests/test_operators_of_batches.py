"""Operators that hold nothing of a batch are made once for a process; all others are made for each batch."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import pytest
from failures import Plan
from histories import generate
from played_rules import rules_of
from playing import ENVIRONMENT
from simulated_aws import SimulatedAws
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, flavors, initialize_from, settings
from stream_runtime.engine.flow import Operator
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.operators import rx_map
from stream_runtime.options import publish
from stream_runtime.settings import OF_A_BATCH, Setting


class Counted:
    """A pipeline of one rule, and how often its operator was made."""

    def __init__(self, flavor: Callable[..., Operator], options: Mapping[str, Any], **fields: Any) -> None:
        self.made = 0

        @wraps(flavor)
        def recipe(rule: Any) -> Operator:
            self.made += 1
            return flavor(rule)

        rule = {"id": "counted", "flavor": recipe, "event_type": "thing-created", **fields}
        self._pipeline = StreamPipeline(initialize_from([rule]), {**DEFAULT_OPTIONS, **options})
        self.made = 0

    def take(self, *ids: str) -> dict[str, Any]:
        """Process a batch of events with these ids."""
        events = [{"id": id_, "type": "thing-created", "timestamp": 1, "partition_key": id_} for id_ in ids]
        return self._pipeline.assemble(from_kinesis(to_kinesis_records(events)))


def counted(options: Mapping[str, Any] | None = None, **fields: Any) -> Counted:
    return Counted(flavors.task, options or {}, **{"emit": "thing-seen", **fields})


def test_the_operator_of_a_rule_is_made_once(bus: Any) -> None:
    pipeline = counted()
    for id_ in "abc":
        pipeline.take(id_)

    assert pipeline.made == 1
    assert [event["partition_key"] for event in bus.events] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "fields",
    [
        {"rate": 1_000},
        {"publish": lambda parameters: publish(parameters)},
        {"execute_operators": lambda _: rx_map(lambda uow: uow)},
    ],
)
def test_an_operator_that_may_hold_something_of_a_batch_is_made_for_each(bus: Any, fields: dict[str, Any]) -> None:
    by_rule, by_option = counted(**fields), counted(options=fields)
    for id_ in "ab":
        by_rule.take(id_)
        by_option.take(id_)

    assert (by_rule.made, by_option.made) == (2, 2)


def test_the_operator_of_a_custom_flavor_is_made_for_each_batch() -> None:
    pipeline = Counted(lambda _: rx_map(lambda uow: uow), {})
    pipeline.take("a")
    pipeline.take("b")

    assert pipeline.made == 2


def test_the_operator_of_a_job_is_made_for_each_batch_because_it_holds_the_cursor() -> None:
    assert flavors.job.holds_batch  # type: ignore[attr-defined]


def test_at_debug_level_there_are_other_steps(bus: Any, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = counted()
    pipeline.take("a")
    with caplog.at_level(logging.DEBUG):
        pipeline.take("b")
    pipeline.take("c")

    assert pipeline.made == 2
    assert [line.args[2] for line in caplog.records if line.message.startswith("start pipeline")] == ["b"]  # type: ignore[index]


def test_the_logger_of_a_rule_decides_for_it(bus: Any) -> None:
    logger = logging.Logger("of the rule", logging.DEBUG)
    pipeline = counted(logger=logger)
    pipeline.take("a")
    pipeline.take("b")

    assert pipeline.made == 2


def test_what_a_setting_changes_holds_from_the_next_batch_on(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = counted()
    pipeline.take("a")
    for name, value in {"BUS_NAME": "other", "BUS_SRC": "elsewhere", "STAGE": "prod", "SERVICE": "things"}.items():
        monkeypatch.setenv(name, value)
    pipeline.take("b")

    (first,), (second,) = bus.calls
    assert (first["EventBusName"], first["Source"]) == ("test-bus", "custom")
    assert (second["EventBusName"], second["Source"]) == ("other", "elsewhere")
    assert [(event["tags"]["stage"], event["tags"]["source"]) for event in bus.events] == [
        ("undefined", "undefined"),
        ("prod", "things"),
    ]
    assert pipeline.made == 2


@pytest.mark.parametrize("setting", OF_A_BATCH, ids=lambda setting: setting.name)
def test_another_value_of_a_setting_is_noticed(setting: Setting[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (setting.name, *setting.others):
        before = settings.of_a_batch()
        monkeypatch.setenv(name, "7")

        assert settings.of_a_batch() != before


def test_no_operator_reads_another_setting_while_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    real = Setting.read

    def reading(setting: Setting[Any]) -> Any:
        read.add(setting.name)
        return real(setting)

    monkeypatch.setattr(Setting, "read", reading)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    tried: set[str] = set()
    for seed in range(300):
        history = generate(random.Random(seed))
        aws = SimulatedAws(Plan(seed, history.kinds, history.rate))
        for rule in rules_of(history, aws):
            (pipeline,) = initialize_from([rule]).values()
            read.clear()
            pipeline(DEFAULT_OPTIONS)
            tried.add(rule["flavor"].__name__)

            assert read <= {setting.name for setting in OF_A_BATCH}, rule["id"]

    assert {name for name in flavors.__all__ if name.islower()} <= tried


def test_a_batch_that_dies_leaves_nothing_for_the_next(bus: Any) -> None:
    class Died(BaseException):
        """The process ends here, as far as the runtime can tell."""

    def dies(uow: Any) -> Any:
        if uow["event"]["id"] == "b":
            raise Died
        return {"id": f"{uow['event']['id']}-seen", "type": "thing-seen"}

    pipeline = counted(execute=lambda uow: uow, emit=lambda uow, *_: dies(uow))
    with pytest.raises(Died):
        pipeline.take("a", "b")
    pipeline.take("c")

    assert pipeline.made == 1
    assert [event["id"] for event in bus.events] == ["c-seen"]
