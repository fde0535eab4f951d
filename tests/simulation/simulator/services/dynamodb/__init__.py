"""DynamoDB: tables with indexes that lag, streams, TTL and transactions.

Operations are those of the DynamoDB API reference; what a request may not say has AWS's codes and messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from refusals import Refusal

from simulator.chance import fraction
from simulator.constraints import broken, check_length
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.dynamodb.expressions import Expressions, KeyCondition, Test, Values
from simulator.services.dynamodb.streams import TTL, Page, Shard, Stream
from simulator.services.dynamodb.tables import (
    Index,
    IndexDescription,
    Key,
    Partition,
    Row,
    Table,
    TableDescription,
    place_in_scan,
)
from simulator.services.dynamodb.values import INVALID, Item, invalid, kept_item, number, plain, size_of

__all__ = ["DynamoDB", "IndexDescription", "Page", "Shard", "Stream", "TableDescription"]

Request = Mapping[str, Any]
Response = dict[str, Any]

LARGEST_ITEM = 400 * 1024
PAGE = 1024 * 1024
BATCH_BYTES = 16 * 1024 * 1024
TRANSACTION_BYTES = 4 * 1024 * 1024
"""Developer guide, "Quotas in Amazon DynamoDB"; API reference, "Query", "BatchGetItem" and "TransactWriteItems"."""
TOKEN_US = 10 * 60 * MICROSECONDS
"""How long a ClientRequestToken is known (API reference, "TransactWriteItems")."""
SOONEST_REMOVAL_US, LATEST_REMOVAL_US = 60 * MICROSECONDS, 3 * 24 * 3600 * MICROSECONDS
"""How long after its expiry TTL removes an item: within a few days (developer guide, "Using time to live")."""
TOO_OLD_US = 5 * 365 * 24 * 3600 * MICROSECONDS
"""An expiry that is longer ago removes nothing ("Using time to live")."""

_MISMATCH = "The provided key element does not match the schema"
_TOO_LARGE = "Item size to update has exceeded the maximum allowed size"
_CONDITION_FAILED = "The conditional request failed"
_NOT_LISTED = "Member must satisfy enum value set"
_EXPRESSION = ("ExpressionAttributeNames", "ExpressionAttributeValues")
_CONDITIONAL = ("TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure", *_EXPRESSION)
_ACTIONS = {
    "Put": frozenset({*_CONDITIONAL, "Item"}),
    "Update": frozenset({*_CONDITIONAL, "Key", "UpdateExpression"}),
    "Delete": frozenset({*_CONDITIONAL, "Key"}),
    "ConditionCheck": frozenset({*_CONDITIONAL, "Key"}),
}
_REQUIRED = {
    "Put": ("Item",),
    "Delete": ("Key",),
    "Update": ("Key", "UpdateExpression"),
    "ConditionCheck": ("Key", "ConditionExpression"),
}
_READ = ("ConsistentRead", "ExpressionAttributeNames", "ProjectionExpression")
_PAGED = (
    *_READ,
    *("TableName", "IndexName", "ExclusiveStartKey", "Limit", "FilterExpression", "ExpressionAttributeValues"),
)
_PARAMETERS = {
    "GetItem": frozenset({*_READ, "TableName", "Key"}),
    "PutItem": _ACTIONS["Put"] | {"ReturnValues"},
    "UpdateItem": _ACTIONS["Update"] | {"ReturnValues"},
    "DeleteItem": _ACTIONS["Delete"] | {"ReturnValues"},
    "Query": frozenset({*_PAGED, "KeyConditionExpression", "ScanIndexForward"}),
    "Scan": frozenset(_PAGED),
    "BatchGetItem": frozenset({"RequestItems"}),
    "BatchWriteItem": frozenset({"RequestItems"}),
    "TransactGetItems": frozenset({"TransactItems"}),
    "TransactWriteItems": frozenset({"TransactItems", "ClientRequestToken"}),
}
_first = itemgetter(0)


class _Write(NamedTuple):
    """What an action of a transaction will do.

    Attributes:
        condition: what must hold, and the values of the request.
        wants_item: whether the answer shows the item if the condition does not hold.
        row: the row to put, None to remove it; `keep` for a check alone.
        problem: why the update does not fit the item.
    """

    table: Table
    key: Key
    condition: Test | None
    values: Values
    wants_item: bool
    row: Row | None = None
    keep: bool = False
    problem: str | None = None


class DynamoDB:
    """The tables of an account, and the operations on their items.

    Args:
        seed: decides how late indexes, reads and removals by TTL are, and the shards of streams.
        tables: what tables there are.

    Attributes:
        kernel: its time.
        streams: those of the tables that have one, by their ARNs.
    """

    def __init__(self, kernel: Kernel, seed: int, tables: Iterable[TableDescription]) -> None:
        self.kernel = kernel
        self._seed = seed
        self._tables: dict[str, Table] = {}
        self.streams: dict[str, Stream] = {}
        self._tokens: dict[str, tuple[int, Any]] = {}
        self._removals: dict[tuple[str, Key], int] = {}
        for description in tables:
            stream = None
            if description.stream_arn is not None:
                stream = Stream(kernel, seed, description.stream_arn, description.view or "", description.region)
                self.streams[description.stream_arn] = stream
            self._tables[description.name] = Table(seed, description, stream)

    def items(self, table_name: str) -> list[Item]:
        """What is in a table now, in the order of its keys."""
        partitions = self._tables[table_name].rows.partitions
        return [partitions[each].rows[sort].item for each in sorted(partitions) for sort in partitions[each].order]

    # --- one item ---

    def GetItem(self, request: Request) -> Response:
        table = self._opened("GetItem", request)
        expressions, _ = table.reader().read(request)
        key, _ = _key(table, request["Key"])
        row = self._partition(table, request, key.partition).rows.get(key.sort)
        if row is None:
            return {}
        return {"Item": row.item if expressions.projection is None else expressions.projection(row.item)}

    def PutItem(self, request: Request) -> Response:
        table = self._opened("PutItem", request)
        expressions, values = table.reader().read(request, single_write=True)
        _check_return_values(request, ("NONE", "ALL_OLD"))
        key, row = _item(table, request["Item"])
        old = table.rows.get(key)
        _require(expressions.condition, values, old, request)
        self._write(table, key, row)
        return _all_old(request, old)

    def DeleteItem(self, request: Request) -> Response:
        table = self._opened("DeleteItem", request)
        expressions, values = table.reader().read(request, single_write=True)
        _check_return_values(request, ("NONE", "ALL_OLD"))
        key, _ = _key(table, request["Key"])
        old = table.rows.get(key)
        _require(expressions.condition, values, old, request)
        self._write(table, key, None)
        return _all_old(request, old)

    def UpdateItem(self, request: Request) -> Response:
        """Change an item, or make it; an update that only takes away makes none."""
        table = self._opened("UpdateItem", request)
        expressions, values = table.reader().read(request, single_write=True)
        wanted = _check_return_values(request, ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))
        key, given = _key(table, request["Key"])
        problem = _changed_key(table, expressions)
        if problem:
            raise invalid(problem)
        old = table.rows.get(key)
        _require(expressions.condition, values, old, request)
        new = _updated(table, given, old, expressions, values)
        if new is not None:
            if expressions.update is not None:
                _check_index_keys(table, new.item, expressions.update.touched, is_update=True)
            if new.size > LARGEST_ITEM:
                raise invalid(_TOO_LARGE)
            self._write(table, key, new)
        shown = old if wanted in ("ALL_OLD", "UPDATED_OLD") else new
        if shown is None or wanted == "NONE":
            return {}
        attributes = shown.item
        if wanted in ("UPDATED_OLD", "UPDATED_NEW"):
            attributes = {} if expressions.update is None else expressions.update.updated(attributes)
        return {"Attributes": attributes} if attributes else {}

    # --- pages ---

    def Query(self, request: Request) -> Response:
        table = self._opened("Query", request)
        index = _index(table, request)
        if "KeyConditionExpression" not in request:
            raise invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
            )
        expressions, values = table.reader(request.get("IndexName")).read(request)
        condition = expressions.key_condition
        assert condition is not None
        names = table.key_names if index is None else index.description.key
        partition, operands = _wanted(condition, values, names)
        there = self._partition(table, request, partition)
        low, high = _range(there.order, condition.operator, operands)
        forward = request.get("ScanIndexForward", True)
        start = _start(table, index, request)
        if start is not None:
            if start.partition != partition:
                raise invalid("The provided starting key is outside query boundaries based on provided conditions")
            if _range([start.sort], condition.operator, operands) != (0, 1):
                raise invalid("The provided starting key does not match the range key predicate")
            if forward:
                low = max(low, bisect_right(there.order, start.sort))
            else:
                high = min(high, bisect_left(there.order, start.sort))
        order = there.order[low:high]
        rows = there.rows
        return _page(
            request,
            (rows[sort] for sort in (order if forward else reversed(order))),
            (expressions, values),
            table.key_names if index is None else index.key_names,
        )

    def Scan(self, request: Request) -> Response:
        """All items, in an order that means nothing."""
        table = self._opened("Scan", request)
        index = _index(table, request)
        expressions, values = table.reader(request.get("IndexName")).read(request)
        start = _start(table, index, request)
        names = table.key_names if index is None else index.key_names
        return _page(request, self._scanned(table, index, request, start), (expressions, values), names)

    def _scanned(self, table: Table, index: Index | None, request: Request, start: Key | None) -> Iterator[Row]:
        if index is not None:
            index.settle(self.kernel.now_us)
        rows = table.rows if index is None else index.rows
        first = None if start is None else (place_in_scan(start.partition), str(start.partition))
        for value in rows.in_scanned_order():
            place = (place_in_scan(value), str(value))
            if first is not None and place < first:
                continue
            there = self._partition(table, request, value)
            begin = bisect_right(there.order, start.sort) if start is not None and place == first else 0
            for sort in there.order[begin:]:
                yield there.rows[sort]

    def _partition(self, table: Table, request: Request, value: Any) -> Partition:
        """A partition of a table or of one of its indexes, as a request sees it."""
        now_us = self.kernel.now_us
        name = request.get("IndexName")
        if name is None:
            return table.rows.partition(value, now_us, consistent=bool(request.get("ConsistentRead")))
        index = table.indexes[name]
        index.settle(now_us)
        return index.rows.partition(value, now_us, consistent=False)

    # --- batches ---

    def BatchGetItem(self, request: Request, left: frozenset[int] = frozenset()) -> Response:
        """Items by their keys, in an order that means nothing; those beyond 16 MB are left."""
        _check_parameters("BatchGetItem", request)
        asked = request["RequestItems"]
        if not asked or any(not each.get("Keys") for each in asked.values()):
            raise broken("RequestItems", "Member must have length greater than or equal to 1")
        if sum(len(each["Keys"]) for each in asked.values()) > 100:
            raise invalid("Too many items requested for the BatchGetItem call")
        responses: dict[str, list[Item]] = {}
        unprocessed: dict[str, Any] = {}
        place = size = 0
        for name, each in asked.items():
            table = self._table(name)
            expressions, _ = table.reader().read(each)
            keys = [_key(table, key)[0] for key in each["Keys"]]
            if len(set(keys)) != len(keys):
                raise invalid("Provided list of item keys contains duplicates")
            found = []
            for key, given in zip(keys, each["Keys"], strict=True):
                row = self._partition(table, each, key.partition).rows.get(key.sort)
                size += 0 if row is None else row.size
                if place in left or size > BATCH_BYTES:
                    unprocessed.setdefault(name, {**each, "Keys": []})["Keys"].append(given)
                elif row is not None:
                    item = row.item if expressions.projection is None else expressions.projection(row.item)
                    found.append((fraction(f"{self._seed}/{key}"), item))
                place += 1
            responses[name] = [item for _, item in sorted(found, key=_first)]
        return {"Responses": responses, "UnprocessedKeys": unprocessed}

    def BatchWriteItem(self, request: Request, left: frozenset[int] = frozenset()) -> Response:
        """Put and delete items; each is written or not for itself."""
        _check_parameters("BatchWriteItem", request)
        asked = request["RequestItems"]
        if not asked or not all(asked.values()):
            raise broken("RequestItems", "Member must have length greater than or equal to 1")
        if sum(map(len, asked.values())) > 25:
            raise invalid(
                f"1 validation error detected: Value '{asked}' at 'requestItems' failed to satisfy constraint: Map "
                "value must satisfy constraint: [Member must have length less than or equal to 25, Member must have "
                "length greater than or equal to 1]"
            )
        writes: list[tuple[Table, Key, Row | None, Mapping[str, Any]]] = []
        for name, entries in asked.items():
            table = self._table(name)
            for entry in entries:
                if len(entry) != 1:
                    raise invalid(
                        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the "
                        "supported datatypes"
                    )
                row: Row | None = None
                if "PutRequest" in entry:
                    key, row = _item(table, entry["PutRequest"]["Item"])
                else:
                    key, _ = _key(table, entry["DeleteRequest"]["Key"])
                writes.append((table, key, row, entry))
        if len({(table.name, key) for table, key, _, _ in writes}) != len(writes):
            raise invalid("Provided list of item keys contains duplicates")
        if sum(row.size for _, _, row, _ in writes if row is not None) > BATCH_BYTES:
            raise invalid("Item size has exceeded the maximum allowed size of 16 MB for the request")
        unprocessed: dict[str, list[Any]] = {}
        for place, (table, key, row, entry) in enumerate(writes):
            if place in left:
                unprocessed.setdefault(table.name, []).append(entry)
            else:
                self._write(table, key, row)
        return {"UnprocessedItems": unprocessed}

    # --- transactions ---

    def TransactGetItems(self, request: Request) -> Response:
        _check_parameters("TransactGetItems", request)
        answers: list[Response] = []
        for member in _members(request):
            get = member["Get"]
            table = self._table(get["TableName"])
            expressions, _ = table.reader().read(get)
            row = table.rows.get(_key(table, get["Key"])[0])
            item = None if row is None else row.item
            if item is not None and expressions.projection is not None:
                item = expressions.projection(item)
            answers.append({"Item": item} if item else {})
        return {"Responses": answers}

    def TransactWriteItems(self, request: Request) -> Response:
        """All of these writes, or none.

        The same request with the same token does nothing for ten minutes after it has succeeded.
        """
        _check_parameters("TransactWriteItems", request)
        members = _members(request)
        for number_of, member in enumerate(members, 1):
            _check_action(number_of, member)
        actions = [next(iter(member.items())) for member in members]
        read = [self._table(action["TableName"]).reader().read(action) for _, action in actions]
        token = request.get("ClientRequestToken")
        if token is not None and self._made_before(token, members):
            return {}
        writes, problems = self._planned(actions, read)
        if len({(write.table.name, write.key) for write in writes}) != len(writes):
            raise invalid("Transaction request cannot include multiple operations on one item")
        if sum(write.row.size for write in writes if write.row is not None) > TRANSACTION_BYTES:
            raise invalid("Collection size of the items in the transaction request has exceeded the limit of 4 MB")
        reasons = problems if any(problems) else [_reason(write) for write in writes]
        if any(reasons):
            raise _cancelled(reasons)
        for write in writes:
            if not write.keep:
                self._write(write.table, write.key, write.row)
        if token is not None:
            self._tokens[token] = (self.kernel.now_us, members)
        return {}

    def _made_before(self, token: str, members: Any) -> bool:
        """Whether this request has been made with this token.

        Raises:
            Refusal: another one has.
        """
        made_us, made = self._tokens.get(token, (-TOKEN_US, None))
        if made_us + TOKEN_US <= self.kernel.now_us:
            return False
        if made != members:
            raise Refusal(
                400,
                "IdempotentParameterMismatchException",
                "Request token already in use for another request with a different payload",
            )
        return True

    def _planned(
        self, actions: Sequence[tuple[str, Any]], read: Sequence[tuple[Expressions, Values]]
    ) -> tuple[list[_Write], list[Response | None]]:
        """What the actions will do, and for each why it cannot be done to any item."""
        writes: list[_Write] = []
        problems: list[Response | None] = []
        for (kind, action), (expressions, values) in zip(actions, read, strict=True):
            table = self._table(action["TableName"])
            problem = _key_problem(table, kind, action) or _changed_key(table, expressions)
            if problem:
                problems.append(_validation_error(problem))
                continue
            if kind == "Put":
                _check_key_values(table, action["Item"])
                key, row = table.place(action["Item"]), None
                problem = _index_mismatch(table, action["Item"], action["Item"])
                if problem is None:
                    key, row = _item(table, action["Item"])
                write = _Write(table, key, expressions.condition, values, _wants_item(action), row)
            else:
                key, given = _key(table, action["Key"])
                write = _Write(table, key, expressions.condition, values, _wants_item(action))
                if kind == "ConditionCheck":
                    write = write._replace(keep=True)
                if kind == "Update":
                    write, problem = _planned_update(write, given, expressions)
            problems.append(_validation_error(problem) if problem else None)
            writes.append(write)
        return writes, problems

    # --- what is behind the operations ---

    def _opened(self, operation: str, request: Request) -> Table:
        _check_parameters(operation, request)
        return self._table(request["TableName"])

    def _table(self, name: str) -> Table:
        found = self._tables.get(name)
        if found is None:
            raise Refusal(400, "ResourceNotFoundException", "Requested resource not found")
        return found

    def _write(self, table: Table, key: Key, row: Row | None) -> None:
        table.write(self.kernel.now_us, key, row)
        if table.description.ttl is not None and row is not None:
            self._plan_removal(table, key, row)

    def _plan_removal(self, table: Table, key: Key, row: Row) -> None:
        """See to it that TTL removes an item some time after it has expired; minutes to days, by chance."""
        expires_us = _expiry_us(table, row)
        if expires_us is None or expires_us < self.kernel.now_us - TOO_OLD_US:
            return
        planned = self._removals.get((table.name, key))
        if planned is not None and planned <= expires_us + SOONEST_REMOVAL_US:
            return
        chance = fraction(f"{self._seed}/ttl/{table.name}/{key}/{expires_us}")
        late_us = int(SOONEST_REMOVAL_US * (LATEST_REMOVAL_US / SOONEST_REMOVAL_US) ** chance)
        due_us = max(expires_us, self.kernel.now_us) + late_us
        if planned is None or planned > due_us:
            self._removals[table.name, key] = due_us
            self.kernel.at(due_us - self.kernel.now_us, lambda: self._remove_expired(table, key, due_us))

    def _remove_expired(self, table: Table, key: Key, due_us: int) -> None:
        if self._removals.get((table.name, key)) != due_us:
            return
        del self._removals[table.name, key]
        row = table.rows.get(key)
        expires_us = None if row is None else _expiry_us(table, row)
        if row is None or expires_us is None:
            return
        if expires_us > self.kernel.now_us:
            self._plan_removal(table, key, row)
        elif expires_us >= self.kernel.now_us - TOO_OLD_US:
            table.write(self.kernel.now_us, key, None, TTL)


def _expiry_us(table: Table, row: Row) -> int | None:
    """When an item expires; None if it has no number for it."""
    attribute = row.item.get(table.description.ttl or "")
    if attribute is None or "N" not in attribute:
        return None
    return int(number(attribute["N"]).value) * MICROSECONDS


# --- what requests say ---


def _check_parameters(operation: str, request: Request) -> None:
    if not request.keys() <= _PARAMETERS[operation]:
        unknown = sorted(request.keys() - _PARAMETERS[operation])
        raise TypeError(f"{', '.join(unknown)} of {operation} is not simulated")


def _check_return_values(request: Request, allowed: Sequence[str]) -> str:
    wanted: str = request.get("ReturnValues", "NONE")
    if wanted not in allowed:
        if len(allowed) == 2:
            raise invalid("ReturnValues can only be ALL_OLD or NONE")
        raise broken("returnValues", _NOT_LISTED, wanted)
    _wants_item(request)
    return wanted


def _wants_item(request: Request) -> bool:
    """Whether the answer shows the item if the condition does not hold."""
    wanted = request.get("ReturnValuesOnConditionCheckFailure", "NONE")
    if wanted not in ("NONE", "ALL_OLD"):
        raise broken("returnValuesOnConditionCheckFailure", _NOT_LISTED, wanted)
    return bool(wanted == "ALL_OLD")


def _key(table: Table, given: Any) -> tuple[Key, Item]:
    """Where the item of a key is, and the key as it is kept."""
    types = table.key_types
    if given.keys() != types.keys() or any(len(each) != 1 or types[name] not in each for name, each in given.items()):
        raise invalid(_MISMATCH)
    item, _ = kept_item(given)
    _check_key_values(table, item)
    return table.place(item), item


def _check_key_values(table: Table, item: Item) -> None:
    """Key attributes have a value, of at most 2,048 bytes, or 1,024 of a sort key."""
    for name, kind in table.key_types.items():
        value = item[name][kind]
        if not value:
            raise invalid(
                f"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
                f"empty {'string' if kind == 'S' else 'binary'} value. Key: {name}"
            )
        of_partition = name == table.key_names[0]
        most = 2048 if of_partition else 1024
        if kind != "N" and len(value) > most // 4 and size_of(item[name]) > most:
            raise invalid(
                f"{INVALID}Aggregated size of all {'hash' if of_partition else 'range'} keys has exceeded the size "
                f"limit of {most} bytes"
            )


def _item(table: Table, given: Any) -> tuple[Key, Row]:
    """Where an item will be, and its row."""
    for name, kind in table.key_types.items():
        if name not in given:
            raise invalid(f"{INVALID}Missing the key {name} in the item")
        if kind not in given[name]:
            raise invalid(_key_mismatch(name, kind, given[name]))
    item, size = kept_item(given)
    _check_key_values(table, item)
    _check_index_keys(table, item, item, is_update=False)
    if size > LARGEST_ITEM:
        raise invalid("Item size has exceeded the maximum allowed size")
    return table.place(item), Row(item, size)


def _key_mismatch(name: str, kind: str, value: Any) -> str:
    return f"{INVALID}Type mismatch for key {name} expected: {kind} actual: {next(iter(value), None)}"


def _index_mismatch(table: Table, item: Item, about: Iterable[str]) -> str | None:
    """Why what is a key of an index cannot be it; None if it can."""
    for index in table.indexes.values():
        for name in index.description.key:
            value = item.get(name) if name in about else None
            kind = table.description.types[name]
            if value is not None and kind not in value:
                return (
                    f"{INVALID}Type mismatch for Index Key {name} Expected: {kind} Actual: {next(iter(value), None)} "
                    f"IndexName: {index.description.name}"
                )
    return None


def _check_index_keys(table: Table, item: Item, about: Iterable[str], *, is_update: bool) -> None:
    """What is a key of an index has that key's type and a value."""
    mismatch = _index_mismatch(table, item, about)
    if mismatch is not None:
        raise invalid(mismatch)
    for index in table.indexes.values():
        for name in index.description.key:
            kind = table.description.types[name]
            if name not in about or name not in item or item[name][kind]:
                continue
            what = f"cannot contain an empty {'string' if kind == 'S' else 'binary'} value."
            if is_update:
                raise invalid(
                    "One or more parameter values are not valid. The update expression attempted to update a secondary "
                    f"index key to a value that is not supported. The AttributeValue for a key attribute {what}"
                )
            raise invalid(
                "One or more parameter values are not valid. A value specified for a secondary index key is not "
                f"supported. The AttributeValue for a key attribute {what} IndexName: {index.description.name}, "
                f"IndexKey: {name}"
            )


