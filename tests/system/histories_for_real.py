"""Plays histories of the simulator in a deployed local cloud, and sees what comes of them through AWS's APIs.

`Deployed` has those parts of `simulator.world.World` that acts and redrives use, so that both are the simulator's own.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
from simulator.agreement import AFTER, LAST_CHANCES, Refused, Round, Shared, Simulations, act, answers_of, deaths_in
from simulator.faults import refusal
from simulator.histories import History, Played
from simulator.outcomes import Seen
from simulator.topology import deployed
from simulator.world import Answer
from stream_cli.local.endpoint import LocalEndpoint, stack_output
from stream_cli.local.injected_faults import FAULTS_PATH, arm_fault
from stream_cli.local.state import StateFolder
from stream_cli.local.taps import Tap
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import Record, dynamodb_event_record, to_json
from stream_cli.mappings.settings import MappingSettings
from stream_runtime.payload.attributes import unmarshall

from demo.observation import documents

ACCOUNT = "000000000000"
AT_ONCE = 24
FASTER = 50
"""Clients wait that much less before they ask again: what they wait for takes less time here."""
LOOK_EVERY_S = 0.25
MOMENT_S, END_S, STILL_S = 2.0, 4.0, 60.0
"""Without news for so long, a race may be over; nothing comes behind what was expected; nothing comes at all."""
BUSY_WITHIN_S = 3.0
TARGETS = {
    "dynamodb": "DynamoDB_20120810",
    "events": "AWSEvents",
    "kinesis": "Kinesis_20131202",
    "firehose": "Firehose_20150804",
}
LAKE, FAULTS = "event-lake-s3", "event-fault-monitor"


class LocalHistories:
    """Some histories in one local cloud, and all that was seen of them so far."""

    def __init__(self, state: StateFolder, endpoint: LocalEndpoint, histories: Iterable[Shared]) -> None:
        self.endpoint = endpoint
        self.deployment = deployed("local")
        self.started_s = time.time()
        self.lambda_, self.events, self.s3 = (endpoint.client(name) for name in ("lambda", "events", "s3"))
        self.dynamodb, self.sns, self.sqs = (endpoint.client(name) for name in ("dynamodb", "sns", "sqs"))
        self.bus = stack_output(endpoint, "event-hub-local", "busName")
        api = stack_output(endpoint, "rest-bff-service-local", "HttpApiId")
        self.http = httpx.Client(
            base_url=endpoint.url, headers={"Host": endpoint.api_host(api)}, timeout=60.0, trust_env=False
        )
        self._emulator = psutil.Process(state.records()["emulator"]["child"]["pid"])
        self._functions: dict[int, str] = {}
        self._killed: set[str] = set()
        self._tap = Tap(endpoint, self.bus, "agreement", purpose="Every event of the bus, to compare it")
        self._queue, self._subscription = self._subscribed()
        self.queues = {name: self.sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in self.deployment.queues}
        self.cloudwatch = endpoint.client("cloudwatch")
        self._queued_before, self._counted_before = self._queued(), self.counted()
        self._known = {kind: self._keys(kind) for kind in (LAKE, FAULTS)}
        self._kept: dict[str, list[str]] = {LAKE: [], FAULTS: []}
        self._published: list[str] = []
        self._messages: list[str] = []
        self._rows: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._waiting: list[str] = []
        played = [*histories]
        self._deaths = deaths_in(played)
        self.plays = [Deployed(self, each, self._deaths) for each in played]

    def __enter__(self) -> LocalHistories:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was added to the cloud to look at it."""
        self._tap.remove()
        self.sns.unsubscribe(SubscriptionArn=self._subscription)
        self.sqs.delete_queue(QueueUrl=self._queue)
        self.http.close()

    def _subscribed(self) -> tuple[str, str]:
        """A queue with all messages of the topic from now on, and its subscription."""
        topics = [each["TopicArn"] for each in self.sns.list_topics()["Topics"]]
        (topic,) = (each for each in topics if each.endswith("-stories.fifo"))
        allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": {**allow, "Resource": "*"}}
        attributes = {"FifoQueue": "true", "Policy": json.dumps(policy)}
        url = self.sqs.create_queue(QueueName="agreement.fifo", Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        raw = {"RawMessageDelivery": "true"}
        answer = self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
        return url, answer["SubscriptionArn"]

    def _processes_of(self, function: str) -> list[psutil.Process]:
        """The processes that run a function now."""
        children = self._emulator.children(recursive=True)
        for process in children:
            if process.pid not in self._functions:
                with suppress(psutil.NoSuchProcess):
                    self._functions[process.pid] = process.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
        return [process for process in children if self._functions.get(process.pid) == function]

    def _kill(self, function: str) -> None:
        """End a process of the function as soon as it works; nothing if none does for a while."""
        used_s: dict[int, float] = {}
        deadline = time.monotonic() + BUSY_WITHIN_S
        while time.monotonic() < deadline:
            for process in self._processes_of(function):
                with suppress(psutil.NoSuchProcess):
                    now_s = sum(process.cpu_times()[:2])
                    if now_s > used_s.setdefault(process.pid, now_s):
                        process.kill()
                        self._killed.add(function)
                        return
            time.sleep(0.03)  # what it works on takes longer

    # --- playing ---

    def play(self, meanwhile: Callable[[int], None] = lambda turn: None) -> dict[str, list[str]]:
        """Play all histories turn by turn; returns for those that do not go on as in the simulation how they differ.

        A turn begins when all that is expected has come of the one before.

        Args:
            meanwhile: what else is done in a turn.
        """
        different: dict[str, list[str]] = {}
        for turn, deaths in enumerate(self._deaths):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                acts: list[Callable[[], None]] = [partial(meanwhile, turn)]
                acts += [partial(self._kill, function) for function in deaths]
                acts += [each for play in self.plays for each in play.acts(turn)]
                for done in [pool.submit(each) for each in acts]:
                    done.result()
            self._wait(turn, [play for play in self.plays if play.name not in different])
            httpx.delete(f"{self.endpoint.url}{FAULTS_PATH}", trust_env=False).raise_for_status()
            different |= self._different(turn, different)
        self._wait(turn, None)  # nothing more comes that should not
        return different | self._different(turn, different)

    def _different(self, turn: int, known: Mapping[str, list[str]]) -> dict[str, list[str]]:
        found = {}
        for play in self.plays:
            if play.name not in known and not play.simulations.finds(turn, seen := play.seen(), LAST_CHANCES):
                found[play.name] = play.simulations.differences(turn, seen)
        return found

    def _wait(self, turn: int, waiting: Iterable[Deployed] | None) -> None:
        """Look until all that is expected has come of some histories, or nothing more comes of any.

        Where it is still for a moment, something may have come of a race that needs another chance.
        """
        still_s = END_S if waiting is None else STILL_S
        before, changed, is_searched = "", time.monotonic(), waiting is None
        while time.monotonic() < changed + still_s:
            now = self._look()
            if now != before:
                before, changed, is_searched = now, time.monotonic(), waiting is None
                waiting = waiting and [play for play in waiting if not play.simulations.has(turn, play.seen())]
            elif not is_searched and time.monotonic() > changed + MOMENT_S:
                is_searched = True
                waiting = waiting and [play for play in waiting if not play.simulations.finds(turn, play.seen())]
            if waiting is not None and not waiting:
                return
            time.sleep(LOOK_EVERY_S)  # between two looks

    # --- seeing ---

    def _look(self) -> str:
        """See what is there now; returns another text if it is not as it was."""
        while found := self._tap.receive():
            self._published += [json.dumps(json.loads(each["Body"])["detail"]) for each in found]
            self._tap.delete([each["ReceiptHandle"] for each in found])
        while found := self.sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", []):
            self._messages += [each["Body"] for each in found]
            entries = [{"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(found)]
            self.sqs.delete_message_batch(QueueUrl=self._queue, Entries=entries)
        for kind, kept in self._kept.items():
            for key in self._keys(kind) - self._known[kind]:
                body = self.s3.get_object(Bucket=self._bucket(kind), Key=key)["Body"].read()
                kept += [json.dumps(each["detail"]) for each in documents(body)]
                self._known[kind].add(key)
        for table in self.deployment.tables:
            pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
            rows = [unmarshall(row) for page in pages for row in page["Items"]]
            self._rows[table] = [(json.dumps(row, default=str, sort_keys=True), row) for row in rows]
        self._end_leases()
        queued = self._queued()
        self._waiting = [name for name, count in queued.items() for _ in range(count - self._queued_before[name])]
        counts = [len(self._published), len(self._messages), *map(len, self._kept.values()), queued]
        return json.dumps([*counts, {name: sorted(text for text, _ in rows) for name, rows in self._rows.items()}])

    def _end_leases(self) -> None:
        """Let counts begin again whose process was killed: here retries come after seconds, and on AWS after minutes.

        To end the lease of another count lets nobody in: only its own notification would ask for it.
        """
        if not any(name.startswith(FAULTS) for name in self._killed):
            return
        for table in (each for each in self._rows if each.startswith(FAULTS)):
            for _, row in self._rows[table]:
                if row["status"] == "counting" and row["lease"]:
                    with suppress(self.dynamodb.exceptions.ConditionalCheckFailedException):  # it is done meanwhile
                        self.dynamodb.update_item(
                            TableName=table,
                            Key={"pk": {"S": row["pk"]}},
                            UpdateExpression="SET lease = :ended",
                            ConditionExpression="#status = :counting",
                            ExpressionAttributeNames={"#status": "status"},
                            ExpressionAttributeValues={":ended": {"N": "0"}, ":counting": {"S": "counting"}},
                        )

    def _queued(self) -> dict[str, int]:
        """How many messages are in each queue of the services."""
        found = {}
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        for name, url in self.queues.items():
            attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            found[name] = sum(int(attributes[each]) for each in names)
        return found

    def dead_letters(self) -> dict[str, list[str]]:
        """Take the messages that have come since the histories began, by the names of their queues."""
        found: dict[str, list[str]] = {}
        for name, url in self.queues.items():
            asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["SentTimestamp"]}
            while messages := self.sqs.receive_message(**asked).get("Messages", []):
                for each in messages:
                    if int(each["Attributes"]["SentTimestamp"]) >= 1_000 * self.started_s:
                        found.setdefault(name, []).append(each["Body"])
                        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return found

    def counted(self) -> Counter[str]:
        """How many faults of each service CloudWatch has now; 0 is left out."""
        found = Counter[str]()
        for service in {name.partition("-local-")[0] for name in self.deployment.functions}:
            points = self.cloudwatch.get_metric_statistics(
                Namespace=FAULTS,
                MetricName="Faults",
                Dimensions=[{"Name": "Service", "Value": service}, {"Name": "Stage", "Value": "local"}],
                StartTime=datetime.fromtimestamp(self.started_s, UTC) - timedelta(hours=3),
                EndTime=datetime.now(UTC) + timedelta(minutes=1),
                Period=60,
                Statistics=["Sum"],
            )["Datapoints"]
            found[service] = int(sum(point["Sum"] for point in points))
        return +found

    def counts(self, expected: Counter[str]) -> Counter[str]:
        """The faults that were counted since the histories began, once they are as expected, or nothing changes."""
        changed, before = time.monotonic(), Counter[str]()
        while (now := self.counted() - self._counted_before) != expected and time.monotonic() < changed + STILL_S:
            if now != before:
                before, changed = now, time.monotonic()
            time.sleep(LOOK_EVERY_S)  # between two looks
        return now

    def _bucket(self, kind: str) -> str:
        (stream,) = (each for name, each in self.deployment.delivery_streams.items() if name.startswith(kind))
        return stream.bucket.replace(self.deployment.account, ACCOUNT)

    def _keys(self, kind: str) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket(kind))
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def of(self, name: str) -> Seen:
        """What was seen of a history."""
        mark = f"{name}-"

        def about(texts: list[str]) -> list[dict[str, Any]]:
            return [json.loads(text) for text in texts if mark in text]

        return Seen(
            self.started_s,
            ACCOUNT,
            rows={table: [row for text, row in rows if mark in text] for table, rows in self._rows.items()},
            events=about(self._published),
            lake=about(self._kept[LAKE]),
            faults=about(self._kept[FAULTS]),
            messages=about(self._messages),
            queued=self._waiting,
        )


@dataclass(frozen=True)
class Sooner:
    """A clock for acts: it is the real one, and waits are shorter."""

    @property
    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def at(self, delay_us: int, act_: Callable[[], None]) -> None:
        """Do something after a time, here and now."""
        time.sleep(delay_us / FASTER / 1_000_000)  # a client's own wait before it asks again
        act_()


class Deployed:
    """One history in the local cloud: what acts and redrives need of a `World`."""

    def __init__(self, cloud: LocalHistories, history: Shared, deaths: Sequence[Collection[str]]) -> None:
        self._cloud = cloud
        self._history = history
        self.name = history.name
        self.seed = history.seed
        self.deployment = cloud.deployment
        self.kernel = Sooner()
        self.functions = self.sqs = self
        self.events = SimpleNamespace(lost=[])  # the local cloud gives up nothing in a day
        self.turns: list[Round | str] = [*history.rounds, *history.afterwards]
        self.simulations = Simulations(history, deaths)
        self._played = Played(History(history.seed, ()), self)  # type: ignore[arg-type]

    def acts(self, turn: int) -> Iterator[Callable[[], None]]:
        """What is done in a turn, at once; requests that it refuses are refused from now on."""
        if turn >= len(self.turns):
            return
        now = self.turns[turn]
        if isinstance(now, str):
            yield partial(AFTER[now], self._played)
            return
        for each in now.refused:
            self._refuse(each)
        for step in now.steps:
            if step.do != "kill":
                yield partial(act, self._played, step)

    def seen(self) -> dict[str, Any]:
        """What has come of the history so far."""
        seen = self._cloud.of(self.name)
        seen.answers = answers_of(self._played)
        return self._history.outcome(seen)

    def _refuse(self, refused: Refused) -> None:
        answer = refusal(refused.kind, refused.service, refused.operation, {})
        arm_fault(
            self._cloud.endpoint,
            target=f"{TARGETS[refused.service]}.{refused.operation}",
            contains=self._told_by(refused),
            error=answer.code,
            message=str(answer),
            status=answer.status,
            times=refused.times,
        )

    def _told_by(self, refused: Refused) -> list[str]:
        """Texts in requests that are about the history, and in none of others or of this process."""
        if refused.service == "firehose":
            return []  # has its events in base64: those of all histories are refused
        of_functions = ["functionname"] if refused.service == "events" else []
        return [f"{self.name}-", *of_functions, *filter(None, [refused.function])]

    # --- as a world ---

    def request(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str], **_: Any) -> Answer:
        """Of anybody: the stage `local` asks for no token."""
        got = self._cloud.http.request(method, path, json=body, headers=dict(headers))
        return Answer(got.status_code, dict(got.headers), got.json() if got.content else None)

    def publish(self, *events: Mapping[str, Any], source: str = "custom") -> None:
        entry = {"EventBusName": self._cloud.bus, "Source": source}
        entries = [{**entry, "DetailType": each["type"], "Detail": json.dumps(each)} for each in events]
        answer = self._cloud.events.put_events(Entries=entries)
        assert not answer["FailedEntryCount"], answer

    def land(self, key: str, content: bytes) -> None:
        bucket = next(name for name in self.deployment.buckets if "-landing-" in name)
        self._cloud.s3.put_object(Bucket=bucket.replace(self.deployment.account, ACCOUNT), Key=key, Body=content)

    def queue(self, function: str, payload: bytes) -> None:
        self._cloud.lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=payload)

    def start(self, function: str, payload: bytes, done: Callable[[Invocation], None]) -> None:
        answer = self._cloud.lambda_.invoke(FunctionName=function, Payload=payload)
        done(Invocation(answer["Payload"].read(), answer.get("FunctionError")))

    def lake(self) -> list[dict[str, Any]]:
        return self._cloud.of(self.name).lake

    def faults(self) -> dict[str, dict[str, Any]]:
        return {each["id"]: each for each in self._cloud.of(self.name).faults}

    # --- for redrives ---

    def run(self, seconds: float) -> None:
        """Time passes by itself."""

    def dead_letters(self) -> dict[str, list[str]]:
        """The messages of this cloud's histories, by the names of their queues."""
        return self._cloud.dead_letters()

    def PurgeQueue(self, request: Mapping[str, Any]) -> None:
        """What was taken is gone already; in the queue are messages of others."""

    @property
    def mappings(self) -> dict[str, LocalMapping]:
        pages = self._cloud.lambda_.get_paginator("list_event_source_mappings").paginate()
        found = [MappingSettings.from_configuration(each) for page in pages for each in page["EventSourceMappings"]]
        return {each.uuid: LocalMapping(self._cloud.endpoint, each) for each in found}


@dataclass(frozen=True)
class LocalMapping:
    """An event source mapping whose records are read again."""

    endpoint: LocalEndpoint
    settings: MappingSettings

    def between(self, shard_id: str, first: str, last: str) -> list[Record]:
        """The records of a shard of a table's stream, from one sequence number to another."""
        streams, source = self.endpoint.client("dynamodbstreams"), self.settings.source
        iterator = streams.get_shard_iterator(
            StreamArn=source.stream_arn,
            ShardId=shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=first,
        )["ShardIterator"]
        found = []
        for raw in streams.get_records(ShardIterator=iterator)["Records"]:
            number = raw["dynamodb"]["SequenceNumber"]
            if int(number) <= int(last):
                at_s = raw["dynamodb"]["ApproximateCreationDateTime"].timestamp()
                raw["dynamodb"]["ApproximateCreationDateTime"] = at_s
                found.append(Record(number, "", at_s, to_json(dynamodb_event_record(raw, source))))
        return found
