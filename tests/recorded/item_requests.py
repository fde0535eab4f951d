"""What DynamoDB answers to requests: expressions, placeholders, keys. Tests for whoever answers as it does.

The messages are recorded on AWS by the tests of https://github.com/architect/dynalite (test/query.js,
test/updateItem.js) and of ScyllaDB's Alternator (test/alternator), and are those of moto where its tests ran on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
ITEM = {
    **KEY,
    "n": {"N": "1"},
    "s": {"S": "x"},
    "l": {"L": [{"S": "q"}]},
    "m": {"M": {"k": {"S": "v"}}},
    "ss": {"SS": ["u"]},
}
VALUES = {
    ":v": {"S": "a"},
    ":w": {"S": "b"},
    ":n": {"N": "1"},
    ":two": {"N": "2"},
    ":ss": {"SS": ["u"]},
    ":l": {"L": []},
    ":m": {"M": {}},
    ":yes": {"BOOL": True},
    ":null": {"NULL": True},
    ":b": {"B": "YQ=="},
    ":bytes": {"B": "xYQ==x"},
    ":empty": {"S": ""},
    ":type": {"S": "SS"},
    ":big": {"S": "x" * 410_000},
    ":u": {"S": "u"},
    ":q": {"S": "q"},
}
NAMES = {"#name": "name", "#k": "k", "#data": "data", "#n": "n"}

FUNCTION = "operator or function: "
OPERANDS = f"Incorrect number of operands for operator or function; {FUNCTION}"
TYPE = f"Incorrect operand type for operator or function; {FUNCTION}"
OVERLAP = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
CONFLICT = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
RESERVED = "Attribute name is a reserved keyword; reserved keyword: "
SCALARS = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
FIRST = " operator must have the key attribute as its first operand"
NO_PATH = "The document path provided in the update expression is invalid for update"
HERE = "The function is not allowed to be used this way in an expression; function: "


def near(token: str, text: str) -> str:
    return f'Syntax error; token: "{token}", near: "{text}"'


CONDITIONS = {
    "attribute_exists(n)": None,
    "attribute_exists(m.k) AND attribute_not_exists(m.j)": None,
    "attribute_type(ss, :type)": None,
    "n = :n": None,
    "n <> :v and not (n > :two)": None,
    "n BETWEEN :n AND :two OR contains(ss, :v)": None,
    "begins_with(s, :v) OR s IN (:v, :w) OR size(s) > :n": None,
    "#name = :v OR m.#k = :v OR l[0] = :v": None,
    "((n = :n) OR (n = :two)) AND attribute_exists(n)": None,
    ":v = :w OR n = :n": None,
    "attribute_exist(n)": "Invalid function name; function: attribute_exist",
    "ATTRIBUTE_EXISTS(n)": "Invalid function name; function: ATTRIBUTE_EXISTS",
    "n = :n OR attribute_absent(n)": "Invalid function name; function: attribute_absent",
    "if_not_exists(n, :n)": "The function is not allowed in a condition expression; function: if_not_exists",
    "attribute_exists(n, s)": f"{OPERANDS}attribute_exists, number of operands: 2",
    "begins_with(s)": f"{OPERANDS}begins_with, number of operands: 1",
    "attribute_exists(:v)": f"Operator or function requires a document path; {FUNCTION}attribute_exists",
    "begins_with(n, :n)": f"{TYPE}begins_with, operand type: N",
    "attribute_type(n, :n)": f"{TYPE}attribute_type, operand type: N",
    "attribute_type(n, s)": f"{TYPE}attribute_type, operand type: {{NS,SS,L,BS,N,M,B,BOOL,NULL,S}}",
    "attribute_type(n, :v)": "Invalid attribute type name found; type: a, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
    "size(:n) > :n": f"{TYPE}size, operand type: N",
    "n < :l": f"{TYPE}<, operand type: L",
    ":m >= n": f"{TYPE}>=, operand type: M",
    "n BETWEEN :null AND :n": f"{TYPE}BETWEEN, operand type: NULL",
    "size(s)": f"{HERE}size",
    "attribute_exists(s) = :v": f"{HERE}attribute_exists",
    "begins_with(s, attribute_exists(n))": f"{HERE}attribute_exists",
    "contains(s, s)": "first operand must be distinct from the remaining operands for this operator or function; "
    "operator: contains, first operand: [s]",
    "m.k = m.#k": "operator: =, first operand: [m, k]",
    "name = :v": f"{RESERVED}name",
    "n = :n OR Status = :v": f"{RESERVED}Status",
    "attribute_exists(m.name)": f"{RESERVED}name",
    "#undefined = :v": "An expression attribute name used in the document path is not defined; "
    "attribute name: #undefined",
    "n = :undefined": "An expression attribute value used in expression is not defined; attribute value: :undefined",
    "n BETWEEN :two AND :n": "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
    "lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
    "n BETWEEN :bytes AND :b": "The BETWEEN operator requires upper bound to be greater than or equal to lower bound",
    "n BETWEEN :n AND :v": "The BETWEEN operator requires same data type for lower and upper bounds; "
    "lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:a}",
    "((n = :n))": "The expression has redundant parentheses;",
    "((n)) = :n": "The expression has redundant parentheses;",
    "pk.part = :v": f"{SCALARS}Key: pk",
    "#data[0] = :v": f"{SCALARS}IndexKey: data",
    "n": near("<EOF>", "n"),
    "n = :n AND": near("<EOF>", "AND"),
    "n == :n": near("=", "== :n"),
    "n != :n": near("!", "n !="),
    "(n = :n": near("<EOF>", ":n"),
    "n = :n)": near(")", ":n)"),
    "n = 1": near("1", "= 1"),
    "s = 'a'": near("'", "= 'a"),
    "a-b = :v": near("-", "a-b"),
    "_a = :v": near("_", "_a"),
    "1a = :v": near("1", "1a"),
    "l[k] = :v": near("k", "[k]"),
    "s IN :v": near(":v", "IN :v"),
    "s IN (:v,)": near(")", ",)"),
    "n = :n n = :two": near("n", ":n n ="),
    "n AND s": near("AND", "n AND s"),
    "": "The expression can not be empty;",
    " ": "The expression can not be empty;",
}

UPDATES = {
    "SET a = :v": None,
    "set a = :v, m.k = :w remove l[0] add n :n delete ss :ss": None,
    "SET n = n + :n, s = if_not_exists(missed, :v), l = list_append(l, :l)": None,
    "SET n = if_not_exists(n, :n) + :n": None,
    "SET a = (:v), n = (n - (:n))": None,
    "SET #name = :v, m.#k = :w, l[0] = :v, l[1] = :w": None,
    "ADD ss :ss": None,
    "SET a = if_not_exist(a, :v)": "Invalid function name; function: if_not_exist",
    "SET a = attribute_exists(n)": "The function is not allowed in an update expression; function: attribute_exists",
    "SET a = :v SET b = :w": 'The "SET" section can only be used once in an update expression;',
    "REMOVE a ADD n :n REMOVE b": 'The "REMOVE" section can only be used once in an update expression;',
    "SET name = :v": f"{RESERVED}name",
    "REMOVE Absolute": f"{RESERVED}Absolute",
    "SET a = comment": f"{RESERVED}comment",
    "SET #undefined = :v": "expression attribute name used in the document path is not defined; "
    "attribute name: #undefined",
    "SET a = :undefined": "expression attribute value used in expression is not defined; attribute value: :undefined",
    "SET a = :v, a = :w": f"{OVERLAP}[a], path two: [a]",
    "SET n = :v, #n = :w": f"{OVERLAP}[n], path two: [n]",
    "SET m.k = :v REMOVE m": f"{OVERLAP}[m, k], path two: [m]",
    "SET l[0] = :v, l[0].a = :w": f"{OVERLAP}[l, [0]], path two: [l, [0], a]",
    "REMOVE a, a": f"{OVERLAP}[a], path two: [a]",
    "SET l[0] = :v, l.k = :w": f"{CONFLICT}[l, [0]], path two: [l, k]",
    "SET a = if_not_exists(a)": f"{OPERANDS}if_not_exists, number of operands: 1",
    "SET a = if_not_exists(:v, a)": f"Operator or function requires a document path; {FUNCTION}if_not_exists",
    "SET l = list_append(l, :v)": f"{TYPE}list_append, operand type: S",
    "SET n = n + :v": f"{TYPE}+, operand type: S",
    "SET n = :ss - n": f"{TYPE}-, operand type: SS",
    "ADD n :v": "operator: ADD, operand type: STRING",
    "ADD l :l": "operator: ADD, operand type: LIST",
    "ADD m :m": "operator: ADD, operand type: MAP",
    "ADD n :yes": "operator: ADD, operand type: BOOLEAN",
    "ADD n :null": "operator: ADD, operand type: NULL",
    "DELETE n :n": "operator: DELETE, operand type: NUMBER",
    "DELETE ss :b": "operator: DELETE, operand type: BINARY",
    "SET pk = :v": "Cannot update attribute pk. This attribute is part of the key",
    "REMOVE sk": "Cannot update attribute sk. This attribute is part of the key",
    "SET #data = :n": "Type mismatch for Index Key data Expected: S Actual: N IndexName: DataIndex",
    "SET #data = :empty": "cannot contain an empty string value",
    "SET #data.k = :n": "list random access '[]' and map lookup '.' are not allowed: IndexKey: data",
    "SET missed.k = :v": NO_PATH,
    "SET s.k = :v": NO_PATH,
    "SET m[1] = :v": NO_PATH,
    "SET l.k = :v": NO_PATH,
    "REMOVE missed.k": NO_PATH,
    "REMOVE s[0]": NO_PATH,
    "ADD missed[1] :n": NO_PATH,
    "DELETE s.k :ss": NO_PATH,
    "SET l = list_append(ss, :l)": "An operand in the update expression has an incorrect data type",
    "SET a = missed": "The provided expression refers to an attribute that does not exist in the item",
    "SET n = s + :n": "An operand in the update expression has an incorrect data type",
    "ADD s :n": "An operand in the update expression has an incorrect data type",
    "SET s = :big": "Item size to update has exceeded the maximum allowed size",
    "whatever": near("whatever", "whatever"),
    "SET": near("<EOF>", "SET"),
    "SET a": near("<EOF>", "a"),
    "SET a = :v,": near("<EOF>", ","),
    "SET a :v": near(":v", "a :v"),
    "SET a = set": near("set", "= set"),
    "SET n = n + :n + :n": near("+", ":n + :n"),
    "SET n = n * :n": near("*", "n * :n"),
    "SET a = :v AND b = :w": near("AND", ":v AND b"),
    "SET a = :v;": near(";", ":v;"),
    "SET a = 1": near("1", "= 1"),
    "SET _123 = :v": near("_", "SET _123"),
    "SET l[k] = :v": near("k", "[k]"),
    "ADD a = :n": near("=", "a = :n"),
    "ADD a b": near("b", "a b"),
    "DELETE ss if_not_exists(s)": near("if_not_exists", "ss if_not_exists("),
    "REMOVE a = b": near("=", "a = b"),
    "REMOVE a b": near("b", "a b"),
    "REMOVE :v": near(":v", "REMOVE :v"),
    "": "The expression can not be empty;",
}

KEY_CONDITIONS = {
    "pk = :v": None,
    "pk = :v AND sk = :w": None,
    "(pk = :v) and (begins_with(sk, :w))": None,
    "sk BETWEEN :v AND :w AND pk = :v": None,
    ":v = pk AND :w > sk": None,
    "pk = :v OR sk = :w": "Invalid operator used in KeyConditionExpression: OR",
    "pk = :v AND NOT sk = :w": "Invalid operator used in KeyConditionExpression: NOT",
    "pk = :v AND sk <> :w": "Invalid operator used in KeyConditionExpression: <>",
    "pk = :v AND sk IN (:w)": "Invalid operator used in KeyConditionExpression: IN",
    "pk = :v AND contains(sk, :w)": "Invalid operator used in KeyConditionExpression: contains",
    "pk = :v AND attribute_exists(sk)": "Invalid operator used in KeyConditionExpression: attribute_exists",
    "pk = :v AND size(sk) = :n": "KeyConditionExpressions cannot contain nested operations",
    "pk.a = :v": "KeyConditionExpressions cannot have conditions on nested attributes",
    "pk = sk": "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
    "pk = :v AND :v = :w": "Invalid condition in KeyConditionExpression: No key attribute specified",
    "pk = :v AND begins_with(:w, sk)": f"Invalid condition in KeyConditionExpression: begins_with{FIRST}",
    "pk = :v AND :w BETWEEN sk AND :v": f"Invalid condition in KeyConditionExpression: BETWEEN{FIRST}",
    "pk = :v AND pk = :w": "KeyConditionExpressions must only contain one condition per key",
    "pk = :v AND begin_with(sk, :w)": "Invalid KeyConditionExpression: Invalid function name; function: begin_with",
    "pk = :v AND begins_with(sk, :n)": f"Invalid KeyConditionExpression: {TYPE}begins_with, operand type: N",
    "pk = :v AND sk BETWEEN :w AND :v": "requires upper bound to be greater than or equal to lower bound",
    "pk = :v AND sk begins_with :w": f"Invalid KeyConditionExpression: {near('begins_with', 'sk begins_with :w')}",
    "data = :v": f"Invalid KeyConditionExpression: {RESERVED}data",
    "pk = :undefined": "attribute value: :undefined",
    "sk = :v": "Query condition missed key schema element: pk",
    "pk > :v": "Query key condition not supported",
    "pk = :v AND s = :w": "Query condition missed key schema element: sk",
    "pk = :n": "Condition parameter type does not match schema type",
    "pk = :v AND sk = :n": "Condition parameter type does not match schema type",
    "pk = :empty": "The AttributeValue for a key attribute cannot contain an empty string value. Key: pk",
    "": "The expression can not be empty;",
}

PROJECTIONS = {
    "n": None,
    "n, m.k, l[0].a, #name": None,
    "name": f"{RESERVED}name",
    "m.name": f"{RESERVED}name",
    "#undefined": "attribute name: #undefined",
    "n, n": f"{OVERLAP}[n], path two: [n]",
    "m.k, m": f"{OVERLAP}[m, k], path two: [m]",
    "m.k, m[0]": f"{CONFLICT}[m, k], path two: [m, [0]]",
    "n,": near("<EOF>", ","),
    "n m": near("m", "n m"),
    "n; m": near(";", "n; m"),
    "l[k]": near("k", "[k]"),
    "size(s)": near("(", "size(s"),
    ":v": near(":v", ":v"),
    "": "The expression can not be empty;",
}


def made(client: Any, name: str) -> None:
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "data")]
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=attributes,
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "DataIndex",
                "KeySchema": [{"AttributeName": "data", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "KeysIndex",
                "KeySchema": [{"AttributeName": "data", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )
    client.put_item(TableName=name, Item=ITEM)


class Table:
    """A table with one item, asked without boto3's own checks.

    An answer is the refusal, or None; a failed condition is no refusal.
    """

    name = "requests"

    def __init__(self, client: Any) -> None:
        self.client = client

    def ask(self, operation: str, **request: Any) -> str | None:
        try:
            getattr(self.client, operation)(**request)
        except ClientError as error:
            refusals = error.response.get("CancellationReasons") or [error.response["Error"]]
            codes = {refusal["Code"] for refusal in refusals} - {"None"}
            if codes <= {"ConditionalCheckFailedException", "ConditionalCheckFailed"}:
                return None
            assert codes <= {"ValidationException", "ValidationError"}, refusals
            return "; ".join(refusal["Message"] for refusal in refusals if refusal["Code"] != "None")
        return None

    def item(self) -> dict[str, Any]:
        return dict(self.client.get_item(TableName=self.name, Key=KEY, ConsistentRead=True)["Item"])

    def restore(self) -> None:
        self.client.put_item(TableName=self.name, Item=ITEM)


def placeholders(*texts: str) -> dict[str, Any]:
    """ExpressionAttributeNames and -Values that the expressions use, and that are defined above."""
    used = set(re.findall(r"[#:]\w+", " ".join(texts)))
    given = {
        "ExpressionAttributeNames": {name: NAMES[name] for name in NAMES if name in used},
        "ExpressionAttributeValues": {name: VALUES[name] for name in VALUES if name in used},
    }
    return {name: defined for name, defined in given.items() if defined}


def transaction(kind: str, **action: Any) -> dict[str, Any]:
    return {"TransactItems": [{kind: {"TableName": Table.name, **action}}]}


def is_as(message: str | None, refusal: str | None) -> bool:
    return refusal is None if message is None else refusal is not None and message in refusal


MISMATCH = "The provided key element does not match the schema"

EMPTY = "The AttributeValue for a key attribute cannot contain an empty string value. Key: pk"

KEYS = {
    "extra": ({**KEY, "n": {"N": "1"}}, MISMATCH),
    "without sort key": ({"pk": {"S": "a"}}, MISMATCH),
    "without partition key": ({"sk": {"S": "b"}}, MISMATCH),
    "of another type": ({**KEY, "pk": {"N": "1"}}, MISMATCH),
    "of another name": ({"pk": {"S": "a"}, "key": {"S": "b"}}, MISMATCH),
    "of two types": ({**KEY, "pk": {"S": "a", "N": "1"}}, MISMATCH),
    "of nothing": ({}, MISMATCH),
    "with an empty string": ({**KEY, "pk": {"S": ""}}, EMPTY),
}

UPDATE = {"UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}}

WAYS_OF_KEYS: dict[str, Callable[[Table, Any], str | None]] = {
    "GetItem": lambda table, key: table.ask("get_item", TableName=table.name, Key=key),
    "DeleteItem": lambda table, key: table.ask("delete_item", TableName=table.name, Key=key),
    "UpdateItem": lambda table, key: table.ask("update_item", TableName=table.name, Key=key, **UPDATE),
    "BatchGetItem": lambda table, key: table.ask("batch_get_item", RequestItems={table.name: {"Keys": [key]}}),
    "BatchWriteItem": lambda table, key: table.ask(
        "batch_write_item", RequestItems={table.name: [{"DeleteRequest": {"Key": key}}]}
    ),
    "Get": lambda table, key: table.ask("transact_get_items", **transaction("Get", Key=key)),
    "Delete": lambda table, key: table.ask("transact_write_items", **transaction("Delete", Key=key)),
    "Update": lambda table, key: table.ask("transact_write_items", **transaction("Update", Key=key, **UPDATE)),
    "ConditionCheck": lambda table, key: table.ask(
        "transact_write_items", **transaction("ConditionCheck", Key=key, ConditionExpression="attribute_exists(n)")
    ),
}

ITEMS = {
    "without partition key": ({"sk": {"S": "b"}}, ("Missing the key pk in the item", MISMATCH)),
    "without sort key": ({"pk": {"S": "a"}}, ("Missing the key sk in the item", MISMATCH)),
    "with a key of another type": ({**KEY, "pk": {"N": "1"}}, ("Type mismatch for key pk", MISMATCH)),
    "with an empty key": ({**KEY, "pk": {"S": ""}}, (EMPTY,)),
    "with an index key of another type": ({**KEY, "data": {"N": "1"}}, ("Type mismatch for Index Key data",)),
    "with an empty index key": ({**KEY, "data": {"S": ""}}, ("A value specified for a secondary index key is not",)),
    "of more than 400 KB": ({**KEY, "s": {"S": "x" * 409_600}}, ("Item size has exceeded the maximum allowed size",)),
    "with a value of two types": ({**KEY, "s": {"S": "a", "N": "1"}}, ("more than one datatypes set",)),
    "with a long number": ({**KEY, "n": {"N": "1" * 39}}, ("more than 38 significant digits",)),
    "with an empty set": ({**KEY, "ss": {"SS": []}}, ("An string set  may not be empty",)),
    "with a set of twins": ({**KEY, "ss": {"SS": ["a", "a"]}}, ("contains duplicates",)),
}

HOLDS = {
    "(n) = :n": True,
    "(n) BETWEEN (:n) AND (:two) AND (s IN (:v, :w) OR (s) <> :v)": True,
    "n BETWEEN :two AND :two OR (n BETWEEN :two AND missed) OR n = :n": True,
    "NOT (n = :n) OR ((n > :two) AND s = :v)": False,
    "size(s) = :n AND size(ss) = :n AND size(:v) = :n": True,
    "size(missed) >= :n": False,
    "contains(s, :v)": False,
    "contains(:bytes, :b) AND NOT contains(:b, :bytes) AND NOT contains(s, :b)": True,
    "contains(:big, s)": True,
    "contains(ss, :u) AND contains(l, :q)": True,
    "contains(ss, :n) OR contains(n, :n) OR contains(missed, :v)": False,
    "begins_with(:big, s)": True,
    "begins_with(n, :v)": False,
    "begins_with(missed, :v)": False,
    "attribute_type(ss, :type) AND attribute_not_exists(m.missed)": True,
    "n IN (:two, :v)": False,
    "n < :two AND n <> :v AND NOT n < :v": True,
    "missed = gone OR missed < gone OR missed IN (gone, :v)": False,
    "missed <> gone AND missed <> :v AND NOT l < l[0]": True,
}

NUMBERS = {"L": [{"N": str(n)} for n in range(4)]}

OF_LISTS = {
    "REMOVE l[0], l[1]": [2, 3],
    "REMOVE l[2], #l[0]": [1, 3],
    "SET l[9] = :nine, l[7] = :seven": [0, 1, 2, 3, 7, 9],
    "SET l[1] = l[0], l[0] = l[1] + :seven REMOVE l[3]": [8, 0, 2],
}

ABSENT = {"pk": {"S": "absent"}, "sk": {"S": "b"}}


class ItemRequests:
    """Tests to inherit, for a test file with a fixture `table`, which `made` makes."""

    @pytest.mark.parametrize("condition", CONDITIONS)
    def test_a_condition_is_refused_as_on_aws(self, table: Table, condition: str) -> None:
        given = {"ConditionExpression": condition, **placeholders(condition)}
        message = CONDITIONS[condition]
        if message is not None:
            message = f"Invalid ConditionExpression: {message}" if "Key attributes" not in message else message
            message = message.replace("Invalid ConditionExpression: first", "first")
            message = message.replace("Invalid ConditionExpression: operator", "operator")
        asked = [
            table.ask("put_item", TableName=table.name, Item=ITEM, **given),
            table.ask("transact_write_items", **transaction("Put", Item=ITEM, **given)),
            table.ask("transact_write_items", **transaction("ConditionCheck", Key=KEY, **given)),
            table.ask("delete_item", TableName=table.name, Key=KEY, **given),
        ]
        assert [is_as(message, refusal) for refusal in asked] == [True] * 4, asked
        table.restore()

    @pytest.mark.parametrize("condition", CONDITIONS)
    def test_a_filter_is_refused_as_on_aws_whether_or_not_there_are_items(self, table: Table, condition: str) -> None:
        message = CONDITIONS[condition]
        scanned = table.ask(
            "scan", TableName=table.name, FilterExpression=condition, Limit=1, **placeholders(condition)
        )
        queried = table.ask(
            "query",
            TableName=table.name,
            KeyConditionExpression="pk = :w",
            FilterExpression=condition,
            **placeholders(condition, ":w"),
        )
        assert is_as(message, scanned), scanned
        # A query's filter has nothing to do with keys at all.
        about_key = "Primary key attribute: pk" if message and message.endswith("Key: pk") else message
        assert is_as(about_key, queried), queried

    @pytest.mark.parametrize("update", UPDATES)
    def test_an_update_is_refused_as_on_aws_and_changes_nothing(self, table: Table, update: str) -> None:
        given = {"Key": KEY, "UpdateExpression": update, **placeholders(update)}
        updated = table.ask("update_item", TableName=table.name, **given)
        assert is_as(UPDATES[update], updated), updated
        assert UPDATES[update] is None or table.item() == ITEM
        table.restore()
        in_transaction = table.ask("transact_write_items", **transaction("Update", **given))
        assert (in_transaction is None) is (UPDATES[update] is None), in_transaction
        assert UPDATES[update] is None or table.item() == ITEM
        table.restore()

    @pytest.mark.parametrize("condition", KEY_CONDITIONS)
    def test_a_key_condition_is_refused_as_on_aws(self, table: Table, condition: str) -> None:
        given = {"KeyConditionExpression": condition, **placeholders(condition)}
        refusal = table.ask("query", TableName=table.name, **given)
        assert is_as(KEY_CONDITIONS[condition], refusal), refusal

    @pytest.mark.parametrize("projection", PROJECTIONS)
    def test_a_projection_is_refused_as_on_aws(self, table: Table, projection: str) -> None:
        given = {"ProjectionExpression": projection, **placeholders(projection)}
        given.pop("ExpressionAttributeValues", None)  # not a field of these operations
        asked = [
            table.ask("get_item", TableName=table.name, Key=KEY, **given),
            table.ask("batch_get_item", RequestItems={table.name: {"Keys": [KEY], **given}}),
            table.ask("transact_get_items", **transaction("Get", Key=KEY, **given)),
            table.ask("scan", TableName=table.name, **given),
            table.ask(
                "query",
                TableName=table.name,
                KeyConditionExpression="pk = :v",
                **{**given, **placeholders(projection, ":v")},
            ),
        ]
        message = PROJECTIONS[projection]
        assert [is_as(message, refusal) for refusal in asked] == [True] * 5, asked

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"ExpressionAttributeNames": {"#a": "a"}}, "ExpressionAttributeNames unused in expressions: keys: {#a}"),
            (
                {"ExpressionAttributeNames": {"#x": "n", "#xy": "n"}, "ConditionExpression": "attribute_exists(#xy)"},
                "ExpressionAttributeNames unused in expressions: keys: {#x}",
            ),
            (
                {"ExpressionAttributeValues": {":v": {"N": "1"}, ":vw": {"N": "1"}}, "ConditionExpression": "n = :vw"},
                "ExpressionAttributeValues unused in expressions: keys: {:v}",
            ),
            ({"ExpressionAttributeNames": {}}, "ExpressionAttributeNames must not be empty"),
            ({"ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
            (
                {"ExpressionAttributeNames": {"a": "a"}},
                'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
            ),
            (
                {"ExpressionAttributeValues": {"a": {"S": "a"}}},
                'ExpressionAttributeValues contains invalid key: Syntax error; key: "a"',
            ),
            (
                {"ExpressionAttributeValues": {":v": {}}},
                "ExpressionAttributeValues contains invalid value: Supplied AttributeValue is empty, must contain "
                "exactly one of the supported datatypes for key :v",
            ),
            (
                {"ExpressionAttributeValues": {":v": {"S": "a", "N": "1"}}},
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
                "datatypes for key :v",
            ),
            (
                {"ExpressionAttributeValues": {":v": {"L": [{"SS": []}]}}},
                "One or more parameter values were invalid: An string set  may not be empty for key :v",
            ),
            (
                {"ExpressionAttributeValues": {":v": {"N": "b"}}, "ConditionExpression": "n BETWEEN :v AND :v"},
                "The parameter cannot be converted to a numeric value: b",
            ),
        ],
    )
    def test_placeholders_are_refused_as_on_aws(self, table: Table, given: dict[str, Any], message: str) -> None:
        given = {"ConditionExpression": "attribute_exists(n)", **given}
        asked = [
            table.ask("put_item", TableName=table.name, Item=ITEM, **given),
            table.ask("transact_write_items", **transaction("Put", Item=ITEM, **given)),
        ]
        assert all(is_as(message, refusal) for refusal in asked), asked

    @pytest.mark.parametrize("way", WAYS_OF_KEYS)
    @pytest.mark.parametrize("key", KEYS)
    def test_a_key_that_does_not_fit_is_refused_by_every_operation(self, table: Table, key: str, way: str) -> None:
        given, message = KEYS[key]
        refusal = WAYS_OF_KEYS[way](table, given)
        assert is_as(message, refusal), refusal
        assert table.item() == ITEM

    @pytest.mark.parametrize("item", ITEMS)
    def test_an_item_is_refused_by_every_write(self, table: Table, item: str) -> None:
        given, messages = ITEMS[item]
        asked = [
            table.ask("put_item", TableName=table.name, Item=given),
            table.ask("batch_write_item", RequestItems={table.name: [{"PutRequest": {"Item": given}}]}),
            table.ask("transact_write_items", **transaction("Put", Item=given)),
        ]
        assert all(refusal and any(message in refusal for message in messages) for refusal in asked), asked

    @pytest.mark.parametrize(
        ("operation", "request_", "message"),
        [
            (
                "batch_write_item",
                {"RequestItems": {Table.name: [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]}},
                "Provided list of item keys contains duplicates",
            ),
            (
                "batch_get_item",
                {"RequestItems": {Table.name: {"Keys": [KEY, KEY]}}},
                "Provided list of item keys contains duplicates",
            ),
            (
                "batch_write_item",
                {"RequestItems": {Table.name: [{"PutRequest": {"Item": KEY}, "DeleteRequest": {"Key": KEY}}]}},
                "Supplied AttributeValue has more than one datatypes set",
            ),
            (
                "batch_write_item",
                {
                    "RequestItems": {
                        Table.name: [{"PutRequest": {"Item": {**KEY, "sk": {"S": str(n)}}}} for n in range(26)]
                    }
                },
                "Member must have length less than or equal to 25",
            ),
            (
                "transact_write_items",
                {"TransactItems": [{"Put": {"TableName": Table.name, "Item": KEY}}] * 2},
                "Transaction request cannot include multiple operations on one item",
            ),
            (
                "transact_write_items",
                {
                    "TransactItems": [
                        {"Put": {"TableName": Table.name, "Item": KEY}, "Delete": {"TableName": Table.name, "Key": KEY}}
                    ]
                },
                "TransactItems can only contain one of Check, Put, Update or Delete",
            ),
            (
                "transact_write_items",
                transaction("ConditionCheck", Key=KEY),
                "Value null at 'transactItems.1.member.conditionCheck.conditionExpression' failed to satisfy "
                "constraint",
            ),
            (
                "transact_write_items",
                transaction("Update", Key=KEY),
                "Value null at 'transactItems.1.member.update.updateExpression' failed to satisfy constraint",
            ),
        ],
    )
    def test_a_batch_or_transaction_is_refused_as_a_whole(
        self, table: Table, operation: str, request_: dict[str, Any], message: str
    ) -> None:
        refusal = table.ask(operation, **request_)
        assert is_as(message, refusal), refusal
        assert table.item() == ITEM

    @pytest.mark.parametrize("condition", HOLDS)
    def test_a_condition_holds_as_on_aws(self, table: Table, condition: str) -> None:
        given = placeholders(condition)
        scanned = table.client.scan(TableName=table.name, FilterExpression=condition, **given)["Count"]
        assert scanned == HOLDS[condition]
        request = {"TableName": table.name, "Item": ITEM, "ConditionExpression": condition, **given}
        try:
            table.client.put_item(**request)
            put = True
        except table.client.exceptions.ConditionalCheckFailedException:
            put = False
        assert put is HOLDS[condition]

    @pytest.mark.parametrize("update", OF_LISTS)
    def test_elements_of_a_list_keep_their_numbers_in_an_update(self, table: Table, update: str) -> None:
        """Developer guide, "Update expressions": elements are added in the order of their numbers."""
        table.client.put_item(TableName=Table.name, Item={**ITEM, "l": NUMBERS})
        values = {f":{word}": {"N": number} for word, number in (("nine", "9"), ("seven", "7")) if word in update}
        given = {
            **({"ExpressionAttributeValues": values} if values else {}),
            **({"ExpressionAttributeNames": {"#l": "l"}} if "#l" in update else {}),
        }

        table.client.update_item(TableName=Table.name, Key=KEY, UpdateExpression=update, **given)

        assert [int(each["N"]) for each in table.item()["l"]["L"]] == OF_LISTS[update]
        table.restore()

    def test_a_sum_has_38_digits(self, table: Table) -> None:
        large = "12345678901234567890123456789012345678"
        values = {":n": {"N": large}, ":one": {"N": "1"}}
        given = {"TableName": table.name, "Key": KEY, "ReturnValues": "UPDATED_NEW"}
        table.client.update_item(UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": values[":n"]}, **given)
        one = {":one": values[":one"]}
        less = table.client.update_item(UpdateExpression="SET n = n - :one", ExpressionAttributeValues=one, **given)
        more = table.client.update_item(UpdateExpression="ADD n :one", ExpressionAttributeValues=one, **given)
        table.restore()
        assert (less["Attributes"]["n"]["N"], more["Attributes"]["n"]["N"]) == (str(int(large) - 1), large)

    @pytest.mark.parametrize("shown", [None, ITEM])
    def test_a_failed_condition_is_no_mistake_and_shows_the_item_if_asked(
        self, table: Table, shown: dict[str, Any] | None
    ) -> None:
        given = {"TableName": table.name, "ConditionExpression": "attribute_not_exists(pk)"}
        if shown:
            given["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        put, delete = {"Item": ITEM, **given}, {"Key": KEY, **given}
        writes: list[tuple[str, dict[str, Any]]] = [
            ("put_item", put),
            ("delete_item", delete),
            ("update_item", {**delete, **UPDATE}),
            ("transact_write_items", {"TransactItems": [{"Put": put}]}),
            ("transact_write_items", {"TransactItems": [{"Update": {**delete, **UPDATE}}]}),
            ("transact_write_items", {"TransactItems": [{"ConditionCheck": delete}]}),
        ]
        for operation, request in writes:
            with pytest.raises(ClientError) as failed:
                getattr(table.client, operation)(**request)
            answer = failed.value.response
            (reason,) = answer.get("CancellationReasons") or [{**answer["Error"], "Item": answer.get("Item")}]
            assert reason["Code"] in {"ConditionalCheckFailedException", "ConditionalCheckFailed"}
            assert reason.get("Item") == shown

    @pytest.mark.parametrize("update", ["REMOVE n", "DELETE ss :ss", "REMOVE n, s DELETE ss :ss"])
    def test_an_update_that_only_takes_away_makes_no_item(self, table: Table, update: str) -> None:
        """test/alternator/test_returnvalues.py, test_update_item_returnvalues_all_new."""
        given = {"TableName": table.name, "Key": ABSENT, "UpdateExpression": update, **placeholders(update)}
        assert "Attributes" not in table.client.update_item(ReturnValues="ALL_NEW", **given)
        table.client.transact_write_items(TransactItems=[{"Update": given}])
        assert "Item" not in table.client.get_item(TableName=table.name, Key=ABSENT, ConsistentRead=True)
        assert table.client.scan(TableName=table.name)["Count"] == 1

    def test_updated_parts_are_shown_and_not_what_is_around_them(self, table: Table) -> None:
        """test/alternator/test_returnvalues.py, test_update_item_returnvalues_nested."""
        numbers = [{"N": str(each)} for each in (1, 2, 3)]
        table.client.put_item(TableName=table.name, Item={**KEY, "m": {"M": {"b": {"S": "dog"}, "c": {"L": numbers}}}})

        def updated(update: str, wanted: str, value: dict[str, Any] | None = None) -> Any:
            values = {"ExpressionAttributeValues": {":v": value}} if value else {}
            given = {"TableName": table.name, "Key": KEY, "UpdateExpression": update, **values}
            return table.client.update_item(ReturnValues=wanted, **given).get("Attributes") or None

        def of_list(*values: int) -> dict[str, Any]:
            return {"m": {"M": {"c": {"L": [{"N": str(each)} for each in values]}}}}

        assert updated("SET m.b = :v", "UPDATED_OLD", {"S": "hi"}) == {"m": {"M": {"b": {"S": "dog"}}}}
        assert updated("SET m.c[1] = :v", "UPDATED_OLD", {"N": "7"}) == of_list(2)
        assert updated("SET m.c[1] = :v", "UPDATED_NEW", {"N": "4"}) == of_list(4)
        assert updated("REMOVE m.c[1], m.c[3]", "UPDATED_OLD") == of_list(4)
        assert updated("SET m.d = :v", "UPDATED_OLD", {"N": "8"}) is None
        # An element beyond the end gets another number; one that has gone leaves its number to the next one.
        assert updated("SET m.c[100] = :v", "UPDATED_NEW", {"N": "70"}) is None
        assert updated("REMOVE m.c[1]", "UPDATED_NEW") == of_list(70)
        table.restore()

    def test_a_filter_of_an_index_sees_what_the_index_has(self, table: Table) -> None:
        """API reference, "Query": queries of a global secondary index cannot fetch attributes from the table."""
        table.client.put_item(TableName=table.name, Item={**ITEM, "data": {"S": "d"}})
        asked = {"TableName": table.name, "IndexName": "KeysIndex"}
        key = {
            "KeyConditionExpression": "#data = :v",
            "ExpressionAttributeNames": {"#data": "data"},
            "ExpressionAttributeValues": {":v": {"S": "d"}},
        }
        for condition, count in (("attribute_not_exists(n)", 1), ("attribute_exists(n)", 0)):
            assert table.client.scan(FilterExpression=condition, **asked)["Count"] == count
            assert table.client.query(FilterExpression=condition, **asked, **key)["Count"] == count
        table.restore()