def _changed_key(table: Table, expressions: Expressions) -> str | None:
    """Why an update that is about a key attribute is refused; None if it is about others, or there is none."""
    for name in table.key_names:
        if expressions.update is not None and name in expressions.update.touched:
            return f"{INVALID}Cannot update attribute {name}. This attribute is part of the key"
    return None


def _updated(table: Table, key: Item, old: Row | None, expressions: Expressions, values: Values) -> Row | None:
    """The row after an update; None if there is none, because the update only takes away."""
    update = expressions.update
    if old is None and update is not None and not update.creates:
        update.apply(key, values)
        return None
    before = key if old is None else old.item
    size = sum(len(name.encode()) + size_of(value) for name, value in key.items()) if old is None else old.size
    if update is None:
        return Row(before, size)
    item = update.apply(before, values)
    for name in update.touched:
        was, is_now = before.get(name), item.get(name)
        if is_now is not None:
            size += size_of(is_now) + len(name.encode())
        if was is not None:
            size -= size_of(was) + len(name.encode())
    return Row(item, size)


def _require(condition: Test | None, values: Values, row: Row | None, request: Request) -> None:
    """Refuse a write whose condition does not hold."""
    if condition is None or condition({} if row is None else row.item, values):
        return
    more = {"Item": row.item} if row is not None and _wants_item(request) else {}
    raise Refusal(400, "ConditionalCheckFailedException", _CONDITION_FAILED, **more)


