"""What is known of a queue, a topic, a log group or another node of the map that has no page of its own.

It is asked when somebody looks at it, by a few requests. Messages are never received: whoever receives one hides it
from others for a while.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any

from stream_runtime.payload.visible import visible

from stream_cli.console.leads import of_node
from stream_cli.console.map import Map
from stream_cli.console.refusals import Refusal
from stream_cli.faults.secret_text import redacted_text
from stream_cli.journal.questions import Questions
from stream_cli.stored.connection import Connection
from stream_cli.structure.nodes import Node
from stream_cli.terminal.options import LOCAL
from stream_cli.trace.stage.asking import Kept, unless_denied

_KEPT_S, _KEPT_AT_A_STAGE_S = 2.0, 30.0
_MOST_SUBSCRIPTIONS = 20
_MOST_MESSAGES = 20
_MOST_LINES = 50
_LONGEST = 2_000
_NONE: list[Mapping[str, Any]] = []
_OF_PEOPLE = frozenset({"email", "email-json", "sms"})

Facts = list[tuple[str, Any]]
Listed = list[Mapping[str, Any]]


class Panels:
    """What is known of nodes of the map, by their ids; it is asked again after some seconds only."""

    def __init__(self, stage: str, drawn: Map, questions: Questions, connection: Callable[[], Connection]) -> None:
        self._drawn, self._questions, self._connection = drawn, questions, connection
        self._kept = Kept()
        self._kept_s = _KEPT_S if stage == LOCAL else _KEPT_AT_A_STAGE_S

    def of(self, id: str) -> dict[str, Any]:
        """A node: its ``facts`` (label and value), and for some kinds ``subscriptions``, ``messages`` and ``lines``.

        Raises:
            Refusal: there is no such node.
        """
        drawing = self._drawn.drawing()
        node = next((each for each in drawing.nodes if each.id == id), None)
        if node is None:
            raise Refusal(404, "Nothing on the map has this name now.")
        found = self._kept.answer(id, self._kept_s, partial(self._known, node))
        lead = of_node(node, drawing)
        return {
            "id": id, "kind": node.kind, "name": node.name, "full_name": node.full_name, "stack": node.stack,
            "note": node.note, "page": lead if lead["page"] != "map" else None, **found,
        }  # fmt: skip

    def _known(self, node: Node) -> dict[str, Any]:
        ask = {"queue": self._queue, "topic": self._topic, "log": self._log}.get(node.kind)
        if ask is None:
            return {"problem": "Nothing more is known of it than what leads to it and from it."}
        if "/" in node.full_name and node.kind != "log":
            return {"problem": f"It is in the account {node.full_name.partition('/')[0]}, which is not asked."}
        return ask(node.full_name)

    def _queue(self, name: str) -> dict[str, Any]:
        given = self._of_queue(name)
        if not given:
            return {}
        redrive = _object(given.get("RedrivePolicy"))
        letters = str(redrive.get("deadLetterTargetArn", ""))
        facts: Facts = [
            ("ARN", given.get("QueueArn")),
            ("Messages waiting", _number(given, "ApproximateNumberOfMessages")),
            ("Being delivered", _number(given, "ApproximateNumberOfMessagesNotVisible")),
            ("Delayed", _number(given, "ApproximateNumberOfMessagesDelayed")),
            ("Hidden while delivered", f"{given['VisibilityTimeout']} s"),
            ("Kept for", f"{int(given['MessageRetentionPeriod']) / 86_400:g} days"),
        ]
        if letters:
            waiting = _number(self._of_queue(letters.rpartition(":")[2]), "ApproximateNumberOfMessages")
            facts.append(("Dead letters go to", letters))
            facts.append(("after deliveries", redrive.get("maxReceiveCount")))
            facts.append(("Dead letters waiting", waiting))
        return {"facts": facts, "messages": self._messages(str(given.get("QueueArn")))}

    def _of_queue(self, name: str) -> Mapping[str, str]:
        client = self._connection().client("sqs")

        def ask() -> Mapping[str, str]:
            url = client.get_queue_url(QueueName=name)["QueueUrl"]
            found: Mapping[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return found

        return unless_denied(f"messages in {name}", "sqs:GetQueueUrl and sqs:GetQueueAttributes", ask, {})

    def _topic(self, name: str) -> dict[str, Any]:
        connection = self._connection()
        arns = (each for each in connection.resources().get("AWS::SNS::Topic", ()) if each.rpartition(":")[2] == name)
        arn = next(arns, None)
        if arn is None:
            return {"problem": "It is in no stack of this stage, so that it is not asked."}
        client = connection.client("sns")
        listed = unless_denied(
            f"subscriptions of {name}", "sns:ListSubscriptionsByTopic",
            lambda: client.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"], _NONE,
        )  # fmt: skip
        facts: Facts = [("ARN", arn), ("Subscriptions", f"{len(listed)}{' or more' if len(listed) >= 100 else ''}")]
        shown = [_subscription(client, each) for each in islice(listed, _MOST_SUBSCRIPTIONS)]
        return {"facts": facts, "subscriptions": shown, "messages": self._messages(arn)}

    def _messages(self, arn: str) -> list[dict[str, Any]]:
        """The last messages that were sent, as far as the journal has them; ``event`` is the id of the event in one."""
        lines = self._questions.messages(to=arn, limit=_MOST_MESSAGES).lines
        return [{"at": line["at"], "id": line["id"], "event": line.get("event")} for line in lines]

    def _log(self, name: str) -> dict[str, Any]:
        client = self._connection().client("logs")

        def ask() -> Listed:
            found: Listed = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            return [each for each in found if each["logGroupName"] == name]

        groups: Listed = unless_denied(f"the log group {name}", "logs:DescribeLogGroups", ask, _NONE)
        if not groups:
            return {"lines": self._lines(client, name)}
        days = groups[0].get("retentionInDays")
        facts: Facts = [("ARN", groups[0].get("arn")), ("Bytes", groups[0].get("storedBytes"))]
        return {
            "facts": [*facts, ("Kept for", f"{days} days" if days else "ever")],
            "lines": self._lines(client, name),
        }

    def _lines(self, client: Any, name: str) -> list[dict[str, Any]]:
        """The last lines of the stream that was written last."""

        def ask() -> Listed:
            order = {"orderBy": "LastEventTime", "descending": True, "limit": 1}
            streams = client.describe_log_streams(logGroupName=name, **order)["logStreams"]
            found: Listed = []
            for stream in streams:
                given = {"logGroupName": name, "logStreamName": stream["logStreamName"], "limit": _MOST_LINES}
                found += client.get_log_events(**given, startFromHead=False)["events"]
            return found

        found = unless_denied(f"lines of {name}", "logs:DescribeLogStreams and logs:GetLogEvents", ask, _NONE)
        return [{"at": each["timestamp"], "text": _shown(str(each["message"]))} for each in found]


def _subscription(client: Any, listed: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription; the address of a person is not shown."""
    arn, protocol = str(listed.get("SubscriptionArn", "")), str(listed.get("Protocol", ""))
    given: Mapping[str, str] = {}
    if arn.startswith("arn:"):
        given = unless_denied(
            "filters of subscriptions", "sns:GetSubscriptionAttributes",
            lambda: client.get_subscription_attributes(SubscriptionArn=arn)["Attributes"], {},
        )  # fmt: skip
    return {
        "protocol": protocol,
        "endpoint": "" if protocol in _OF_PEOPLE else _shown(str(listed.get("Endpoint", ""))),
        "confirmed": arn.startswith("arn:"),
        "filter": _shown(given.get("FilterPolicy", "")),
        "of_body": given.get("FilterPolicyScope") == "MessageBody",
        "letters": str(_object(given.get("RedrivePolicy")).get("deadLetterTargetArn", "")) or None,
    }


def _shown(text: str) -> str:
    return visible(redacted_text(text[:_LONGEST])) + ("…" if len(text) > _LONGEST else "")


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _number(given: Mapping[str, str], name: str) -> int | None:
    return int(given[name]) if name in given else None
