"""A replay sends every event once and in order, and continues where it was stopped."""

import base64
import io
import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from stream_cli.errors import CommandError
from stream_cli.lake.ledger import ReplayLedger, Scope
from stream_cli.lake.replay import ReplayStopped, replay, scope_of
from stream_cli.lake.targets import BusTarget, FunctionTarget, Rejected, StreamTarget, first_failure
from stream_cli.local.state import StateFolder
from stream_cli.stored.history import Selection
from stream_cli.stored.rate_limit import RateLimit


class Taking:
    """A target that rejects the events of its list."""

    name = "taking"

    def __init__(self, *, most=2, most_bytes=10**6, one_of_a_key=False, refusing=()):
        self.most, self.most_bytes, self.one_of_a_key = most, most_bytes, one_of_a_key
        self.refusing = set(refusing)
        self.taken, self.calls = [], 0

    def size(self, stored):
        return 1000

    def send(self, batch):
        self.calls += 1
        outcomes = [Rejected("no") if stored.event["id"] in self.refusing else None for stored in batch]
        self.taken += [stored.event["id"] for stored, no in zip(batch, outcomes, strict=True) if no is None]
        return outcomes


def run(history, target, folder, *, pace=None, on_progress=lambda _: None, wait_s=lambda _: None, **options):
    ledger = ReplayLedger(folder, {"target": target.name})
    selection = Selection(**options)
    scope = ledger.open(lambda: scope_of(history, selection))
    pace = pace or RateLimit(None)
    return replay(history, selection, scope, target, ledger, pace, on_progress=on_progress, wait_s=wait_s)


def test_all_events_are_sent_in_order(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2), envelope(3)])
    store([envelope(4)], hour=13)
    target = Taking()
    assert run(history[0], target, tmp_path) == 4
    assert target.taken == ["e1", "e2", "e3", "e4"]


def test_a_stopped_replay_continues_after_the_accepted_events(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2), envelope(3), envelope(4)])
    with pytest.raises(ReplayStopped, match="event e3"):
        run(history[0], Taking(most=1, refusing={"e3"}), tmp_path)
    target = Taking(most=1)
    assert run(history[0], target, tmp_path) == 4
    assert target.taken == ["e3", "e4"]


def test_a_batch_whose_entry_is_incomplete_is_sent_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    run(history[0], Taking(most=1), tmp_path)
    (journal,) = tmp_path.iterdir()
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], lines[2][:10]]))
    target = Taking(most=1)
    assert run(history[0], target, tmp_path) == 2
    assert target.taken == ["e2"]


def test_events_accepted_before_a_rejected_one_are_not_sent_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    store([envelope(3), envelope(4)], hour=13)
    with pytest.raises(ReplayStopped, match="event e3"):
        run(history[0], Taking(most=4, refusing={"e3", "e4"}), tmp_path)
    target = Taking()
    assert run(history[0], target, tmp_path) == 4
    assert target.taken == ["e3", "e4"]


def test_a_continued_replay_skips_events_stored_since_it_began(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    with pytest.raises(ReplayStopped):
        run(history[0], Taking(most=1, refusing={"e2"}), tmp_path)
    store([envelope(1)], name="b")
    target = Taking()
    assert run(history[0], target, tmp_path) == 2
    assert target.taken == ["e2"]


def test_a_continued_replay_does_not_read_finished_objects(store, envelope, history, tmp_path):
    for number in (1, 2, 3):
        store([envelope(number)], hour=12 + number)
    with pytest.raises(ReplayStopped):
        run(history[0], Taking(most=1, refusing={"e3"}), tmp_path)
    first, *_ = history[0].objects(Selection())
    history[0].s3.delete_object(Bucket=history[0].bucket, Key=first.key)
    target = Taking()
    assert run(history[0], target, tmp_path) == 3
    assert target.taken == ["e3"]


def test_a_continued_replay_keeps_its_range_of_time(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2, hours=1)])
    early = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with pytest.raises(ReplayStopped):
        run(history[0], Taking(most=1, refusing={"e2"}), tmp_path, since=early)
    target = Taking()
    run(history[0], target, tmp_path, since=early + timedelta(hours=6))
    assert target.taken == ["e2"]


def test_a_replay_is_made_by_one_process_at_a_time(tmp_path):
    with (
        ReplayLedger(tmp_path, {}).held(),
        pytest.raises(CommandError, match="Another process"),
        ReplayLedger(tmp_path, {}).held(),
    ):
        pass


def test_ledgers_of_a_local_cloud_are_removed_with_it_and_others_are_kept(tmp_path):
    state = StateFolder(tmp_path)
    for stage in ("local", "dev"):
        ReplayLedger(state.replays(stage), {}).open(lambda: Scope(0, None, None, []))
    state.clear()
    assert [path.name for path in (tmp_path / "replays").iterdir()] == ["dev"]


def test_progress_has_events_objects_and_bytes(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)], compressed=False)
    store([envelope(3)], hour=13, compressed=False)
    sizes = [each.size for each in history[0].objects(Selection())]
    seen = []

    def see(progress):
        seen.append((progress.events, progress.finished, progress.objects, progress.read, progress.size))

    run(history[0], Taking(most=3), tmp_path, on_progress=see)
    assert (seen[0], seen[-1]) == ((0, 0, 2, 0, sum(sizes)), (3, 2, 2, sum(sizes), sum(sizes)))


def test_only_rejected_events_are_sent_again(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    target = Taking(refusing={"e2"})
    run(history[0], target, tmp_path, wait_s=lambda _: target.refusing.clear())
    assert (target.taken, target.calls) == (["e1", "e2"], 2)


def test_a_failed_call_is_repeated(store, envelope, history, tmp_path):
    store([envelope(1), envelope(2)])
    target, failures = Taking(), [ClientError({"Error": {"Code": "Throttled"}}, "Send")]
    send = target.send
    target.send = lambda batch: send(batch) if not failures else _raise(failures.pop())
    assert run(history[0], target, tmp_path) == 2
    assert target.taken == ["e1", "e2"]


def _raise(error):
    raise error


def test_batches_hold_events_of_several_objects(store, envelope, history, tmp_path):
    store([envelope(1)], hour=12)
    store([envelope(2)], hour=13)
    target = Taking(most=10)
    run(history[0], target, tmp_path)
    assert (target.taken, target.calls) == (["e1", "e2"], 1)


def test_a_batch_is_no_larger_than_the_target_accepts(store, envelope, history, tmp_path):
    store([envelope(number) for number in range(5)])
    target = Taking(most=10, most_bytes=2000)
    run(history[0], target, tmp_path)
    assert target.calls == 3


def test_a_batch_is_no_larger_than_the_rate_of_one_second(store, envelope, history, tmp_path):
    store([envelope(number) for number in range(5)])
    target, slept = Taking(most=10), []
    now = [0.0]
    run(history[0], target, tmp_path, pace=RateLimit(2, clock=lambda: now[0], sleep=slept.append))
    assert (target.calls, len(slept)) == (3, 2)


def test_a_target_that_may_reorder_gets_one_event_of_a_key_at_a_time(store, envelope, history, tmp_path):
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
    """A function that returns the given responses, one for each call, and then success."""

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
def test_a_response_is_read_like_by_a_mapping(payload, first):
    assert first_failure(payload, ["0", "1", "2"]) == first