def _all_old(request: Request, old: Row | None) -> Response:
    return {"Attributes": old.item} if old is not None and request.get("ReturnValues") == "ALL_OLD" else {}


# --- queries and scans ---


def _index(table: Table, request: Request) -> Index | None:
    name = request.get("IndexName")
    if name is None:
        return None
    if name not in table.indexes:
        raise invalid(f"The table does not have the specified index: {name}")
    if request.get("ConsistentRead"):
        raise invalid("Consistent reads are not supported on global secondary indexes")
    return table.indexes[name]


def _wanted(condition: KeyCondition, values: Values, names: Sequence[str]) -> tuple[Any, list[Any]]:
    """The partition that a query reads, and what its sort keys are compared with."""
    for name, placeholders in ((names[0], (condition.partition,)), (names[-1], condition.operands)):
        for placeholder in placeholders:
            ((kind, value),) = values[placeholder].items()
            if not value:
                raise invalid(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
                    f"an empty {'string' if kind == 'S' else 'binary'} value. Key: {name}"
                )
    return plain(values[condition.partition]), [plain(values[each]) for each in condition.operands]


def _range(order: Sequence[tuple[Any, ...]], operator: str | None, operands: Sequence[Any]) -> tuple[int, int]:
    """From where to where the sort keys are that compare so."""
    low, high = 0, len(order)
    if operator is None:
        return low, high
    first, last = operands[0], operands[-1]
    if operator in ("=", ">=", "BETWEEN", "begins_with"):
        low = bisect_left(order, first, key=_first)
    elif operator == ">":
        low = bisect_right(order, first, key=_first)
    if operator in ("=", "<=", "BETWEEN"):
        high = bisect_right(order, last, key=_first)
    elif operator == "<":
        high = bisect_left(order, last, key=_first)
    elif operator == "begins_with":
        high = low
        while high < len(order) and order[high][0].startswith(first):
            high += 1
    return low, high


