"""job: works through a table page by page, over several invocations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, NotRequired

from stream_runtime import settings
from stream_runtime.clock import now_ms
from stream_runtime.engine.flow import Complete, GatherStep, Operator, Push, compose, extend
from stream_runtime.engine.operators import rx_filter
from stream_runtime.engine.records import R, UnitOfWork
from stream_runtime.engine.run import Run
from stream_runtime.errors import TransientError
from stream_runtime.faults import faulty
from stream_runtime.ids import derived_id, digest
from stream_runtime.options import emitted, with_options
from stream_runtime.payload import codec
from stream_runtime.payload.expressions import update_expression
from stream_runtime.queries.dynamodb import get_item, page_of
from stream_runtime.rules.callables import with_rule
from stream_runtime.rules.debug_lines import ended, started
from stream_runtime.rules.fields import (
    WITH_EMIT,
    BaseRule,
    CallFields,
    Count,
    Doc,
    EmitAfterwards,
    ExecuteFields,
    PublishFields,
    Request,
    Rule,
    TableName,
    Text,
    ToRequest,
    Values,
    flavor,
    holds_texts,
)
from stream_runtime.rules.filters import on_content, on_event_type
from stream_runtime.rules.steps import decrypted, to_request
from stream_runtime.sinks.dynamodb import update_dynamodb, write

from .task import execute

__all__ = ["JobRule", "JobUow", "job"]


CURSOR = "JOB"
"""Sort key and discriminator of a job's row."""

_KEPT_SERVED = 25
"""Events in ``served``, which a batch may bring again in other pieces; more if the batch has more."""

_MOST_SERVED = 1000
"""More would not fit into a row."""

_WORK = ("execute", "execute_operators", "to_update_request", "emit")
NEEDS = {
    **dict.fromkeys(WITH_EMIT, ("execute_operators", "emit")),  # execute_operators gets the whole rule
    **dict.fromkeys(CallFields.__annotations__, _WORK),
    "split_target_field": (),
}


class JobRule(BaseRule, PublishFields, ExecuteFields, total=False):
    """``filters`` apply to the units of work with an item."""

    to_scan_request: Annotated[ToRequest, Doc("makes the Scan request; `Limit` is the size of a page")]
    to_query_request: Annotated[ToRequest, Doc("makes the Query request; `Limit` is the size of a page")]
    pages: Annotated[Count, Doc("pages in one invocation", "`1`")]
    split_target_field: Annotated[Text, Doc("where an item is put in its unit of work", "`item`")]
    to_update_request: Annotated[ToRequest, Doc("makes the UpdateItem request of an item")]
    key_names: Annotated[
        Sequence[str],
        Values("a list of strings", list, tuple, check=holds_texts),
        Doc("the item's key; ids of events are derived from it", '`("pk", "sk")`'),
    ]
    to_cursor_key: Annotated[
        ToRequest, Doc("makes the key of the row with the cursor", '`{"pk": <rule id>, "sk": "JOB"}`')
    ]
    cursor_table_name: Annotated[Text, Doc("the table of the row with the cursor", "the rule's table")]
    emit: EmitAfterwards
    table_name: TableName


class JobUow(UnitOfWork[R]):
    """``item`` is one item of a page."""

    item: Mapping[str, Any]
    result: Any
    update_request: NotRequired[Request]
    update_response: NotRequired[Mapping[str, Any]]
    emit: NotRequired[Mapping[str, Any]]
    publish_response: NotRequired[Mapping[str, Any]]


SCANS = (lambda rule: bool(rule.get("to_scan_request")), "beside 'to_scan_request'")


