"""Functions are tried with fixtures twice, the second time a day and some hours later, whichever clock they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from stream_cli.checks.service.handlers import read_handlers
from stream_cli.checks.service.resources import Function
from stream_cli.checks.trials.fixtures import Fixture
from stream_cli.checks.trials.trial import Tried, read_trials

WORKER = '''
import copy
import datetime
import json
import logging
import pickle
import time
from datetime import UTC, date
from datetime import datetime as moment

import boto3
import orjson
from pydantic import BaseModel


class Order(BaseModel):
    on: date
    at: datetime.datetime


class Later(moment):
    """Time of its own."""


def publish(id):
    event = {"id": str(id), "type": "order-made"}
    entry = {"EventBusName": "bus", "Source": "x", "DetailType": "order-made", "Detail": json.dumps(event)}
    boto3.client("events").put_events(Entries=[entry])


def from_the_date(event, context):
    publish(f"order-{date.today()}")


def from_the_day_in_a_zone(event, context):
    publish(f"{moment.now(UTC):%Y%m%d}")


def from_the_module(event, context):
    publish(datetime.datetime.now().strftime("%j"))


def from_utc(event, context):
    publish(datetime.datetime.utcnow().day)


def from_the_old_way(event, context):
    publish(time.strftime("%Y-%m-%d", time.gmtime()))


def from_local_time(event, context):
    publish(time.localtime().tm_yday)


def from_the_event(event, context):
    """The clock is read, and is what Python's own is; the id is derived."""
    now = moment.now(UTC)
    assert type(now) is type(datetime.datetime(2026, 1, 1)) is type(moment.fromisoformat("2026-01-01"))
    assert isinstance(now, moment) and isinstance(now, datetime.datetime) and isinstance(now, date)
    assert isinstance(now.date(), date) and not isinstance(now.date(), moment) and isinstance(date.today(), date)
    assert issubclass(moment, date) and isinstance(moment.min, moment)
    assert isinstance(Later(2026, 1, 1), Later) and isinstance(Later.now(), Later) and not isinstance(now, Later)
    assert abs(now.timestamp() - time.time()) < 60
    assert abs((now - moment.fromtimestamp(time.time(), UTC)).total_seconds()) < 60
    assert abs((Later.now(UTC) - now).total_seconds()) < 60
    assert time.gmtime().tm_yday == now.timetuple().tm_yday and time.gmtime(0).tm_year == 1970
    made = Order(on=now.date(), at=now)
    assert Order.model_validate_json(made.model_dump_json()) == made
    assert pickle.loads(pickle.dumps([now, now.date()])) == copy.deepcopy([now, now.date()])
    logging.Formatter("%(asctime)s").format(logging.makeLogRecord({}))
    orjson.dumps({"at": now, "on": date.today(), "then": datetime.datetime(2026, 1, 1)})
    publish(f"{event['id']}.made")