def _start(table: Table, index: Index | None, request: Request) -> Key | None:
    """Where the item is behind which a page begins."""
    given = request.get("ExclusiveStartKey")
    if given is None:
        return None
    names = table.key_names if index is None else index.key_names
    types = table.description.types
    if set(given) != set(names) or any(types[name] not in given[name] for name in names):
        raise invalid("The provided starting key is invalid")
    item, _ = kept_item(given)
    return table.place(item) if index is None else index.place(item)


def _page(
    request: Request, rows: Iterable[Row], read: tuple[Expressions, Values], key_names: Sequence[str]
) -> Response:
    """Up to `Limit` rows and 1 MB, of which those are shown that the filter keeps.

    Where it ends for one of these, it does not look whether there are more.
    """
    expressions, values = read
    limit = request.get("Limit")
    if limit is not None and limit < 1:
        raise broken("Limit", "Member must have value greater than or equal to 1")
    items: list[Item] = []
    scanned = size = 0
    last: Row | None = None
    response: Response = {"Items": items}
    for row in rows:
        if last is not None and (size + row.size > PAGE or scanned == limit):
            break
        scanned += 1
        size += row.size
        last = row
        if expressions.filter is None or expressions.filter(row.item, values):
            items.append(row.item if expressions.projection is None else expressions.projection(row.item))
    else:
        if scanned != limit and size < PAGE:
            last = None
    if last is not None:
        response["LastEvaluatedKey"] = {name: last.item[name] for name in key_names}
    return {**response, "Count": len(items), "ScannedCount": scanned}


