"""Generated tables and requests to DynamoDB; AWS refuses some of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulator.services.dynamodb import IndexDescription, TableDescription

Request = tuple[str, dict[str, Any]]

KINDS = ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")
TEXTS = ("a", "ab", "b", "é", "z", "😀")
NUMBERS = ("0", "1", "2", "10", "-1", "1.5", "100000000000000000000", "0.001")
WRITTEN_OTHERWISE = ("1.0", "1e1", "-0", "+2", "0.00", "1.50", "1E+20", "007")
BYTES = (b"a", b"ab", b"\x00", b"\xff")
ATTRIBUTES = ("x", "y", "n", "data", "s", "l", "m", "w")
"""Some are reserved words, some keys of indexes."""
PLAIN = {"x": "S", "y": "BOOL", "n": "N", "data": "S", "s": "SS", "l": "L", "m": "M", "w": "NS"}
"""Their types where each has one; elements of lists are texts, and maps have these."""
INNER = {"m.k": "S", "m.x": "N", "l[0]": "S", "l[1]": "S"}
RESERVED = ("data",)
PARTITIONS, SORTS = 2, 4


class RequestsOfASeed:
    """Requests to one table that follow from a seed.

    Args:
        plain: whether attributes have one type each, with which they are compared, as those of services do.
    """

    def __init__(self, seed: int, name: str, *, plain: bool) -> None:
        self.chance = random.Random(f"{seed}/requests")
        self.plain = plain
        self.scalars = "SN" if plain else "SSNB"
        self.texts = TEXTS[:-1] if plain else TEXTS
        self.table = self._table(name)
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    # --- the table ---

    def _table(self, name: str) -> TableDescription:
        types = {"pk": self.chance.choice(self.scalars), "sk": self.chance.choice(self.scalars)}
        key = ("pk", "sk")[: self.chance.choice((1, 2, 2))]
        indexes = []
        for number in range(self.chance.randrange(3)):
            index_key = tuple(self.chance.sample(("x", "n", "data"), self.chance.choice((1, 2))))
            types |= {
                each: types.get(each, PLAIN[each] if self.plain else self.chance.choice("SSNB")) for each in index_key
            }
            projection = self.chance.choice(("ALL", "KEYS_ONLY", "INCLUDE"))
            included = ("s", "y") if projection == "INCLUDE" else ()
            indexes.append(IndexDescription(f"index{number}", index_key, projection, included))
        used = {*key, *(each for index in indexes for each in index.key)}
        return TableDescription(
            name,
            key,
            {each: kind for each, kind in types.items() if each in used},
            tuple(indexes),
            view="NEW_AND_OLD_IMAGES",
        )

    # --- values ---

    def scalar(self, kind: str, *, empty: bool = True) -> dict[str, Any]:
        """A value that a key may have."""
        if kind == "S":
            return {"S": self.chance.choice((*self.texts, "") if empty else self.texts)}
        if kind == "N":
            otherwise = not self.plain and self.rarely()
            return {"N": self.chance.choice(WRITTEN_OTHERWISE if otherwise else NUMBERS)}
        return {"B": self.chance.choice((*BYTES, b"") if empty else BYTES)}

    def value(self, depth: int = 0, kind: str | None = None) -> dict[str, Any]:
        """Any value, or any of a type."""
        inner = {} if kind is None else {"kind": "S"}
        kind = kind or self.chance.choice(KINDS if depth < 2 else KINDS[:8])
        match kind:
            case "S" | "N" | "B":
                return self.scalar(kind, empty=not self.plain)
            case "BOOL":
                return {"BOOL": self.chance.random() < 0.5}
            case "NULL":
                return {"NULL": True}
            case "SS":
                return {"SS": self.some(self.texts)}
            case "NS":
                return {"NS": self.some(NUMBERS)}
            case "BS":
                return {"BS": self.some(BYTES)}
            case "L":
                return {"L": [self.value(depth + 1, **inner) for _ in range(self.chance.randrange(4))]}
        if inner:
            return {"M": {"k": self.value(kind="S"), "x": self.value(kind="N")}}
        return {"M": {name: self.value(depth + 1) for name in self.some(("k", "x", "s"))}}

    def some(self, of: Sequence[Any]) -> list[Any]:
        return self.chance.sample(of, self.chance.randint(1, min(3, len(of))))

    def rarely(self) -> bool:
        return self.chance.random() < 0.1

    def key(self) -> dict[str, Any]:
        """A key, one of few."""
        places = {"pk": PARTITIONS, "sk": SORTS}
        pools: dict[str, Sequence[Any]] = {"S": TEXTS, "N": NUMBERS, "B": BYTES}
        key = {}
        for name in self.table.key:
            kind = self.table.types[name]
            key[name] = {kind: pools[kind][self.chance.randrange(places[name])]}
        if not self.plain and self.rarely() and self.rarely():
            key[self.chance.choice((*self.table.key, "y"))] = self.value()
        return key

    def item(self) -> dict[str, Any]:
        item = self.key()
        for name in self.some(ATTRIBUTES):
            item[name] = self.value(kind=PLAIN[name]) if self.plain else self.value()
        for name, kind in self.table.types.items():
            if name not in self.table.key and (name in item or self.chance.random() < 0.6) and not self.rarely():
                item[name] = self.scalar(kind, empty=not self.plain and self.rarely())
        return item

    # --- expressions ---

    def name(self, name: str) -> str:
        """A name as an expression has it."""
        if name in RESERVED or self.chance.random() < 0.4:
            alias = f"#{name}"
            self.names[alias] = name
            return alias
        return name

    def path(self) -> str:
        """Where something may be."""
        return self.typed_path()[0]

    def typed_path(self) -> tuple[str, str | None]:
        """Where something may be, and of which type it is if that is known."""
        if self.plain:
            path, kind = self.chance.choice((*PLAIN.items(), *INNER.items()))
            return (path if path in INNER else self.name(path)), kind
        path = self.name(self.chance.choice((*ATTRIBUTES, *self.table.key) if self.rarely() else ATTRIBUTES))
        while self.chance.random() < 0.25:
            if self.chance.random() < 0.5:
                path += f"[{self.chance.randrange(4)}]"
            else:
                path += f".{self.name(self.chance.choice(('k', 'x', 's')))}"
        return path, None

    def given(self, value: dict[str, Any]) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def operand(self) -> str:
        dice = self.chance.random()
        if dice < 0.5:
            return self.given(self.value())
        return f"size({self.path()})" if dice < 0.6 else self.path()

    def condition(self, depth: int = 0) -> str:
        dice = self.chance.random()
        if depth < 2 and dice < 0.3:
            kind = self.chance.choice(("AND", "OR", "NOT"))
            if kind == "NOT":
                return f"NOT ({self.comparison()})"
            return f"({self.condition(depth + 1)}) {kind} {self.comparison()}"
        return self.comparison()

    def comparison(self) -> str:
        return self.plain_comparison() if self.plain else self.any_comparison()

    def plain_comparison(self) -> str:
        path, kind = self.typed_path()
        value = self.given(self.value(kind=kind))
        ways = [f"{path} {operator} {value}" for operator in ("=", "<>")]
        if kind in ("S", "N"):
            ways += [f"{path} {operator} {value}" for operator in ("<", "<=", ">", ">=")]
            ways += [f"{value} < {path}", f"{path} IN ({value})", f"{path} BETWEEN {value} AND {value}"]
        if kind == "S":
            ways += [f"begins_with({path}, {value})", f"contains({path}, {value})"]
        chosen = self.chance.randrange(len(ways) + 3)
        if chosen < len(ways):
            return ways[chosen]
        del self.values[value]
        if kind in ("SS", "L") and self.chance.random() < 0.5:
            return f"contains({path}, {self.given(self.value(kind='S'))})"
        if kind in ("S", "SS", "L", "M") and self.chance.random() < 0.5:
            return f"size({path}) > {self.given({'N': '1'})}"
        return f"{self.chance.choice(('attribute_exists', 'attribute_not_exists'))}({path})"

    def any_comparison(self) -> str:
        match self.chance.randrange(8):
            case 0:
                return f"attribute_exists({self.path()})"
            case 1:
                return f"attribute_not_exists({self.path()})"
            case 2:
                return f"attribute_type({self.path()}, {self.given({'S': self.chance.choice(KINDS)})})"
            case 3:
                return f"begins_with({self.path()}, {self.given(self.scalar(self.chance.choice('SB')))})"
            case 4:
                return f"contains({self.path()}, {self.given(self.value())})"
            case 5:
                kind = self.chance.choice("SNB")
                low, high = sorted((self.scalar(kind) for _ in range(2)), key=lambda each: str(each[kind]))
                return f"{self.path()} BETWEEN {self.given(low)} AND {self.given(high)}"
            case 6:
                return f"{self.path()} IN ({', '.join(self.operand() for _ in range(self.chance.randint(1, 3)))})"
        left, right = self.path(), self.operand()
        return f"{left} {self.chance.choice(('=', '<>', '<', '<=', '>', '>='))} {right}"

    def update(self) -> str:
        sections: dict[str, list[str]] = {}
        for _ in range(self.chance.randint(1, 3)):
            section, action = self.plain_action() if self.plain else self.any_action()
            sections.setdefault(section, []).append(action)
        return " ".join(f"{section} {', '.join(actions)}" for section, actions in sections.items())

    def plain_action(self) -> tuple[str, str]:
        path, kind = self.typed_path()
        if self.chance.random() < 0.2:
            return "REMOVE", path
        value = self.given(self.value(kind=kind))
        ways = [("SET", f"{path} = {value}")] * 2
        if self.plain and "." not in path and "[" not in path:
            ways.append(("SET", f"{path} = if_not_exists({path}, {value})"))
        if kind == "N":
            ways += [
                ("SET", f"{path} = {path} + {value}"),
                ("SET", f"{path} = {path} - {value}"),
                ("ADD", f"{path} {value}"),
            ]
        if kind in ("SS", "NS"):
            ways += [("ADD", f"{path} {value}"), ("DELETE", f"{path} {value}")]
        if kind == "L":
            ways += [
                ("SET", f"{path} = list_append({path}, {value})"),
                ("SET", f"{path} = list_append({value}, {path})"),
            ]
        return self.chance.choice(ways)

    def any_action(self) -> tuple[str, str]:
        path = self.path()
        match self.chance.randrange(9):
            case 0 | 1 | 2:
                return "SET", f"{path} = {self.given(self.value())}"
            case 3:
                return "SET", f"{path} = {path} {self.chance.choice('+-')} {self.given(self.scalar('N'))}"
            case 4:
                return "SET", f"{path} = if_not_exists({self.path()}, {self.given(self.value())})"
            case 5:
                return "SET", f"{path} = list_append({path}, {self.given({'L': [self.value(1)]})})"
            case 6:
                return "REMOVE", path
            case 7:
                return "ADD", f"{path} {self.given(self.of_kind(self.chance.choice(('N', 'SS', 'NS', 'BS'))))}"
        return "DELETE", f"{path} {self.given(self.of_kind(self.chance.choice(('SS', 'NS', 'BS'))))}"

    def of_kind(self, kind: str) -> dict[str, Any]:
        pools: dict[str, Sequence[Any]] = {"SS": self.texts, "NS": NUMBERS, "BS": BYTES}
        return self.scalar("N") if kind == "N" else {kind: self.some(pools[kind])}

    def key_condition(self, key: Sequence[str]) -> str:
        partition = self.key().get(key[0]) or self.scalar(self.table.types[key[0]], empty=False)
        conditions = [f"{self.name(key[0])} = {self.given(partition)}"]
        if len(key) == 2 and self.chance.random() < 0.7:
            kind = self.table.types[key[1]]
            name = self.name(key[1])
            operators = ("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with")
            operator = self.chance.choice(operators[:6] if self.plain and kind == "N" else operators)
            one = self.scalar(kind, empty=not self.plain and self.rarely())
            if operator == "BETWEEN":
                conditions.append(f"{name} BETWEEN {self.given(one)} AND {self.given(self.scalar(kind, empty=False))}")
            elif operator == "begins_with":
                conditions.append(f"begins_with({name}, {self.given(one)})")
            else:
                conditions.append(f"{name} {operator} {self.given(one)}")
        if not self.plain:
            self.chance.shuffle(conditions)
        return " AND ".join(conditions)

    def placeholders(self) -> dict[str, Any]:
        """ExpressionAttributeNames and -Values of what was written since the last time."""
        given = {"ExpressionAttributeNames": self.names, "ExpressionAttributeValues": self.values}
        self.names, self.values = {}, {}
        return {name: each for name, each in given.items() if each}

    # --- requests ---

    def requests(self, number: int) -> Iterator[Request]:
        """So many requests."""
        ways: tuple[tuple[Callable[[], Request], int], ...] = (
            (self.put, 3),
            (self.update_item, 6),
            (self.delete, 1),
            (self.get, 1),
            (self.query, 3),
            (self.scan, 1),
            (self.batch_write, 1),
            (self.batch_get, 1),
            (self.transact, 2),
        )
        yield self.batch_write()
        for way in self.chance.choices(*zip(*ways, strict=True), k=number):
            yield way()

    def conditional(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.chance.random() < 0.5:
            request["ConditionExpression"] = self.condition()
            if self.chance.random() < 0.5:
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return {"TableName": self.table.name, **request, **self.placeholders()}

    def put(self) -> Request:
        values = {"ReturnValues": "ALL_OLD"} if self.chance.random() < 0.5 else {}
        return "PutItem", self.conditional({"Item": self.item(), **values})

    def delete(self) -> Request:
        values = {"ReturnValues": "ALL_OLD"} if self.chance.random() < 0.5 else {}
        return "DeleteItem", self.conditional({"Key": self.key(), **values})

    def update_item(self) -> Request:
        wanted = self.chance.choice(("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))
        request = {"Key": self.key(), "UpdateExpression": self.update(), "ReturnValues": wanted}
        return "UpdateItem", self.conditional(request)

    def projection(self) -> dict[str, Any]:
        if self.chance.random() < 0.5:
            return {}
        return {"ProjectionExpression": ", ".join(self.path() for _ in range(self.chance.randint(1, 3)))}

    def get(self) -> Request:
        request = {"TableName": self.table.name, "Key": self.key(), "ConsistentRead": True, **self.projection()}
        return "GetItem", {**request, **self.placeholders()}

    def paged(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        request: dict[str, Any] = {"TableName": self.table.name}
        key = self.table.key
        if self.table.indexes and self.chance.random() < 0.6:
            index = self.chance.choice(self.table.indexes)
            request["IndexName"] = index.name
            key = index.key
        else:
            request["ConsistentRead"] = True
        if self.chance.random() < 0.4:
            request["Limit"] = self.chance.randint(1, 3)
        if self.chance.random() < 0.4:
            request["FilterExpression"] = self.condition()
        return request, key

    def query(self) -> Request:
        request, key = self.paged()
        request["KeyConditionExpression"] = self.key_condition(key)
        if self.chance.random() < 0.4:
            request["ScanIndexForward"] = False
        return "Query", {**request, **self.placeholders()}

    def scan(self) -> Request:
        request, _ = self.paged()
        return "Scan", {**request, **self.placeholders()}

    def batch_write(self) -> Request:
        entries: list[dict[str, Any]] = []
        for _ in range(self.chance.randint(1, 6)):
            if self.chance.random() < 0.8:
                entries.append({"PutRequest": {"Item": self.item()}})
            else:
                entries.append({"DeleteRequest": {"Key": self.key()}})
        if self.plain or not self.rarely():
            entries = list({str(_key_of(each, self.table)): each for each in entries}.values())
        return "BatchWriteItem", {"RequestItems": {self.table.name: entries}}

    def batch_get(self) -> Request:
        keys = [self.key() for _ in range(self.chance.randint(1, 4))]
        if self.plain or not self.rarely():
            keys = list({str(key): key for key in keys}.values())
        asked = {"Keys": keys, "ConsistentRead": True, **self.projection(), **self.placeholders()}
        return "BatchGetItem", {"RequestItems": {self.table.name: asked}}

    def transact(self) -> Request:
        members: list[dict[str, Any]] = []
        for _ in range(self.chance.randint(1, 3)):
            kind = self.chance.choice(("Put", "Update", "Delete", "ConditionCheck"))
            action: dict[str, Any] = {"Item": self.item()} if kind == "Put" else {"Key": self.key()}
            if kind == "Update":
                action["UpdateExpression"] = self.update()
            if kind == "ConditionCheck":
                action["ConditionExpression"] = self.condition()
            members.append({kind: self.conditional(action)})
        if self.plain or not self.rarely():
            members = list({str(_key_of(each, self.table)): each for each in members}.values())
        return "TransactWriteItems", {"TransactItems": members}


def _key_of(entry: dict[str, Any], table: TableDescription) -> Any:
    (action,) = entry.values()
    attributes = action.get("Item") or action["Key"]
    return [attributes.get(name) for name in table.key]
