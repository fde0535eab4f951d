"""The measured times of `streamctl plan` are about the services as they are: names, filters, and what follows what."""

import json

import pytest
from pydantic import TypeAdapter
from stream_cli.plan.fluid import simulate
from stream_cli.plan.load import constant
from stream_cli.plan.model import Times
from stream_cli.plan.system import inventory_of
from stream_cli.structure.compiled import compiled_stacks

from tests.templates.stacks import HUB, ROOT, SERVICES, template_alone

TIMES = ROOT / "libs/stream_cli/src/stream_cli/plan/times.json"
STAGE = "prod"
READ = {
    "control-service/listener": {"story-submitted", "story-analyzed", "story-ready"},
    "control-service/trigger": {
        "collected story-submitted", "collected story-analyzed", "correlated story-submitted",
        "correlated story-analyzed", "correlated article",
    },
    "rest-bff-service/trigger": {"created story"},
    "rest-bff-service/outbox": {"message"},
    "rest-bff-service/listener": {"story-ready"},
    "rest-bff-service/dashboard": {"ready story"},
}  # fmt: skip
RATE = 10.0


@pytest.fixture(scope="module")
def times():
    return TypeAdapter(Times).validate_json(TIMES.read_text())


@pytest.fixture(scope="module")
def system():
    made = {}
    for service in SERVICES:
        text = json.dumps(template_alone(service, STAGE).template)
        own = text.replace(HUB["busName"].removesuffix("bus"), f"event-hub-{STAGE}-")
        made[f"{service}-{STAGE}"] = json.loads(own)
    return inventory_of(compiled_stacks(made), STAGE).system


def test_times_name_what_is_deployed(times, system):
    assert set(times.functions) <= set(system.functions)
    for function in times.functions.values():
        for work in function.work.values():
            assert {each.table for each in (*work.changes, *work.reads)} <= set(system.tables)
            assert set(work.sends) <= set(system.topics)
            for change in work.changes:
                assert set(change.indexes) <= {index.name for index in system.tables[change.table].indexes}


def test_filters_let_through_what_functions_work_on_and_nothing_else(times, system):
    outcome = simulate(system, constant({"POST /stories": RATE, "story-analyzed": RATE}, 60), times)
    for name, kinds in READ.items():
        assert set(times.functions[name].work) == kinds
        assert outcome.mappings[name].records[-1] == pytest.approx(len(kinds) * RATE, rel=1e-3), name
        assert outcome.mappings[name].backlog[-1] == 0


def test_journeys_go_through_the_services(times, system):
    outcome = simulate(system, constant({"POST /stories": RATE, "story-analyzed": RATE}, 60), times)
    assert {name: each.steps for name, each in outcome.journeys.items()} == {
        "analyzed to ready": ("control-service/listener", "control-service/trigger", "control-service/trigger"),
        "posted to submitted": ("rest-bff-service/rest", "rest-bff-service/trigger"),
    }
