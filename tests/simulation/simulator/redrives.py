"""What people do with dead letters: events go on the bus again, and a function gets its events or records again.

The services' READMEs say so, and name other ways for records of a table: rows are updated, which makes new records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import invocation_event

from simulator.world import SECOND, World

ARCHIVED_WITHIN_S = 600
"""Events may be that late in an archive (EventBridge user guide, "Archiving and replaying events")."""


def redrive(world: World) -> int:
    """Take every message from the queues of what failed, and do again what it is about; returns how many there were.

    What even a dead-letter queue did not take comes again from the archive.
    """
    taken = len(world.events.lost)
    if taken:
        _replay(world)
    for name in world.deployment.queues:
        for message in world.sqs.messages(name):
            _again(world, json.loads(message.body))
            taken += 1
        world.sqs.PurgeQueue({"QueueUrl": world.deployment.queues[name].url})
    return taken


def _replay(world: World) -> None:
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
        world.publish({"type": body["detail-type"], **body["detail"]}, source=body["source"])
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
    source_arn = mapping.settings.source.arn
    event = invocation_event((record.body for record in records), None, batch["shardId"], source_arn)
    _until_done(world, mapping.settings.function_arn, event)


def _until_done(world: World, function_arn: str, event: bytes) -> None:
    def done(outcome: Invocation) -> None:
        failed = outcome.throttled or outcome.function_error is not None
        if failed or json.loads(outcome.payload)["batchItemFailures"]:
            world.kernel.at(1_000_000, lambda: world.functions.start(function_arn, event, done))

    world.functions.start(function_arn, event, done)