# --- transactions ---


def _members(request: Request) -> Any:
    members = request["TransactItems"]
    check_length("transactItems", len(members), 100)
    return members


def _check_action(place: int, member: Mapping[str, Any]) -> None:
    if len(member) != 1:
        raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
    ((kind, action),) = member.items()
    if not action.keys() <= _ACTIONS[kind]:
        raise TypeError(f"{', '.join(sorted(action.keys() - _ACTIONS[kind]))} of {kind} is not simulated")
    for name in _REQUIRED[kind]:
        if action.get(name) is None:
            where = f"transactItems.{place}.member.{_camel(kind)}.{_camel(name)}"
            raise invalid(
                f"1 validation error detected: Value null at '{where}' failed to satisfy constraint: Member must not "
                "be null"
            )


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


def _validation_error(message: str) -> Response:
    return {"Code": "ValidationError", "Message": message}


def _planned_update(write: _Write, key: Item, expressions: Expressions) -> tuple[_Write, str | None]:
    """What an update will do, and why it cannot be done; that it does not fit the item waits for the condition."""
    table = write.table
    try:
        row = _updated(table, key, table.rows.get(write.key), expressions, write.values)
    except Refusal as error:
        return write._replace(problem=str(error)), None
    if row is None or expressions.update is None:
        return write._replace(row=row, keep=row is None), None
    problem = _index_mismatch(table, row.item, expressions.update.touched)
    if problem is None:
        _check_index_keys(table, row.item, expressions.update.touched, is_update=True)
        problem = _TOO_LARGE if row.size > LARGEST_ITEM else None
    return write._replace(row=row), problem


