"""Messages in queues and topics: of requests, rules, topics and buckets, and those moved to a dead-letter queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_cli.local.emulator.observation.domain import identity_in
from stream_cli.local.emulator.observation.events import is_tapped
from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {
    "ministack.services.sqs": ("_act_send_message", "_HANDLERS", "_get_q", "_queue_by_arn", "_dlq_sweep"),
    "ministack.services.sns": ("_fanout", "_deliver_to_sqs"),
    "ministack.services.eventbridge": ("_dispatch_to_sqs",),
    "ministack.services.s3": ("_deliver_event_to_sqs",),
}

Queue = dict[str, Any]


def patch(observer: EmulatorJournal) -> None:
    """Observe what queues and topics get."""
    from ministack.services import eventbridge, s3, sns, sqs

    send, sweep, fan_out = sqs._act_send_message, sqs._dlq_sweep, sns._fanout

    def sent(data: dict[str, Any], url: str) -> Any:
        result = send(data, url)
        observe_sent(data, url, result)
        return result

    def swept(queue: Queue) -> None:
        before = queue["messages"]
        sweep(queue)
        if len(queue["messages"]) < len(before):
            observe_moved(queue, before)

    def fanned_out(topic: str, id: str, message: Any, *more: Any, **options: Any) -> Any:
        observe_published(topic, id, message, options.get("message_group_id"))
        return fan_out(topic, id, message, *more, **options)

    def delivering(deliver: Callable[..., Any]) -> Callable[..., Any]:
        """What puts a message into the queue with an ARN, its first argument."""

        def delivered(arn: Any, *more: Any, **options: Any) -> Any:
            queue = None if is_tapped() else sqs._queue_by_arn(str(arn))
            last = queue["messages"][-1]["id"] if queue and queue["messages"] else None
            result = deliver(arn, *more, **options)
            if queue is not None:
                observe_delivered(queue, last)
            return result

        return delivered

    def observe(queue: Queue, message: dict[str, Any]) -> None:
        arn, body = queue["attributes"]["QueueArn"], message.get("body", "")
        found, group = identity_in(body), message.get("group_id") or None
        observer.observe("message", observer.now(), to=arn, id=message["id"], group=group, event=found.id)

    @safely
    def observe_sent(data: dict[str, Any], url: str, result: dict[str, Any]) -> None:
        queue = sqs._get_q(data.get("QueueUrl", url))
        message = {"id": result["MessageId"], "body": data["MessageBody"], "group_id": data.get("MessageGroupId")}
        observe(queue, message)

    @safely
    def observe_delivered(queue: Queue, last: str | None) -> None:
        for message in reversed(queue["messages"]):
            if message["id"] == last:
                return
            observe(queue, message)
            return

    @safely
    def observe_moved(queue: Queue, before: list[dict[str, Any]]) -> None:
        kept = {message["id"] for message in queue["messages"]}
        moved = {message["id"] for message in before} - kept
        for other in list(sqs._queues.values()):
            if other is not queue:
                for message in other["messages"]:
                    if message["id"] in moved:
                        moved.discard(message["id"])
                        observe(other, message)

    @safely
    def observe_published(topic: str, id: str, message: Any, group: str | None) -> None:
        found = identity_in(message) if isinstance(message, str) else None
        observer.observe(
            "message", observer.now(), to=topic, id=id, group=group or None, event=found.id if found else None
        )

    sqs._act_send_message, sqs._dlq_sweep, sns._fanout = sent, swept, fanned_out
    sqs._HANDLERS["SendMessage"] = sent
    sns._deliver_to_sqs = delivering(sns._deliver_to_sqs)
    s3._deliver_event_to_sqs = delivering(s3._deliver_event_to_sqs)
    eventbridge._dispatch_to_sqs = delivering(eventbridge._dispatch_to_sqs)
