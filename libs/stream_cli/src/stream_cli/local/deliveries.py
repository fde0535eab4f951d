"""Delivers to targets that the emulator's buses do not serve: Kinesis, Firehose, log groups. It uses public AWS APIs.

Every bus gets a tap (see ``taps``): the rule ``streamctl-tap`` and the SQS queue ``streamctl-tap-<bus>``. This process
reads the queue, matches each event with the bus's rules as they are at that moment, and puts the records that the
rules ask for (see ``rule_targets``). A message is deleted when each target has its record. A record that fails is
retried with backoff and full jitter, first in place, then after the message's visibility timeout. It is given up as by
EventBridge: after the target's RetryPolicy (default: 24 hours and 185 attempts) it goes to the target's dead-letter
queue. New, changed and deleted rules are noticed with each batch, buses twice a second.

Scheduled rules with such targets are not covered, since their events pass no bus.

Run as ``python -m stream_cli.local.deliveries --port PORT --ready FILE --journal FOLDER``; FILE names the buses that
are tapped.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from stream_runtime.clients import backoff_s

from stream_cli.journal.writer import Writer
from stream_cli.local import rule_targets
from stream_cli.local.endpoint import LocalEndpoint, OwnEndpoint
from stream_cli.local.state import write_json
from stream_cli.local.taps import Tap
from stream_cli.local.target_streams import Delivery, Failure, Message, Rule, Streams, batches
from stream_cli.patterns import CompiledPattern, InvalidPattern, compile_pattern, parse_pattern
from stream_cli.terminal.guarded import guard_output
from stream_cli.terminal.logs import log_lines

logger = logging.getLogger("deliveries")

TAP = "streamctl-tap"

_DISCOVERY_S = 0.5
_WAIT_S = 1
_VISIBILITY_S = 60
_MESSAGES_PER_ROUND = 200
_ATTEMPTS_IN_PLACE = 5
_REDELIVERY_LIMIT_S = 3


class BusDelivery:
    """The delivery of one bus's events, from its tap."""

    def __init__(
        self, endpoint: LocalEndpoint, bus: str, observe: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        """``observe`` takes lines for the journal."""
        self.bus = bus
        self._observe = observe
        self.tap = Tap(
            endpoint,
            bus,
            TAP,
            purpose="Every event of the bus, for streamctl to deliver to Kinesis, Firehose and log groups",
            visibility_s=_VISIBILITY_S,
        )
        self._events = endpoint.client("events")
        self._sqs = endpoint.client("sqs")
        self._streams = Streams(endpoint)
        self._unfinished: dict[str, Message] = {}
        self._compiled: dict[str, CompiledPattern | None] = {}

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop. Requests that the emulator does not answer are repeated, and nothing is lost."""
        while not stop.is_set():
            try:
                self.deliver_once()
            except (BotoCoreError, ClientError):
                if not stop.is_set():
                    logger.exception("bus %s: a request failed, trying again", self.bus)
                    stop.wait(1.0)

    def deliver_once(self) -> int:
        """Receive messages, deliver them, delete those that are done; returns how many were received."""
        messages = self._receive(_WAIT_S)
        while messages and len(messages) < _MESSAGES_PER_ROUND and (more := self._receive(0)):
            messages += more
        if not messages:
            return 0
        rules = self._rules()
        pending = [d for message in messages for d in self._deliveries(message, rules) if d.key not in message.done]
        failures = self._deliver(pending)
        self._settle(messages, failures)
        return len(messages)

    def _receive(self, wait_s: int) -> list[Message]:
        messages = []
        for raw in self.tap.receive(wait_s):
            known = self._unfinished.get(raw["MessageId"])
            if known is None:
                known = Message(raw["MessageId"], "", json.loads(raw["Body"]), int(raw["Attributes"]["SentTimestamp"]))
            known.receipt = raw["ReceiptHandle"]
            messages.append(known)
        return messages

    def _rules(self) -> list[Rule]:
        rules = []
        for page in self._events.get_paginator("list_rules").paginate(EventBusName=self.bus):
            for rule in page["Rules"]:
                if rule["State"] == "DISABLED" or not rule.get("EventPattern"):
                    continue
                pattern = self._pattern(rule["Name"], rule["EventPattern"])
                if pattern is None:
                    continue
                targets = [
                    target
                    for found in self._events.get_paginator("list_targets_by_rule").paginate(
                        Rule=rule["Name"], EventBusName=self.bus
                    )
                    for target in found["Targets"]
                    if Streams.serves(target)
                ]
                if targets:
                    rules.append(Rule(rule["Name"], rule["Arn"], pattern, tuple(targets)))
        return rules

    def _pattern(self, rule: str, text: str) -> CompiledPattern | None:
        if text not in self._compiled:
            try:
                self._compiled[text] = compile_pattern(parse_pattern(text))
            except InvalidPattern as error:
                # AWS refuses such a rule; here it must not stop the other rules.
                logger.error("bus %s, rule %s: matches nothing, its pattern is invalid: %s", self.bus, rule, error)
                self._compiled[text] = None
        return self._compiled[text]

    def _deliveries(self, message: Message, rules: Iterable[Rule]) -> Iterator[Delivery]:
        received_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(message.sent_ms / 1000))
        for rule in rules:
            if not rule.matches(message.event):
                continue
            for target in rule.targets:
                named = {"Name": rule.name, "Arn": rule.arn}
                try:
                    data = rule_targets.target_input(target, message.event, named, received_at=received_at)
                    key = rule_targets.partition_key(target, message.event)
                except (rule_targets.InvalidPath, rule_targets.InvalidOutput) as error:
                    refused = Delivery(message, rule, target, "", "")
                    self._give_up(refused, Failure("ValidationException", str(error)), "NotRetryable")
                    continue
                yield Delivery(message, rule, target, data, key)

    def _deliver(self, pending: list[Delivery]) -> list[tuple[Delivery, Failure]]:
        permanent: list[tuple[Delivery, Failure]] = []
        transient: list[tuple[Delivery, Failure]] = []
        for attempt in range(_ATTEMPTS_IN_PLACE):
            if attempt:
                time.sleep(backoff_s(attempt))
                pending = [delivery for delivery, _ in transient]
            transient = []
            for arn, batch in batches(pending):
                for delivery, failure in zip(batch, self._streams.put(arn, batch), strict=True):
                    if failure is None:
                        delivery.message.done.add(delivery.key)
                    else:
                        delivery.message.attempts += 1
                        (permanent if failure.is_permanent else transient).append((delivery, failure))
            if not transient:
                break
        return permanent + transient

    def _settle(self, messages: Sequence[Message], failures: Sequence[tuple[Delivery, Failure]]) -> None:
        # A message that comes again, because deleting it failed, is known to be done.
        self._unfinished.update((message.id, message) for message in messages)
        held: dict[str, Message] = {}
        for delivery, failure in failures:
            exhausted = delivery.is_given_up(failure, time.time())
            if exhausted is None:
                held[delivery.message.id] = delivery.message
                self._undelivered(delivery, failure, "failed")
                logger.warning(
                    "bus %s, rule %s, target %s: %s: %s; will be tried again",
                    *(self.bus, delivery.rule.name, delivery.target["Id"], failure.code, failure.message),
                )
            else:
                self._give_up(delivery, failure, exhausted)
                delivery.message.done.add(delivery.key)
        for message in messages:
            if message.id in held:
                self.tap.delay(message.receipt, random.randint(1, _REDELIVERY_LIMIT_S))
        finished = [message for message in messages if message.id not in held]
        left = dict(self.tap.delete([message.receipt for message in finished]))
        for place, message in enumerate(finished):
            if place in left:
                logger.warning("bus %s: message %s was not deleted: %s", self.bus, message.id, left[place])
            else:
                del self._unfinished[message.id]

    def _undelivered(self, delivery: Delivery, failure: Failure, outcome: str, **more: str) -> None:
        event = delivery.message.event
        detail = event.get("detail")
        named = {"event": detail["id"]} if isinstance(detail, dict) and isinstance(detail.get("id"), str) else {}
        self._observe(
            {
                "kind": "delivery",
                "at": time.time_ns() // 1_000_000,
                "bus": self.bus,
                "rule": delivery.rule.name,
                "target": delivery.target["Arn"],
                "id": str(event.get("id", "")),
                **named,
                "outcome": outcome,
                "problem": f"{failure.code}: {failure.message}",
                "attempts": delivery.message.attempts,
                **more,
            }
        )

    def _give_up(self, delivery: Delivery, failure: Failure, exhausted: str) -> None:
        queue_arn = delivery.target.get("DeadLetterConfig", {}).get("Arn")
        self._undelivered(delivery, failure, "given_up", **({"destination": queue_arn} if queue_arn else {}))
        logger.error(
            "bus %s, rule %s, target %s: event %s given up (%s): %s: %s; %s",
            *(self.bus, delivery.rule.name, delivery.target["Id"], delivery.message.event.get("id"), exhausted),
            *(failure.code, failure.message, f"sent to {queue_arn}" if queue_arn else "it has no dead-letter queue"),
        )
        if queue_arn is None:
            return
        attributes = {
            "RULE_ARN": delivery.rule.arn,
            "TARGET_ARN": delivery.target["Arn"],
            "ERROR_CODE": failure.dead_letter_code,
            "ERROR_MESSAGE": failure.message or failure.code,
            "RETRY_ATTEMPTS": str(delivery.message.attempts),
            **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted != "NotRetryable" else {}),
        }
        self._sqs.send_message(
            QueueUrl=self._sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"],
            MessageBody=json.dumps(delivery.message.event),
            MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        )


class Deliveries:
    """The buses of one endpoint, each with a tap and a thread."""

    def __init__(
        self, endpoint: LocalEndpoint, observe: Callable[[Mapping[str, Any]], None] = lambda line: None
    ) -> None:
        """``observe`` takes lines for the journal."""
        self._endpoint = endpoint
        self._observe = observe
        self._events = endpoint.client("events")
        self._buses: dict[str, tuple[BusDelivery, threading.Event, threading.Thread]] = {}

    @property
    def buses(self) -> list[str]:
        """The names of the buses that have a tap."""
        return sorted(self._buses)

    def discover(self) -> bool:
        """Tap new buses and remove the taps of deleted ones; returns whether there were any."""
        found = {
            bus["Name"]: bus
            for page in _pages(self._events.list_event_buses, "NextToken")
            for bus in page["EventBuses"]
        }
        gone, new = self._buses.keys() - found.keys(), found.keys() - self._buses.keys()
        for name, (_, _, thread) in self._buses.items():
            if not thread.is_alive():
                raise RuntimeError(f"the delivery of bus {name} has ended with the error that stands above")
        for name in gone:
            delivery, stop, thread = self._buses.pop(name)
            stop.set()
            thread.join()
            delivery.tap.remove()
            logger.info("bus %s is gone", name)
        for name in new:
            delivery, stop = BusDelivery(self._endpoint, name, self._observe), threading.Event()
            thread = threading.Thread(target=delivery.run, args=(stop,), name=f"bus-{name}", daemon=True)
            thread.start()
            self._buses[name] = delivery, stop, thread
            logger.info("bus %s is tapped", name)
        return bool(gone or new)

    def run(self, stop: threading.Event, ready: Path) -> None:
        """Discover buses until told to stop, and keep the names of those with a tap in the file ``ready``."""
        while not stop.is_set():
            try:
                if self.discover() or not ready.exists():
                    write_json(ready, {"buses": self.buses})
            except (BotoCoreError, ClientError):
                if not stop.is_set():
                    logger.exception("the buses could not be listed, trying again")
            stop.wait(_DISCOVERY_S)
        for _, stop_bus, _ in self._buses.values():
            stop_bus.set()
        for _, _, thread in self._buses.values():
            thread.join(_WAIT_S + 5.0)


def _pages(call: Any, token: str) -> Iterator[dict[str, Any]]:
    page = call()
    yield page
    while page.get(token):
        page = call(**{token: page[token]})
        yield page


def main() -> None:
    """Deliver until told to stop."""
    parser = argparse.ArgumentParser(description="Delivers to Kinesis, Firehose and log group targets of bus rules")
    parser.add_argument("--port", type=int, required=True, help="port of the endpoint on 127.0.0.1")
    parser.add_argument("--ready", type=Path, required=True, help="file that names the tapped buses")
    parser.add_argument("--journal", type=Path, help="folder for what is not delivered")
    options = parser.parse_args()
    guard_output()
    log_lines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    endpoint, journal = OwnEndpoint(options.port), Writer(options.journal, "deliveries") if options.journal else None
    try:
        deliveries = Deliveries(endpoint) if journal is None else Deliveries(endpoint, journal.put)
        deliveries.run(stop, options.ready)
    finally:
        if journal is not None:
            journal.close()


if __name__ == "__main__":
    main()