def _key_problem(table: Table, kind: str, action: Mapping[str, Any]) -> str | None:
    """Why the key of an action is none of its table, or of an index.

    That cancels the transaction, other mistakes refuse it (measured on AWS by paritysuite, says ministack).
    """
    given = action["Item" if kind == "Put" else "Key"]
    types = table.key_types
    if kind != "Put":
        fits = given.keys() == types.keys() and all(given[name].keys() == {types[name]} for name in types)
        return None if fits else _MISMATCH
    for name in types:
        if name not in given:
            return f"{INVALID}Missing the key {name} in the item"
        if types[name] not in given[name]:
            return _key_mismatch(name, types[name], given[name])
    return None


def _reason(write: _Write) -> Response | None:
    """Why a write cannot be made; None if it can."""
    row = write.table.rows.get(write.key)
    if write.condition is not None and not write.condition({} if row is None else row.item, write.values):
        shown = {"Item": row.item} if row is not None and write.wants_item else {}
        return {"Code": "ConditionalCheckFailed", "Message": _CONDITION_FAILED, **shown}
    if write.problem is not None:
        return _validation_error(write.problem)
    return None


def _cancelled(reasons: Sequence[Response | None]) -> Refusal:
    all_reasons = [reason or {"Code": "None"} for reason in reasons]
    codes = ", ".join(reason["Code"] for reason in all_reasons)
    return Refusal(
        400,
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        CancellationReasons=all_reasons,
    )