'''
BY_A_CLOCK = (
    "from_the_date", "from_the_day_in_a_zone", "from_the_module", "from_utc", "from_the_old_way", "from_local_time",
)  # fmt: skip


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "worker.py").write_text(WORKER)
    fixture = Fixture("event", Path("event.json"), {"id": "o1"})
    functions = {
        name: (Function(name, name, f"worker.{name}", 6, {}, None, None), [fixture])
        for name in (*BY_A_CLOCK, "from_the_event")
    }
    trials = read_trials(folder, functions, [])
    assert {each.error for each in trials.values()} == {None}
    return {name: each.tried[0] for name, each in trials.items()}


@pytest.mark.parametrize("name", BY_A_CLOCK)
def test_an_id_that_is_made_of_the_date_is_another_at_the_second_run(tried: dict[str, Tried], name: str) -> None:
    assert tried[name].raised is None
    assert [event["type"] for event in tried[name].other_ids] == ["order-made"]


def test_a_function_that_reads_the_clock_runs_as_ever(tried: dict[str, Tried]) -> None:
    found = tried["from_the_event"]
    assert found.raised is None
    assert [event["id"] for event in (*found.published, *found.published_again)] == ["o1.made", "o1.made"]
    assert found.other_ids == []


HANDLERS = """
from stream_runtime import events, stream_handler
from stream_runtime.flavors import task

def never(uow):
    raise ValueError(f"seen {uow['event']['type']}")

for source in ("kinesis", "sqs", "sns", "firehose", "eventbridge", "dynamodb", "s3"):
    rule = {"id": "see", "flavor": task, "event_type": lambda event: True, "execute": never}
    globals()[source] = stream_handler([rule], getattr(events, f"from_{source}"))
"""
EVENT = {"id": "e1", "type": "order-made", "timestamp": 1, "partition_key": "1"}
CHANGE = {"keys": {"pk": "1"}, "newImage": {"pk": "1", "discriminator": "order"}}
OBJECT = {"bucket": {"name": "orders"}, "object": {"key": "1.json"}}


PLAIN = [
    ("kinesis", EVENT), ("kinesis", [EVENT, EVENT]), ("sqs", EVENT), ("sns", EVENT), ("firehose", EVENT),
    ("eventbridge", EVENT), ("dynamodb", CHANGE), ("dynamodb", [CHANGE, CHANGE]), ("s3", OBJECT),
]  # fmt: skip


FIELDS = """
from stream_runtime import encryption, stream_handler
from stream_runtime.events import from_kinesis
from stream_runtime.flavors import task

def emit(uow, rule, template):
    assert uow["event"]["order"]["email"].endswith("@example.org")
    return {**template, "type": "order-seen", "order": uow["event"]["order"]}

RULE = {"id": "sees", "flavor": task, "event_type": "order-made", "decrypt": True, "encrypt": ["order.email"]}
RULES = [{**RULE, "emit": emit}]
of_stream = stream_handler(RULES, from_kinesis)

def of_code(event, context):
    encryption.forget()
    made = encryption.encrypt(event, ["order.email"])
    assert made["order"]["email"].startswith("ENCRYPTED")
    encryption.forget()
    assert encryption.decrypt(made) == event
"""


def test_fields_are_encrypted_and_decrypted_with_a_key_that_only_the_deployment_knows(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(FIELDS)
    event = {**EVENT, "order": {"email": "ada@example.org"}}
    variables = {"BUS_NAME": "hub", "ENCRYPTION_KEYS": "${FieldKey.Arn}"}
    functions = {
        name: (
            Function(name, name, f"worker.{name}", 6, variables, None, None),
            [Fixture("made", Path("made.json"), event)],
        )
        for name in ("of_stream", "of_code")
    }
    trials = read_trials(tmp_path, functions, [])
    assert {name: (each.error, each.tried[0].raised, each.tried[0].faults) for name, each in trials.items()} == (
        dict.fromkeys(functions, (None, None, []))
    )


@pytest.mark.parametrize(
    "keys", ["${FieldKey.Arn}", "${import fieldKeyArn}", "arn:${AWS::Partition}:kms:${AWS::Region}:1:alias/fields"]
)
def test_a_handler_can_be_imported_with_such_a_key(tmp_path: Path, keys: str) -> None:
    (tmp_path / "worker.py").write_text(FIELDS)
    variables = {"BUS_NAME": "hub", "ENCRYPTION_KEYS": keys}
    function = Function("of_stream", "of_stream", "worker.of_stream", 6, variables, None, None)
    read = read_handlers(tmp_path, [(function, ())])["of_stream"]
    assert read.error is None
    assert [rule.fields["decrypt"] for rule in read.rules or ()] == [True]


def test_a_plain_fixture_comes_as_the_source_delivers_it(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(HANDLERS)
    functions = {
        f"{number}": (
            Function(source, source, f"worker.{source}", 6, {"BUS_NAME": "hub"}, None, None),
            [Fixture("plain", Path("plain.json"), plain)],
        )
        for number, (source, plain) in enumerate(PLAIN)
    }
    tried = [each.tried[0] for each in read_trials(tmp_path, functions, []).values()]
    assert [each.raised for each in tried] == [None] * len(PLAIN)
    assert [len(each.faults) for each in tried] == [len(plain) if isinstance(plain, list) else 1 for _, plain in PLAIN]
