"""A replay hands everything over, in order, once; and goes on where it was stopped."""

import base64
import io
import json

import boto3
import pytest
from stream_cli.lake.ledger import Ledger
from stream_cli.lake.replay import ReplayStopped, replay
from stream_cli.lake.targets import BusTarget, FunctionTarget, Rejected, StreamTarget, first_failure
from stream_cli.stored.history import Selection
from stream_cli.stored.pace import Pace

LATER_MS = 4_102_444_800_000  # the year 2100


class Taking:
    """A target that takes what its list of refusals lets it take."""

    name = "taking"

    def __init__(self, *, most=2, one_of_a_key=False, refusing=()):
        self.most, self.one_of_a_key = most, one_of_a_key
        self.refusing = set(refusing)
        self.taken, self.calls = [], 0

    def send(self, batch):
        self.calls += 1
        outcomes = [Rejected("no") if stored.event["id"] in self.refusing else None for stored in batch]
        self.taken += [stored.event["id"] for stored, no in zip(batch, outcomes, strict=True) if no is None]
        return outcomes


def run(history, target, folder, **options):
    ledger = Ledger(folder, {"target": target.name})
    ledger.open((None, LATER_MS))
    return replay(history, Selection(**options), target, ledger, Pace(None), wait_s=lambda _: None)


def test_all_events_are_handed_over_in_order(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2), envelope(3)])
    store([envelope(4)], hour=13)
    target = Taking()
    assert run(history[0], target, tmp_path) == 4
    assert target.taken == ["e1", "e2", "e3", "e4"]


def test_a_stopped_replay_goes_on_behind_what_was_taken(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2), envelope(3), envelope(4)])
    with pytest.raises(ReplayStopped, match="event e3"):
        run(history[0], Taking(most=1, refusing={"e3"}), tmp_path)
    target = Taking(most=1)
    assert run(history[0], target, tmp_path) == 4
    assert target.taken == ["e3", "e4"]


def test_an_entry_that_was_being_written_when_the_run_died_is_done_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    run(history[0], Taking(most=1), tmp_path)
    (journal,) = tmp_path.iterdir()
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], lines[2][:10]]))
    target = Taking(most=1)
    assert run(history[0], target, tmp_path) == 2
    assert target.taken == ["e2"]


def test_what_is_published_after_the_replay_began_is_not_replayed(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2, hours=10**6)])
    target = Taking()
    run(history[0], target, tmp_path)
    assert target.taken == ["e1"]


def test_only_what_was_refused_is_handed_over_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    target = Taking(refusing={"e2"})

    def relent(_):
        target.refusing.clear()

    ledger = Ledger(tmp_path, {})
    ledger.open((None, LATER_MS))
    replay(history[0], Selection(), target, ledger, Pace(None), wait_s=relent)
    assert (target.taken, target.calls) == (["e1", "e2"], 2)


def test_a_target_that_may_overtake_gets_one_event_of_a_key_at_a_time(store, envelope, history, tmp_path):
    store([envelope(1, key="a"), envelope(2, key="b"), envelope(3, key="a"), envelope(4, key="c")])
    target = Taking(most=10, one_of_a_key=True)
    run(history[0], target, tmp_path)
    assert (target.taken, target.calls) == (["e1", "e2", "e3", "e4"], 2)


def test_a_stream_gets_the_events_under_their_partition_keys(store, envelope, history, tmp_path):
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    store([envelope(1, key="a"), envelope(2, key="b")])
    run(history[0], StreamTarget(kinesis, "s"), tmp_path)
    shard = kinesis.get_shard_iterator(
        StreamName="s", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=shard)["Records"]
    assert [(record["PartitionKey"], json.loads(record["Data"])["id"]) for record in records] == [
        ("a", "e1"),
        ("b", "e2"),
    ]


def test_a_bus_gets_the_events_as_they_were_published(store, envelope, history, tmp_path):
    entries = []

    class Events:
        def put_events(self, Entries):
            entries.extend(Entries)
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}] * len(Entries)}

    store([envelope(1)])
    run(history[0], BusTarget(Events(), "hub"), tmp_path)
    (entry,) = entries
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("custom", "item-submitted", "hub")
    assert json.loads(entry["Detail"])["id"] == "e1"


class Function:
    """A function that answers with what it is told to, one answer a call, then as if all were well."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.invoked = []

    def invoke(self, FunctionName, Payload):
        records = json.loads(Payload)["Records"]
        self.invoked.append([json.loads(base64.b64decode(each["kinesis"]["data"]))["id"] for each in records])
        answer = self.answers.pop(0) if self.answers else {"batchItemFailures": []}
        if isinstance(answer, Exception):
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no"}')}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


def test_a_function_gets_the_rest_of_a_batch_again_from_the_record_it_returned(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2), envelope(3)])
    function = Function({"batchItemFailures": [{"itemIdentifier": "1"}]})
    run(history[0], FunctionTarget(function, "f", 100), tmp_path)
    assert function.invoked == [["e1", "e2", "e3"], ["e2", "e3"]]


def test_a_function_that_raises_gets_the_whole_batch_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    function = Function(ValueError())
    run(history[0], FunctionTarget(function, "f", 100), tmp_path)
    assert function.invoked == [["e1", "e2"], ["e1", "e2"]]


@pytest.mark.parametrize(
    ("payload", "first"),
    [
        (b"null", 3),
        (b"", 3),
        (b'{"batchItemFailures": []}', 3),
        (b'{"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "1"}]}', 1),
        (b'{"batchItemFailures": [{"itemIdentifier": "unknown"}]}', 0),
        (b'{"batchItemFailures": [{}]}', 0),
    ],
)
def test_a_response_is_read_as_a_mapping_reads_it(payload, first):
    assert first_failure(payload, ["0", "1", "2"]) == first
