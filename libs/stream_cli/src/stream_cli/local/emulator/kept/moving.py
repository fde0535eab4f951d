"""State that changes all the time: items, records of streams, messages, objects, lines of logs, points of metrics.

What has changed is known where it changes, so that keeping it costs the same however much there is. Of lists that only
grow, and lose what has expired, it is the end that has changed.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from stream_cli.local.emulator.kept.containers import KeptDict, LogStreams, Messages, Place, Tail, changing
from stream_cli.local.emulator.long_lists import LongList, lengthened
from stream_cli.local.emulator.metric_points import Point, Points
from stream_cli.local.emulator.packed_items import PackedItems
from stream_cli.local.kept_file import Change, Row, written

INTERNALS = {
    "ministack.services.cloudwatch": ("_metrics", "_metric_bucket"),
    "ministack.services.cloudwatch_logs": ("_log_groups", "_append_log_events", "_create_log_stream"),
    "ministack.services.dynamodb": (
        *("_tables", "_set_item", "_remove_item", "_stream_records", "_txn_idempotency", "_update_counts"),
    ),
    "ministack.services.eventbridge": ("_archives", "_archive_event", "_rule_last_fired", "_events_log_list"),
    "ministack.services.firehose": ("_streams", "_put_s3_object"),
    "ministack.services.kinesis": (
        "_streams",
        "_put_record",
        "_put_records",
        "put_record_internal",
        "_shard_iterators",
    ),
    "ministack.services.s3": (
        *("_buckets", "_object_tags", "_object_acl", "_object_annotations", "_object_versions", "_object_retention"),
        *("_object_legal_hold", "_multipart_uploads", "_completed_multipart_uploads"),
    ),
    "ministack.services.scheduler": ("_schedule_last_fired",),
    "ministack.services.sns": ("_topics", "_prune_sns_dedup", "publish_internal", "_publish_batch"),
    "ministack.services.sqs": (
        *("_queues", "_HANDLERS", "_prune_dedup", "_dlq_sweep", "_expire_retained", "_collect_msgs"),
        *("_delete_messages_for_esm", "_get_q", "_act_send_message"),
    ),
    "ministack.services.sts": ("_sessions",),
}

ITEMS, RECORDS, CHANGED, MESSAGES, SENT, OBJECTS, ARCHIVED, LOGS, LINES, POINTS, FLAT, WAITING = (
    *("items", "records", "changed", "messages", "sent", "objects", "archived", "logs", "lines", "counted", "flat"),
    "waiting",
)

_OF_OBJECTS = (
    "_object_tags",
    "_object_acl",
    "_object_annotations",
    "_object_versions",
    "_object_retention",
    "_object_legal_hold",
    "_multipart_uploads",
    "_completed_multipart_uploads",
)
_FLAT = (
    ("ministack.services.dynamodb", "_txn_idempotency"),
    ("ministack.services.eventbridge", "_rule_last_fired"),
    ("ministack.services.kinesis", "_shard_iterators"),
    ("ministack.services.scheduler", "_schedule_last_fired"),
    ("ministack.services.sts", "_sessions"),
    ("stream_cli.local.emulator.authorization.callers", "issued"),
    *(("ministack.services.s3", name) for name in _OF_OBJECTS),
)
"""Stores with a row for each key."""

Key = tuple[Any, ...]


class Moving:
    """What has changed since it was kept."""

    def __init__(self, told: Callable[[], None], settle: Callable[[str, str, Any], None]) -> None:
        """``told`` is called when something has changed, ``settle`` when a resource has."""
        self._told, self._settle = told, settle
        self._containers: dict[int, KeptDict | Messages] = {}
        self._items: dict[tuple[Key, Any, Any], None] = {}
        self._tables: dict[Key, Any] = {}
        self._tails: dict[Place, Tail] = {}
        self._grown = set[str]()
        self._lines: dict[int, dict[str, Any]] = {}
        self._streams_of_logs: dict[int, Place] = {}
        self._points: dict[Key, dict[int, Point | None]] = {}
        self._queues: dict[int, tuple[dict[str, Any], Messages]] = {}
        self._places = set[Place]()
        self._new: list[KeptDict | Messages] = []

    # --- what is told ---

    def _changed(self, container: Any) -> None:
        self._containers[id(container)] = container
        self._told()

    def _grows(self, kind: str) -> None:
        """Lists of this kind have got more at their ends."""
        with changing:
            self._grown.add(kind)
            self._told()

    def _count(self, metric: Key, number: int, point: Point | None) -> None:
        with changing:
            self._points.setdefault(metric, {})[number] = point
            self._told()

    def _made(self, container: KeptDict | Messages) -> None:
        self._places.add(container.place)
        self._new.append(container)
        self._told()

    def patch(self) -> None:
        """Learn of changes where they are made."""
        self._patch_items()
        self._patch_queues()
        self._patch_topics()
        self._patch_lists()
        for service, name in _FLAT:
            module = importlib.import_module(service)
            store = getattr(module, name)
            kept = KeptDict((FLAT, service, name), self._changed)
            if isinstance(store, dict):
                setattr(module, name, kept)
            else:
                store._data = kept

    def _patch_items(self) -> None:
        from ministack.services import dynamodb

        set_item, remove_item = dynamodb._set_item, dynamodb._remove_item

        def changing_item(change: Callable[..., Any]) -> Callable[..., Any]:
            def changed(table: dict[str, Any], partition_key: Any, sort_key: Any, *item: Any) -> Any:
                with changing:  # the reaper of expired items makes the record of the change in here, too
                    result = change(table, partition_key, sort_key, *item)
                    self._items[_key_of_table(table), partition_key, sort_key] = None
                    self._grows(CHANGED)
                return result

            return changed

        dynamodb._set_item, dynamodb._remove_item = changing_item(set_item), changing_item(remove_item)

    def _patch_queues(self) -> None:
        from ministack.services import sqs

        collect, prune = sqs._collect_msgs, self._pruned("dedup_cache")

        def together(change: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(change)
            def changed(queue: dict[str, Any], *more: Any) -> Any:
                with changing:
                    result = change(queue, *more)
                    self._adopt_messages(queue)
                return result

            return changed

        def collected(queue: dict[str, Any], *more: Any) -> Any:
            with changing:
                found = collect(queue, *more)
                if isinstance(queue["messages"], Messages):
                    for message in found:
                        queue["messages"].touch(message)
            return found

        def of_url(change: Callable[..., Any], *, seen: bool = False) -> Callable[..., Any]:
            def changed(*arguments: Any) -> Any:
                with changing:
                    result = change(*arguments)
                    data = arguments[0] if isinstance(arguments[0], dict) else {"QueueUrl": arguments[0]}
                    queue = sqs._get_q(data.get("QueueUrl", arguments[1] if len(arguments) > 1 else ""))
                    self._adopt_messages(queue)
                    if seen:
                        handles = {each.get("ReceiptHandle") for each in [data, *data.get("Entries", [])]} - {None}
                        for message in queue["messages"]:
                            if message["receipt_handle"] in handles:
                                queue["messages"].touch(message)
                return result

            return changed

        sqs._dlq_sweep, sqs._expire_retained = together(sqs._dlq_sweep), together(sqs._expire_retained)
        sqs._collect_msgs, sqs._prune_dedup = collected, prune
        sqs._delete_messages_for_esm = of_url(sqs._delete_messages_for_esm)
        for name in ("DeleteMessage", "DeleteMessageBatch", "PurgeQueue"):
            sqs._HANDLERS[name] = of_url(sqs._HANDLERS[name])
        for name in ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"):
            sqs._HANDLERS[name] = of_url(sqs._HANDLERS[name], seen=True)

    def _patch_topics(self) -> None:
        from ministack.services import sns

        publish, batch = sns.publish_internal, sns._publish_batch

        def published(topic: str, *more: Any, **options: Any) -> Any:
            result = publish(topic, *more, **options)
            self._settle_topic(topic)
            return result

        def published_batch(params: Any, *more: Any) -> Any:
            result = batch(params, *more)
            self._settle_topic(sns._p(params, "TopicArn"))
            return result

        sns._prune_sns_dedup, sns.publish_internal = self._pruned("dedup_cache"), published
        sns._publish_batch = published_batch

    def _settle_topic(self, arn: str) -> None:
        from ministack.services import sns

        topic = sns._topic_by_arn_any_scope(arn)
        if topic is not None and sns._is_fifo_topic(topic):
            self._settle("sns", "_topics", (*arn.split(":")[4:2:-1], arn))

    def _pruned(self, name: str) -> Callable[[dict[str, Any]], None]:
        def pruned(resource: dict[str, Any]) -> None:
            """Forget what has expired; it is in the order of time."""
            now, sent = time.time(), resource.setdefault(name, {})
            for key in [*_until(sent, lambda each: each["expire"] > now)]:
                del sent[key]

        return pruned

    def _patch_lists(self) -> None:
        from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, kinesis

        append, bucket = cloudwatch_logs._append_log_events, cloudwatch._metric_bucket
        create = cloudwatch_logs._create_log_stream

        def growing(kind: str, put: Callable[..., Any]) -> Callable[..., Any]:
            def done(*request: Any) -> Any:
                result = put(*request)
                self._grows(kind)
                return result

            return done

        def appended(stream: dict[str, Any], events: Any) -> None:
            append(stream, events)
            with changing:
                self._lines[id(stream)] = stream
                self._told()

        def created(request: Any) -> Any:
            result = create(request)
            self._adopt_logs()
            return result

        def bucket_of(key: Any) -> Any:
            points = bucket(key)
            if points.told is None:
                points.told = functools.partial(self._count, (*cloudwatch._metrics._scoped(key),))
            return points

        cloudwatch_logs._append_log_events, cloudwatch._metric_bucket = appended, bucket_of
        cloudwatch_logs._create_log_stream = created
        for name in ("_put_record", "_put_records", "put_record_internal"):
            setattr(kinesis, name, growing(RECORDS, getattr(kinesis, name)))
        eventbridge._archive_event = growing(ARCHIVED, eventbridge._archive_event)
        eventbridge._events_log_list = list  # which nobody reads, and which grew for ever

    # --- containers ---

    def adopt(self) -> None:
        """Put containers that know their changes into resources that are new, and into those whose content is."""
        from ministack.services import s3, sns, sqs

        with changing:
            for key, queue in list(sqs._queues._data.items()):
                self._adopt_messages(queue, key)
                if queue["is_fifo"] and not isinstance(queue["dedup_cache"], KeptDict):
                    queue["dedup_cache"] = self._dict((SENT, "sqs", key), queue["dedup_cache"])
        for key, topic in list(sns._topics._data.items()):
            if sns._is_fifo_topic(topic) and not isinstance(topic.get("dedup_cache"), KeptDict):
                topic["dedup_cache"] = self._dict((SENT, "sns", key), topic.get("dedup_cache") or {})
        for key, bucket in list(s3._buckets._data.items()):
            if not isinstance(bucket["objects"], KeptDict):
                bucket["objects"] = self._dict((OBJECTS, key), bucket["objects"])
        self._adopt_logs()
        self._grown |= {RECORDS, CHANGED, ARCHIVED}

    def _adopt_logs(self) -> None:
        from ministack.services import cloudwatch_logs

        with changing:
            for key, group in list(cloudwatch_logs._log_groups._data.items()):
                if not isinstance(group["streams"], LogStreams):
                    known = functools.partial(self._know_log, key)
                    group["streams"] = LogStreams((LOGS, key), self._changed, group["streams"], known)
                    self._made(group["streams"])
                    self._settle("cloudwatch_logs", "_log_groups", key)

    def _know_log(self, key: Key, name: str, stream: dict[str, Any]) -> None:
        self._streams_of_logs[id(stream)] = (LINES, key, name)

    def _dict(self, place: Place, content: Any) -> KeptDict:
        made = KeptDict(place, self._changed, content)
        self._made(made)
        return made

    def _adopt_messages(self, queue: dict[str, Any], key: Key | None = None) -> None:
        messages = queue["messages"]
        if isinstance(messages, Messages):
            return
        known = self._queues.get(id(queue))
        if known is None and key is None:
            return  # a new queue, of which `adopt` learns
        made = Messages(known[1].place if known else (MESSAGES, key), self._changed, messages, known and known[1])
        queue["messages"] = made
        self._queues[id(queue)] = queue, made
        if known is None:
            self._made(made)

    # --- what has changed ---

    def changes(self) -> Iterator[Change]:
        """What has changed since the last time."""
        if not self._lines.keys() <= self._streams_of_logs.keys():
            self._adopt_logs()  # a function has made the group of its log
        new, self._new = self._new, []
        for container in new:
            self._containers.pop(id(container), None)
            yield from container.anew()
        containers, self._containers = self._containers, {}
        for container in containers.values():
            yield from container.changes()
        yield from self._changes_of_items()
        yield from self._changes_of_streams()
        yield from self._changes_of_logs()

    def _changes_of_items(self) -> Iterator[Change]:
        from ministack.services import dynamodb

        items, self._items = self._items, {}
        tables = dynamodb._tables._data
        for key, table in list(tables.items()):
            if self._tables.get(key) is not table["items"]:
                self._tables[key] = table["items"]
                yield Change((ITEMS, key), None, None)
                for partition_key, sorted_items in list(table["items"].items()):
                    for sort_key, item in list(sorted_items.items()):
                        yield Change((ITEMS, key), (partition_key, sort_key), written(item))
        for gone in self._tables.keys() - tables.keys():
            del self._tables[gone]
            yield Change((ITEMS, gone), None, None)
        for key, partition_key, sort_key in items:
            if (found := tables.get(key)) is not None:
                item = found["items"].get(partition_key, {}).get(sort_key)
                yield Change((ITEMS, key), (partition_key, sort_key), None if item is None else written(item))

    def _changes_of_streams(self) -> Iterator[Change]:
        from ministack.services import dynamodb, eventbridge, kinesis

        grown, self._grown = self._grown, set()
        for key, stream in list(kinesis._streams._data.items()) if RECORDS in grown else ():
            for shard, found in list(stream["shards"].items()):
                # A stream that was created again has shards with the same names.
                yield from self._tail((RECORDS, key, shard, found["starting_sequence_number"])).changes(
                    found["records"]
                )
        for key, records in list(dynamodb._stream_records._data.items()) if CHANGED in grown else ():
            yield from self._tail((CHANGED, key)).changes(records)
        for key, archive in list(eventbridge._archives._data.items()) if ARCHIVED in grown else ():
            yield from self._tail((ARCHIVED, key)).changes(archive.get("Events", []))
        waiting = getattr(getattr(sys.modules["ministack.services.firehose"], "_put_s3_object", None), "__self__", None)
        if waiting is not None:
            yield from self._tail((WAITING,)).changes(waiting.objects)

    def _changes_of_logs(self) -> Iterator[Change]:
        lines, self._lines = self._lines, {}
        for name, stream in lines.items():
            if (place := self._streams_of_logs.get(name)) is not None:
                yield from self._tail(place).changes(stream["events"])
        points, self._points = self._points, {}
        for key, changed in points.items():
            self._places.add((POINTS, key))
            for number, point in changed.items():
                yield Change((POINTS, key), number, None if point is None else written(point))

    def _tail(self, place: Place) -> Tail:
        if place not in self._tails:
            self._tails[place] = Tail(place)
            self._places.add(place)
        return self._tails[place]

    def gone(self) -> Iterator[Change]:
        """Remove what belongs to resources that are gone."""
        from ministack.services import cloudwatch, cloudwatch_logs, dynamodb, eventbridge, kinesis, s3, sns, sqs

        def has_log(place: Place) -> bool:
            return place[2] in (cloudwatch_logs._log_groups._data.get(place[1]) or {"streams": {}})["streams"]

        live: dict[str, Callable[[Place], bool]] = {
            RECORDS: lambda place: place[2] in (kinesis._streams._data.get(place[1]) or {"shards": {}})["shards"],
            CHANGED: lambda place: place[1] in dynamodb._stream_records._data,
            ARCHIVED: lambda place: place[1] in eventbridge._archives._data,
            MESSAGES: lambda place: place[1] in sqs._queues._data,
            SENT: lambda place: place[2] in (sqs._queues if place[1] == "sqs" else sns._topics)._data,
            OBJECTS: lambda place: place[1] in s3._buckets._data,
            LOGS: lambda place: place[1] in cloudwatch_logs._log_groups._data,
            LINES: has_log,
            POINTS: lambda place: place[1] in cloudwatch._metrics._data,
        }
        for place in [place for place in self._places if place[0] in live and not live[place[0]](place)]:
            self._places.discard(place)
            self._tails.pop(place, None)
            yield Change(place, None, None)
        self._streams_of_logs = {n: place for n, place in self._streams_of_logs.items() if has_log(place)}
        self._queues = {n: each for n, each in self._queues.items() if each[1].place in self._places}

    # --- what was kept ---

    def take(self, rows: list[Row]) -> None:
        """Take what was kept into resources, which have been taken before."""
        self.adopt()
        self._new.clear()
        for row in sorted(rows, key=lambda row: row.place[0] != LOGS):  # then their lines
            taker = _TAKERS.get(row.place[0])
            if taker is not None:
                taker(self, row)
        self._containers.clear()
        self._settle_after_taking()

    def _settle_after_taking(self) -> None:
        from ministack.services import cloudwatch_logs, dynamodb, eventbridge

        for key, table in dynamodb._tables._data.items():
            dynamodb._update_counts(table)
            self._tables[key] = table["items"]
        for archive in eventbridge._archives._data.values():
            archive["EventCount"] = len(archive.get("Events", []))
        for group in cloudwatch_logs._log_groups._data.values():
            for stream in group["streams"].values():
                if stream["events"]:
                    first, last = stream["events"][0], stream["events"][-1]
                    stream.update(firstEventTimestamp=first["timestamp"], lastEventTimestamp=last["timestamp"])
                    stream["lastIngestionTime"] = last["ingestionTime"]

    def _take_item(self, row: Row) -> None:
        from collections import defaultdict

        from ministack.services import dynamodb

        table = dynamodb._tables._data.get(row.place[1])
        if table is not None:
            if not isinstance(table["items"], defaultdict):
                table["items"] = defaultdict(dict, table["items"])
            partition_key, sort_key = row.key
            table["items"].setdefault(partition_key, PackedItems())[sort_key] = row.value

    def _take_into(self, row: Row, records: list[Any] | LongList | None) -> None:
        if records is not None:
            self._tail(row.place).kept_as(row.key, row.value, records)

    def _take_record(self, row: Row) -> None:
        from ministack.services import kinesis

        _, key, shard, starting = row.place
        found = (kinesis._streams._data.get(key) or {"shards": {}})["shards"].get(shard)
        if found is not None and found["starting_sequence_number"] == starting:
            self._take_into(row, lengthened(found, "records"))

    def _take_changed(self, row: Row) -> None:
        from ministack.services import dynamodb

        self._take_into(row, dynamodb._stream_records._data.setdefault(row.place[1], []))

    def _take_archived(self, row: Row) -> None:
        from ministack.services import eventbridge

        archive = eventbridge._archives._data.get(row.place[1])
        self._take_into(row, None if archive is None else lengthened(archive, "Events"))

    def _take_log(self, row: Row) -> None:
        from ministack.services import cloudwatch_logs

        group = cloudwatch_logs._log_groups._data.get(row.place[1])
        if group is not None:
            self._places.add(row.place)
            group["streams"].kept_as(row.key, row.value)

    def _take_line(self, row: Row) -> None:
        from ministack.services import cloudwatch_logs

        _, key, name = row.place
        stream = (cloudwatch_logs._log_groups._data.get(key) or {"streams": {}})["streams"].get(name)
        self._take_into(row, None if stream is None else lengthened(stream, "events"))

    def _take_point(self, row: Row) -> None:
        from ministack.services import cloudwatch

        points = cloudwatch._metrics._data.setdefault(row.place[1], Points())
        points.kept_as(row.key, row.value)
        points.told = functools.partial(self._count, row.place[1])
        self._places.add(row.place)

    def _take_message(self, row: Row) -> None:
        from ministack.services import sqs

        queue = sqs._queues._data.get(row.place[1])
        if queue is not None:
            self._places.add(row.place)
            queue["messages"].kept_as(row.key, row.value)

    def _take_sent(self, row: Row) -> None:
        from ministack.services import sns, sqs

        resource = (sqs._queues if row.place[1] == "sqs" else sns._topics)._data.get(row.place[2])
        if resource is not None and isinstance(resource.get("dedup_cache"), KeptDict):
            self._places.add(row.place)
            resource["dedup_cache"].kept_as(row.key, row.value)

    def _take_object(self, row: Row) -> None:
        from ministack.services import s3

        bucket = s3._buckets._data.get(row.place[1])
        if bucket is not None:
            self._places.add(row.place)
            bucket["objects"].kept_as(row.key, row.value)

    def _take_flat(self, row: Row) -> None:
        _, service, name = row.place
        store = getattr(sys.modules[service], name)
        kept: KeptDict = store if isinstance(store, KeptDict) else store._data
        kept.kept_as(row.key, row.value)

    def _take_waiting(self, row: Row) -> None:
        waiting = getattr(sys.modules["ministack.services.firehose"]._put_s3_object, "__self__", None)
        if waiting is not None:
            self._take_into(row, waiting.objects)
            waiting.wait()


_TAKERS: dict[str, Callable[[Moving, Row], None]] = {
    ITEMS: Moving._take_item,
    RECORDS: Moving._take_record,
    CHANGED: Moving._take_changed,
    ARCHIVED: Moving._take_archived,
    LOGS: Moving._take_log,
    LINES: Moving._take_line,
    POINTS: Moving._take_point,
    MESSAGES: Moving._take_message,
    SENT: Moving._take_sent,
    OBJECTS: Moving._take_object,
    FLAT: Moving._take_flat,
    WAITING: Moving._take_waiting,
}


def touch_object(bucket_key: Key, key: str, upload: str | None) -> None:
    """Say that a request may have changed an object, or what belongs to it."""
    from ministack.services import s3

    account, _ = bucket_key
    bucket = s3._buckets._data.get(bucket_key)
    if bucket is not None and isinstance(bucket["objects"], KeptDict) and key in bucket["objects"]:
        bucket["objects"].touch(key)
    for name in _OF_OBJECTS:
        store = getattr(s3, name)._data
        about = (account, upload) if "multipart" in name else (account, (bucket_key[1], key))
        if about in store:
            store.touch(about)


def _key_of_table(table: dict[str, Any]) -> Key:
    _, _, _, region, account, resource = table["TableArn"].split(":", 5)
    return account, region, resource.partition("/")[2]


def _until(content: dict[Any, Any], holds: Callable[[Any], bool]) -> Iterator[Any]:
    for key, value in content.items():
        if holds(value):
            return
        yield key