@flavor(
    JobRule,
    one_of=("to_scan_request", "to_query_request"),
    needs=NEEDS,
    excludes={"to_query_request": SCANS},
    holds_batch=True,
)
def job(rule: Rule) -> Operator:
    """For each event read the next pages of a table, do the rule's work for each item, and save the cursor.

    The cursor is in a row, ``{"discriminator": "JOB", "cursor", "event_id", "served", "timestamp"}``, which is written
    when the work for the pages is done. After the last page it has no cursor, and the next event starts from the
    beginning. A schedule triggers the next pages, or the stream of the table: with the event type ``JOB-updated``,
    too, the job continues until its row has no cursor.

    An event that comes again, alone or with its batch, reads the same pages, and what is derived from it has the same
    ids: ``served`` has, for each of the last events, the cursor at which it began. The work for an item must allow for
    being done twice.
    """
    positions: dict[str, Position] = {}
    return compose(
        rx_filter(on_event_type(rule)),
        rx_filter(is_due(rule)),
        started(rule),
        decrypted(rule),
        extend(GatherStep(read_pages(rule, positions))),
        rx_filter(on_content(rule)),
        execute(rule),
        to_request(rule, "to_update_request", "update_request"),
        with_options(update_dynamodb, rule) if rule.get("to_update_request") else None,
        emitted(rule, to_template),
        extend(SaveCursors(rule, positions)),
        ended(rule),
    )


class Chunk(NamedTuple):
    """The pages that were read for one event: where they begin and end, and whether the event had come before."""

    uow: Any
    start: Any
    end: Any
    came_again: bool


