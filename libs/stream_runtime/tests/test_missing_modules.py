"""A rule that imports what the function's package leaves out: the set-up is wrong, and the records are good."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from stream_runtime import ConfigurationError, UnfinishedBatch, stream_handler
from stream_runtime.events import from_kinesis, from_sqs, to_kinesis_records
from stream_runtime.flavors import task

Rule = dict[str, Any]
EVENTS = [{"id": f"e{n}", "type": "x", "timestamp": n, "partition_key": f"k{n}"} for n in range(3)]
WHAT_TO_DO = "is not in this package: remove it from pythonRequirements.noDeploy or slimPatterns in serverless.yml"


def counts(rule: Rule) -> Any:
    """A flavor with an operator of ReactiveX, which it imports when it is assembled."""

    def wrapper(source: Any) -> Any:
        from reactivex import operators

        return source.pipe(operators.count())

    return wrapper


def shares(rule: Rule) -> Any:
    """A flavor that uses the flow as an Observable and imports nothing itself."""
    return lambda source: source.share()


def execute(uow: Any) -> None:
    import reactivex.operators

    assert reactivex.operators


def is_wanted(uow: Any) -> bool:
    from reactivex import operators

    return bool(operators)


EXECUTING: Rule = {"flavor": task, "event_type": "x", "execute": execute}
FILTERING: Rule = {"flavor": task, "event_type": is_wanted, "execute": print}


class Without:
    """Finds everything but one library."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture(autouse=True)
def without_reactivex(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions' package lacks reactivex."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "reactivex"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without("reactivex"), *sys.meta_path])


@pytest.mark.parametrize("flavor", [counts, shares])
def test_a_flavor_that_needs_it_is_refused_with_its_rule_place_and_what_to_do(flavor: Any) -> None:
    handler = stream_handler([{"id": "totals", "flavor": flavor, "event_type": "x"}], from_kinesis)

    with pytest.raises(ConfigurationError) as refused:
        handler(to_kinesis_records(EVENTS), None)

    said = str(refused.value)
    assert said.startswith(f"rule 'totals' imports reactivex at {Path(__file__)}:"), said
    assert f"reactivex {WHAT_TO_DO}" in said


@pytest.mark.parametrize("given", [EXECUTING, {**EXECUTING, "parallel": 2}, FILTERING])
def test_a_function_of_a_rule_that_needs_it_leaves_records_for_retry_and_makes_no_fault(
    given: Rule, bus: Any, caplog: pytest.LogCaptureFixture
) -> None:
    records = to_kinesis_records(EVENTS)
    handler = stream_handler([{"id": "totals", **given}], from_kinesis)

    with caplog.at_level(logging.ERROR):
        response = handler(records, None)

    first = records["Records"][0]["kinesis"]["sequenceNumber"]
    assert response == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert bus.events == []
    said = caplog.messages[0]
    assert f"rule 'totals' imports reactivex at {Path(__file__)}:" in said
    assert WHAT_TO_DO in said


def test_where_the_whole_invocation_has_to_fail_its_error_says_so() -> None:
    """As for messages without an identifier."""
    message = {"eventSource": "aws:sqs", "body": json.dumps(EVENTS[0])}
    handler = stream_handler([{"id": "totals", **EXECUTING}], from_sqs)

    with pytest.raises(UnfinishedBatch, match=r"rule 'totals' imports reactivex at .*" + WHAT_TO_DO):
        handler({"Records": [message]}, None)


def test_a_name_that_its_module_lacks_is_told_with_the_rule(bus: Any, caplog: pytest.LogCaptureFixture) -> None:
    def imports_a_name(uow: Any) -> None:
        from stream_runtime import no_such_module  # noqa: F401

    handler = stream_handler([{"id": "totals", **EXECUTING, "execute": imports_a_name}], from_kinesis)

    with caplog.at_level(logging.ERROR):
        response = handler(to_kinesis_records(EVENTS), None)

    assert len(response["batchItemFailures"]) == 1
    assert "rule 'totals' fails to import at" in caplog.messages[0]
    assert "cannot import name 'no_such_module'" in caplog.messages[0]
