"""Messages in queues and topics: of requests, rules, topics and buckets, and those moved to a dead-letter queue."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.observation.domain import identity_in
from stream_cli.local.emulator.observation.events import is_tapped
from stream_cli.local.emulator.observation.observing import EmulatorJournal, safely

INTERNALS = {
    "ministack.services.sqs": ("_act_send_message", "_HANDLERS", "_get_q", "_queue_by_arn", "_queues", "_dlq_sweep"),
    "ministack.services.sns": ("_fanout", "_deliver_to_sqs"),
    "ministack.services.eventbridge": ("_dispatch_to_sqs",),
    "ministack.services.s3": ("_deliver_event_to_sqs",),
}

Queue = dict[str, Any]


_looked_up: ContextVar[list[tuple[Queue, int]] | None] = ContextVar("looked_up", default=None)
"""Takes the queues that a delivery looks up, each with how many messages were in it."""


def patch(journal: EmulatorJournal) -> None:
    """Observe what queues and topics get."""
    from ministack.services import eventbridge, s3, sns, sqs

    send, sweep, fan_out, look_up = sqs._act_send_message, sqs._dlq_sweep, sns._fanout, sqs._queue_by_arn

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
        observe(topic, id, message, options.get("message_group_id"))
        return fan_out(topic, id, message, *more, **options)

    def looked_up(arn: str) -> Queue | None:
        queue: Queue | None = look_up(arn)
        if queue is not None and (queues := _looked_up.get()) is not None:
            queues.append((queue, len(queue["messages"])))
        return queue

    def observing(deliver: Callable[..., Any]) -> Callable[..., Any]:
        """What puts a message into a queue that it looks up."""

        def delivered(*arguments: Any, **options: Any) -> Any:
            if is_tapped():
                return deliver(*arguments, **options)
            queues = list[tuple[Queue, int]]()
            token = _looked_up.set(queues)
            try:
                return deliver(*arguments, **options)
            finally:
                _looked_up.reset(token)
                observe_delivered(queues)

        return delivered

    @safely
    def observe(to: str, id: str, body: Any, group: str | None) -> None:
        at = journal.now()
        journal.observe_later(lambda: [_line(at, to, id, body, group)])

    def observe_message(queue: Queue, message: dict[str, Any]) -> None:
        observe(queue["attributes"]["QueueArn"], message["id"], message.get("body"), message.get("group_id"))

    @safely
    def observe_sent(data: dict[str, Any], url: str, result: dict[str, Any]) -> None:
        arn = sqs._get_q(data.get("QueueUrl", url))["attributes"]["QueueArn"]
        observe(arn, result["MessageId"], data["MessageBody"], data.get("MessageGroupId"))

    @safely
    def observe_delivered(queues: list[tuple[Queue, int]]) -> None:
        for queue, before in queues[:1]:
            for message in queue["messages"][before:]:
                observe_message(queue, message)

    @safely
    def observe_moved(queue: Queue, before: list[dict[str, Any]]) -> None:
        moved = {message["id"] for message in before} - {message["id"] for message in queue["messages"]}
        for other in list(sqs._queues.values()):
            if other is not queue:
                for message in other["messages"]:
                    if message["id"] in moved:
                        moved.discard(message["id"])
                        observe_message(other, message)

    sqs._act_send_message, sqs._dlq_sweep, sns._fanout, sqs._queue_by_arn = sent, swept, fanned_out, looked_up
    sqs._HANDLERS["SendMessage"] = sent
    sns._deliver_to_sqs = observing(sns._deliver_to_sqs)
    s3._deliver_event_to_sqs = observing(s3._deliver_event_to_sqs)
    eventbridge._dispatch_to_sqs = observing(eventbridge._dispatch_to_sqs)


def _line(at: int, to: str, id: str, body: Any, group: str | None) -> dict[str, Any]:
    line = {"kind": "message", "at": at, "to": to, "id": id}
    if group:
        line["group"] = group
    if isinstance(body, str) and (event := identity_in(body).id) is not None:
        line["event"] = event
    return line