class Position:
    """Where a job is, in a batch: its cursor, and the pages that were read for each event."""

    def __init__(self, key: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        self.key = key
        self.seen_event_id = row.get("event_id")
        self.cursor = row.get("cursor")
        self.starts = {served["event_id"]: served.get("cursor") for served in row.get("served") or ()}
        self.chunks: list[Chunk] = []

    def advance(self, uow: Any, read: Callable[[Any], tuple[list[Any], Any]]) -> list[Any]:
        """The items after the cursor, or those that the event got when it came first.

        Args:
            uow: the event's unit of work.
            read: reads the pages at a cursor; returns their items and the next cursor.
        """
        event_id = uow["event"]["id"]
        came_again = event_id in self.starts
        start = self.starts[event_id] if came_again else self.cursor
        items, end = read(start)
        if not came_again:
            self.starts[event_id] = start
            self.cursor = end
        self.chunks.append(Chunk(uow, start, end, came_again))
        return items


def is_due(rule: Rule) -> Callable[[Any], bool]:
    """The predicate that drops changes of job rows, except for this job's row while it has a cursor."""

    def due(uow: Any) -> bool:
        if "dynamodb" not in uow["record"]:
            return True
        row = (uow["event"].get("raw") or {}).get("new") or {}
        if row.get("discriminator") != CURSOR:
            return True
        own = cursor_key(rule, uow)
        return bool(row.get("cursor")) and all(row.get(name) == value for name, value in own.items())

    return faulty(due)


def cursor_key(rule: Rule, uow: Any) -> Mapping[str, Any]:
    """The key of the row with the cursor."""
    if rule.get("to_cursor_key"):
        key: Mapping[str, Any] = with_rule(rule["to_cursor_key"], rule)(uow)
        return key
    return {"pk": rule["id"], "sk": CURSOR}


def read_pages(rule: Rule, positions: dict[str, Position]) -> Callable[[Run, Sequence[Any]], Iterable[Any]]:
    """A function that reads, for each event, the next pages: one unit of work for each item."""
    operation = "scan" if rule.get("to_scan_request") else "query"
    to_page_request = with_rule(rule.get("to_scan_request") or rule["to_query_request"], rule)
    target = rule.get("split_target_field") or "item"
    table = rule.get("table_name") or settings.table_name()

    def position_of(uow: Any) -> Position:
        key = cursor_key(rule, uow)
        name = codec.canonical(key)
        if name not in positions:
            positions[name] = Position(key, get_item(rule.get("cursor_table_name") or table, key) or {})
        return positions[name]

    def items_of(uow: Any) -> list[Any]:
        request = {"TableName": table, **to_page_request(uow)}

        def read(cursor: Any) -> tuple[list[Any], Any]:
            items: list[Any] = []
            for _ in range(rule.get("pages") or 1):
                page, cursor = page_of(operation, request, cursor)
                items += page
                if not cursor:
                    break
            return items, cursor

        found = position_of(uow).advance(uow, read)
        ids = [item_id(rule, item) for item in found]
        return [
            {**uow, target: item, "job_item_id": id_, "split_path": (id_,)}
            for item, id_ in zip(found, ids, strict=True)
        ]

    def work(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        for uow in uows:
            if not run.may_start(uow):
                continue
            try:
                units = items_of(uow)
            except Exception as error:
                run.fail(error, uow)
                continue
            yield from units

    return work


def item_id(rule: Rule, item: Mapping[str, Any]) -> str:
    """The identity of an item: a digest of its key."""
    return digest(str([item.get(name) for name in rule.get("key_names") or ("pk", "sk")]))[:32]


def to_template(rule: Rule, uow: Any) -> dict[str, Any]:
    """``{"id", "type": None, "timestamp" (ms), "partition_key"}`` of an event for an item."""
    return {
        "id": derived_id(uow["event"]["id"], rule["id"], uow["job_item_id"]),
        "type": None,
        "timestamp": now_ms(),
        "partition_key": str(uow[rule.get("split_target_field") or "item"].get("pk", uow["job_item_id"])),
    }


class SaveCursors:
    """The step that saves the cursors when the steps before it have completed, up to the first event left for retry."""

    waits = needs_whole_batch = True

    def __init__(self, rule: Rule, positions: dict[str, Position]) -> None:
        self.rule = rule
        self.positions = positions

    def compile(self, run: Run, push: Push, complete: Complete) -> tuple[Push, Complete]:
        """Pass everything on; save when the batch is complete."""

        def save_complete() -> None:
            for position in self.positions.values():
                chunks = list(_finished(run, position.chunks))
                if all(chunk.came_again for chunk in chunks):
                    continue
                try:
                    save(run, self.rule, position, chunks)
                except Exception as error:
                    run.fail(error, [chunk.uow for chunk in chunks])
            complete()

        return push, save_complete


def _finished(run: Run, chunks: Sequence[Chunk]) -> Iterable[Chunk]:
    """The chunks before the first that is left for retry; the others are left, too, and read the same pages again."""
    is_left = False
    for chunk in chunks:
        if is_left:
            run.leave(chunk.uow, TransientError("an earlier event of this job is left for retry"))
        elif run.may_start(chunk.uow):
            yield chunk
        else:
            is_left = True


def save(run: Run, rule: Rule, position: Position, chunks: Sequence[Chunk]) -> None:
    """Write a cursor, unless another invocation has written it since it was read."""
    last = [chunk for chunk in chunks if not chunk.came_again][-1]
    left = {chunk.uow["event"]["id"] for chunk in position.chunks[len(chunks) :] if not chunk.came_again}
    served = [(id_, start) for id_, start in position.starts.items() if id_ not in left]
    most = max(_KEPT_SERVED, min(len(chunks), _MOST_SERVED))
    change = update_expression(
        {
            "discriminator": CURSOR,
            "timestamp": now_ms(),
            "event_id": last.uow["event"]["id"],
            "served": [{"event_id": id_, **({"cursor": start} if start else {})} for id_, start in served[-most:]],
            "cursor": last.end,
        }
    )
    unmoved = "attribute_not_exists(#event_id)"
    values = change["ExpressionAttributeValues"]
    if position.seen_event_id is not None:
        unmoved = "#event_id = :seen_event_id"
        values = {**values, ":seen_event_id": position.seen_event_id}
    write(
        run,
        "update_item",
        rule.get("cursor_table_name") or rule.get("table_name") or settings.table_name(),
        {"Key": position.key, **change, "ExpressionAttributeValues": values, "ConditionExpression": unmoved},
    )
