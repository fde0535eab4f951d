"""What people do with dead letters: events go on the bus again, and a function gets its events or records again.

The services' READMEs say so, and name other ways for records of a table: rows are updated, which makes new records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import invocation_event

from simulator.world import World


def redrive(world: World) -> int:
    """Take every message from the queues of what failed, and do again what it is about; returns how many there were."""
    taken = 0
    for name in world.deployment.queues:
        for message in world.sqs.messages(name):
            _again(world, json.loads(message.body))
            taken += 1
        world.sqs.PurgeQueue({"QueueUrl": world.deployment.queues[name].url})
    return taken


def _again(world: World, body: Mapping[str, Any]) -> None:
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
