"""What people do about failures: dead letters are done again, faults resubmitted, and events of the lake replayed.

The services' READMEs say so for dead letters, and name other ways for records of a table: rows are updated, which makes
new records. What is sent for faults and replays is what `streamctl faults resubmit` and `streamctl lake replay` send.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from stream_cli.faults.resubmit import invocation_of
from stream_cli.lake.claims import put_back
from stream_cli.lake.targets import first_failure
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import invocation_event
from stream_runtime.events import to_kinesis_records

from simulator.world import SECOND, World

ARCHIVED_WITHIN_S = 600
"""Events may be that late in an archive (EventBridge user guide, "Archiving and replaying events")."""


def redrive(world: World) -> int:
    """Take every message from the queues of what failed, and do again what it is about; returns how many there were.

    What even a dead-letter queue did not take comes again from the archive.
    """
    taken = len(world.events.lost)
    if taken:
        _from_archive(world)
    for name, bodies in world.dead_letters().items():
        world.sqs.PurgeQueue({"QueueUrl": world.deployment.queues[name].url})
        for body in bodies:
            _again(world, json.loads(body))
            taken += 1
    return taken


def resubmit(world: World) -> int:
    """Invoke the functions that failed with the records of their faults, one after the other; returns how many."""
    due = [invocation_of(fault) for fault in world.faults().values() if fault["type"] == "fault"]
    _each(world, iter([(function, json.dumps(event).encode()) for function, event in due]))
    return len(due)


def replay(world: World, function: str, batch_size: int = 100) -> int:
    """Invoke a function with all events of the lake, as by a mapping; returns how many there were.

    The bodies of large ones are put back before.

    Raises:
        AssertionError: the lake has no copy of a body.
    """
    events = world.lake()
    s3 = SimpleNamespace(copy_object=lambda **request: world.s3.CopyObject(request))
    lake = next(name for name in world.deployment.buckets if name.startswith("event-lake-s3-"))
    for event in events:
        assert put_back(s3, lake, event), event
    batches = [events[start : start + batch_size] for start in range(0, len(events), batch_size)]
    for batch in batches:
        _until_done(world, function, to_kinesis_records(batch))
    return len(events)


def _each(world: World, invocations: Iterator[tuple[str, bytes]]) -> None:
    """One invocation after the other, whatever becomes of it."""
    for function, payload in invocations:
        world.functions.start(function, payload, lambda outcome: _each(world, invocations))
        return


def _from_archive(world: World) -> None:
    """Replay the archive of the bus to the rules that lost something; its latest events are not in it yet at once."""
    rules = sorted({each.rule.arn for each in world.events.lost})
    world.events.lost.clear()
    world.run(ARCHIVED_WITHIN_S)
    (archive,) = world.events.archives.values()
    world.events.StartReplay(
        {
            "ReplayName": f"replay-{len(world.events.replays)}",
            "EventSourceArn": archive.arn,
            "EventStartTime": world.start_us // SECOND,
            "EventEndTime": world.kernel.now_us // SECOND,
            "Destination": {"Arn": archive.bus_arn, "FilterArns": rules},
        }
    )


def _again(world: World, body: Mapping[str, Any]) -> None:
    if body.get("source") == "aws.scheduler":
        schedule = next(each for each in world.deployment.schedules.values() if each.arn in body["resources"])
        world.functions.queue(schedule.target_arn, json.dumps(body).encode())
        return
    if "detail-type" in body:  # the dead letter of a rule
        world.publish(body["detail"], source=body["source"], detail_type=body["detail-type"])
        return
    about = body["requestContext"]
    if "requestPayload" in body:
        function = about["functionArn"].removesuffix(":$LATEST")
        world.functions.queue(function, json.dumps(body["requestPayload"]).encode())
        return
    batch = body.get("KinesisBatchInfo") or body["DDBStreamBatchInfo"]
    mapping = next(
        each
        for each in world.mappings.values()
        if each.settings.function_arn == about["functionArn"] and each.settings.source.stream_arn == batch["streamArn"]
    )
    records = mapping.between(batch["shardId"], batch["startSequenceNumber"], batch["endSequenceNumber"])
    if not records:
        raise AssertionError(f"the records of {batch['shardId']} have expired before somebody looked")
    event = invocation_event((each.body for each in records), None, batch["shardId"], mapping.settings.source.arn)
    _until_done(world, mapping.settings.function_arn, json.loads(event))


def _until_done(world: World, function: str, event: Mapping[str, Any]) -> None:
    """Invoke a function with records of a stream, and with what it leaves, until it has done them all."""
    start: Callable[[], None]
    left = list(event["Records"])

    def done(outcome: Invocation) -> None:
        if not outcome.throttled and outcome.function_error is None:
            del left[: first_failure(outcome.payload, [_number(each) for each in left])]
        if left:
            world.kernel.at(SECOND, start)

    def start() -> None:
        world.functions.start(function, json.dumps({"Records": left}).encode(), done)

    start()


def _number(record: Mapping[str, Any]) -> str:
    return str(record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"])
