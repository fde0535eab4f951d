"""What the simulated DynamoDB does as time passes: late reads, streams, TTL, tokens; and its limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from refusals import Refusal
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.dynamodb import DynamoDB, IndexDescription, Stream, TableDescription
from simulator.services.dynamodb.streams import KEPT_US, LIFETIME_US
from simulator.services.dynamodb.tables import LONGEST_LAG_US

SECOND_US = MICROSECONDS
HOUR_US, DAY_US = 3600 * SECOND_US, 24 * 3600 * SECOND_US
TABLE = TableDescription(
    "rows",
    ("pk", "sk"),
    {"pk": "S", "sk": "S", "state": "S"},
    (IndexDescription("StateIndex", ("state",), "KEYS_ONLY"),),
    ttl="ttl",
    view="NEW_AND_OLD_IMAGES",
)
SEEDS = range(40)


class World:
    """A table, its stream and the time."""

    def __init__(self, seed: int, table: TableDescription = TABLE) -> None:
        self.kernel = Kernel(seed)
        self.service = DynamoDB(self.kernel, seed, [table])
        self.table = table

    @property
    def stream(self) -> Stream:
        return self.service.streams[self.table.stream_arn or ""]

    @property
    def now_s(self) -> int:
        return self.kernel.now_us // SECOND_US

    def put(self, pk: str, sk: str = "a", **attributes: Any) -> None:
        self.service.PutItem({"TableName": "rows", "Item": {**key(pk, sk), **attributes}})

    def get(self, pk: str, sk: str = "a", *, consistent: bool = False) -> Any:
        return self.service.GetItem({"TableName": "rows", "Key": key(pk, sk), "ConsistentRead": consistent}).get("Item")

    def in_state(self, state: str) -> list[str]:
        """The partition keys of the items that the index has in a state."""
        found = self.service.Query(
            {
                "TableName": "rows",
                "IndexName": "StateIndex",
                "KeyConditionExpression": "#state = :state",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {":state": {"S": state}},
            }
        )
        return [item["pk"]["S"] for item in found["Items"]]

    def records(self) -> list[tuple[str, dict[str, Any]]]:
        """Every record, with the id of its shard, in the order of sequence numbers."""
        found = [(shard.id, record) for shard in self.stream.shards() for record in self.stream.read(shard.id).records]
        return sorted(found, key=lambda pair: int(pair[1]["dynamodb"]["SequenceNumber"]))


def key(pk: str, sk: str = "a") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


# --- late reads ---


def test_a_consistent_read_sees_every_write_and_others_are_two_seconds_late_at_most() -> None:
    late = 0
    for seed in SEEDS:
        world = World(seed)
        for version in range(1, 20):
            world.kernel.now_us += 300_000
            world.put("a", n=number(version))
            assert world.get("a", consistent=True)["n"] == number(version)
            seen = world.get("a")
            age = version - (0 if seen is None else int(seen["n"]["N"]))
            late += age > 0
            assert age * 300_000 <= LONGEST_LAG_US + 300_000
        world.kernel.now_us += LONGEST_LAG_US
        assert world.get("a")["n"] == number(19)
    assert 0.1 < late / (len(SEEDS) * 19) < 0.5


def test_an_index_sees_a_change_later_and_at_last_the_state_of_the_table() -> None:
    late = 0
    for seed in SEEDS:
        world = World(seed)
        for turn, state in enumerate(("new", "ready", "new", "ready")):
            world.put("a", state={"S": state}, n=number(turn))
            world.put("b", **({"state": {"S": state}} if turn % 2 else {}))
            late += world.in_state(state) != ["a", "b"]
            world.kernel.now_us += 5_000
        world.kernel.now_us += 20 * SECOND_US
        assert (world.in_state("new"), world.in_state("ready")) == ([], ["a", "b"])
        with pytest.raises(Refusal, match="Consistent reads are not supported on global secondary indexes"):
            world.service.Scan({"TableName": "rows", "IndexName": "StateIndex", "ConsistentRead": True})
    assert late > 0


def test_a_query_that_is_late_sees_its_partition_as_it_was_at_one_moment() -> None:
    """Two items are always written one after the other: whoever sees the second sees the first."""
    seen = set()
    query = {
        "TableName": "rows",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
    }
    for seed in SEEDS:
        world = World(seed)
        for turn in range(1, 10):
            world.kernel.now_us += 100_000
            world.put("a", "1", n=number(turn))
            world.kernel.now_us += 100_000
            world.put("a", "2", n=number(turn))
            turns = [int(item["n"]["N"]) for item in world.service.Query(query)["Items"]]
            seen.add(turns[0] - turns[1] if len(turns) == 2 else len(turns))
            assert len(turns) != 2 or turns[0] - turns[1] in (0, 1), turns
    assert {0, 1} <= seen


# --- streams ---


def test_a_stream_has_each_change_once_and_an_items_changes_in_order() -> None:
    for seed in SEEDS:
        world = World(seed)
        told: list[str] = []
        world.stream.on_change.append(told.append)
        assert 2 <= len(world.stream.shards()) <= 4
        for turn in range(12):
            for pk in "abcde":
                world.put(pk, n=number(turn // 2))  # every other one changes nothing
                world.kernel.now_us += 1_000
        world.service.DeleteItem({"TableName": "rows", "Key": key("a")})
        records = world.records()
        numbers = [record["dynamodb"]["SequenceNumber"] for _, record in records]
        assert numbers == sorted(set(numbers), key=int)
        assert len({record["eventID"] for _, record in records}) == len(records) == 5 * 6 + 1 == len(told)
        for pk in "abcde":
            of_item = [(shard, each) for shard, each in records if each["dynamodb"]["Keys"] == key(pk)]
            assert len({shard for shard, _ in of_item}) == 1
            images = [(each["dynamodb"].get("OldImage"), each["dynamodb"].get("NewImage")) for _, each in of_item]
            assert [new for _, new in images][:-1] == [old for old, _ in images][1:]
            names = [each["eventName"] for _, each in of_item]
            assert names == ["INSERT", *["MODIFY"] * 5, *(["REMOVE"] if pk == "a" else [])]


def test_a_record_has_the_shape_of_get_records() -> None:
    world = World(1)
    world.put("abc", n=number(7), image={"B": b"\xff"})
    ((_, record),) = world.records()
    assert record.pop("eventID")
    assert record["dynamodb"].pop("SequenceNumber")
    assert record == {
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": world.now_s,
            "Keys": key("abc"),
            "NewImage": {**key("abc"), "n": number(7), "image": {"B": "/w=="}},
            # Names and text in UTF-8; a number takes a byte for two digits and one more: keys twice, n 7, image.
            "SizeBytes": 8 + 8 + 3 + 6,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("NEW_AND_OLD_IMAGES", {"OldImage", "NewImage"}),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("KEYS_ONLY", set()),
    ],
)
def test_a_record_has_the_images_of_the_view_type(view: str, images: set[str]) -> None:
    world = World(1, TableDescription("rows", ("pk", "sk"), {"pk": "S", "sk": "S"}, view=view))
    world.put("a", n=number(1))
    world.put("a", n=number(2))
    _, (_, record) = world.records()
    assert {name for name in record["dynamodb"] if name.endswith("Image")} == images


def test_a_shard_is_read_from_where_a_reader_is() -> None:
    world = World(1)
    for turn in range(10):
        world.put("a", n=number(turn))
    (shard,) = {shard for shard, _ in world.records()}
    numbers = [record["dynamodb"]["SequenceNumber"] for _, record in world.records()]
    read: list[str] = []
    for _ in range(len(numbers)):
        page = world.stream.read(shard, read[-1] if read else None, limit=3)
        assert not page.closed
        read += [record["dynamodb"]["SequenceNumber"] for record in page.records]
    assert read == numbers
    latest = world.stream.latest(shard)
    assert world.stream.read(shard, latest).records == []
    world.put("a", n=number(10))
    assert len(world.stream.read(shard, latest).records) == 1


def test_shards_are_closed_after_hours_and_go_on_in_their_children() -> None:
    splits = 0
    for seed in SEEDS:
        world = World(seed)
        told: list[str] = []
        world.stream.on_change.append(told.append)
        first = {shard.id for shard in world.stream.shards()}
        for turn in range(12):
            for pk in "abcdefgh":
                world.put(pk, n=number(turn))
            world.kernel.now_us += LIFETIME_US // 3
        shards = {shard.id: shard for shard in world.stream.shards()}
        children = {shard.id for shard in shards.values() if shard.parent is not None}
        parents = {shard.parent for shard in shards.values() if shard.parent is not None}
        assert parents | children <= set(told)
        assert children == shards.keys() - first
        splits += len(children) - len(parents)
        for shard in shards.values():
            page = world.stream.read(shard.id)
            assert page.closed is (shard.last is not None) is (shard.id in parents)
            numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in page.records]
            assert all(int(shard.first) <= each <= int(shard.last or each) for each in numbers)
            assert world.stream.read(shard.id, limit=1).closed is (page.closed and len(numbers) <= 1)
            if shard.parent is not None:
                assert int(shards[shard.parent].last or 0) < int(shard.first)
        for pk in "abcdefgh":
            of_item = [shard for shard, each in world.records() if each["dynamodb"]["Keys"] == key(pk)]
            lines = list(dict.fromkeys(of_item))
            assert all(shards[later].parent == earlier for earlier, later in pairwise(lines))
            assert len(of_item) == 12
    assert splits > 0


def test_records_and_closed_shards_go_after_a_day() -> None:
    world = World(3)
    world.put("a", n=number(1))
    world.kernel.now_us += KEPT_US // 2
    world.put("a", n=number(2))
    (parent, _), (child, _) = world.records()
    world.kernel.now_us += KEPT_US // 2 + SECOND_US
    assert [shard for shard, _ in world.records()] == [child]
    world.kernel.now_us += KEPT_US // 2
    assert world.records() == []
    assert parent not in {shard.id for shard in world.stream.shards()}
    with pytest.raises(KeyError):
        world.stream.read(parent)


# --- TTL ---


def test_ttl_removes_an_item_minutes_to_days_after_it_has_expired_and_says_who_it_was() -> None:
    delays = []
    for seed in SEEDS:
        world = World(seed)
        expires_s = world.now_s + 100
        world.put("a", ttl=number(expires_s), state={"S": "old"})
        world.kernel.run(expires_s * SECOND_US)
        assert world.get("a") is not None
        world.kernel.run()
        delays.append(world.kernel.now_us - expires_s * SECOND_US)
        assert world.service.items("rows") == []
        (_, record) = world.records()[-1]
        assert record["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
        assert (record["eventName"], record["dynamodb"]["OldImage"]["state"]) == ("REMOVE", {"S": "old"})
        world.kernel.now_us += DAY_US
        assert world.in_state("old") == []
    assert 60 * SECOND_US <= min(delays) < HOUR_US
    assert DAY_US < max(delays) <= 3 * DAY_US


@pytest.mark.parametrize("later", [{}, {"ttl": {"S": "soon"}}, {"ttl": number(2_000_000_000)}])
def test_ttl_keeps_an_item_whose_time_was_changed(later: dict[str, Any]) -> None:
    world = World(5)
    world.put("a", ttl=number(world.now_s + 100))
    world.put("a", **later)
    world.kernel.run(world.kernel.now_us + 10 * DAY_US)
    assert len(world.service.items("rows")) == 1


def test_ttl_keeps_what_expired_more_than_five_years_ago() -> None:
    """It would be milliseconds, or a date in a text: developer guide, "Using time to live"."""
    world = World(5)
    world.put("a", ttl=number(world.now_s - 6 * 366 * 86_400))
    world.put("b", ttl=number(world.now_s * 1000))
    world.put("c", ttl=number(world.now_s - 86_400))
    world.kernel.run(world.kernel.now_us + 10 * DAY_US)
    assert [item["pk"]["S"] for item in world.service.items("rows")] == ["a", "b"]


# --- transactions and batches ---


def added(pk: str) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": "rows",
            "Key": key(pk),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": number(1)},
        }
    }


def test_a_transaction_with_the_same_token_is_made_once_in_ten_minutes() -> None:
    world = World(1)
    request = {"TransactItems": [added("a")], "ClientRequestToken": "token"}
    for _ in range(3):
        assert world.service.TransactWriteItems(request) == {}
    assert world.get("a", consistent=True)["n"] == number(1)
    with pytest.raises(Refusal) as refused:
        world.service.TransactWriteItems({**request, "TransactItems": [added("b")]})
    assert refused.value.code == "IdempotentParameterMismatchException"
    world.kernel.now_us += 10 * 60 * SECOND_US
    world.service.TransactWriteItems(request)
    assert world.get("a", consistent=True)["n"] == number(2)


def test_a_transaction_that_fails_changes_nothing_and_may_be_made_with_its_token() -> None:
    world = World(1)
    condition = {"TableName": "rows", "Key": key("b"), "ConditionExpression": "attribute_exists(pk)"}
    request = {"TransactItems": [added("a"), {"ConditionCheck": condition}], "ClientRequestToken": "token"}
    with pytest.raises(Refusal, match=r"specific reasons \[None, ConditionalCheckFailed\]"):
        world.service.TransactWriteItems(request)
    assert (world.service.items("rows"), world.records()) == ([], [])
    world.put("b")
    world.service.TransactWriteItems(request)
    assert world.get("a", consistent=True)["n"] == number(1)


def test_a_batch_answers_which_entries_are_left() -> None:
    world = World(1)
    puts = [{"PutRequest": {"Item": key(pk)}} for pk in "abc"]
    answer = world.service.BatchWriteItem({"RequestItems": {"rows": puts}}, left=frozenset({0, 2}))
    assert answer == {"UnprocessedItems": {"rows": [puts[0], puts[2]]}}
    assert world.service.items("rows") == [key("b")]
    asked = {"Keys": [key(pk) for pk in "xb"], "ConsistentRead": True}
    answer = world.service.BatchGetItem({"RequestItems": {"rows": asked}}, left=frozenset({0}))
    assert answer == {
        "Responses": {"rows": [key("b")]},
        "UnprocessedKeys": {"rows": {"Keys": [key("x")], "ConsistentRead": True}},
    }


# --- limits ---


def test_a_page_has_one_megabyte_and_a_batch_of_items_sixteen() -> None:
    """API reference, "Query" and "BatchGetItem"."""
    world = World(1)
    for place in range(50):
        world.put("a", f"{place:02}", text={"S": "x" * 400_000})
    query = {
        "TableName": "rows",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
        "ConsistentRead": True,
    }
    page = world.service.Query(query)
    assert (page["Count"], page["LastEvaluatedKey"]) == (2, key("a", "01"))
    assert world.service.Query({**query, "ExclusiveStartKey": key("a", "48")})["Count"] == 1
    keys = [key("a", f"{place:02}") for place in range(50)]
    answer = world.service.BatchGetItem({"RequestItems": {"rows": {"Keys": keys, "ConsistentRead": True}}})
    assert len(answer["Responses"]["rows"]) == 41
    assert len(answer["UnprocessedKeys"]["rows"]["Keys"]) == 9


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem", "TransactWriteItems"])
def test_a_batch_has_an_end(operation: str) -> None:
    world = World(1)
    requests: dict[str, dict[str, Any]] = {
        "BatchGetItem": {"RequestItems": {"rows": {"Keys": [key(str(place)) for place in range(101)]}}},
        "BatchWriteItem": {
            "RequestItems": {"rows": [{"PutRequest": {"Item": key(str(place))}} for place in range(26)]}
        },
        "TransactWriteItems": {"TransactItems": [added(str(place)) for place in range(101)]},
    }
    with pytest.raises(Refusal) as refused:
        getattr(world.service, operation)(requests[operation])
    assert refused.value.code == "ValidationException"
    assert world.service.items("rows") == []


# --- the rest ---


def test_the_same_seed_gives_the_same_history() -> None:
    def played(seed: int) -> list[Any]:
        world = World(seed)
        for turn in range(30):
            world.kernel.now_us += 200_000
            world.put("abc"[turn % 3], n=number(turn), state={"S": "new"}, ttl=number(world.now_s + turn))
        seen = [world.get("a"), world.in_state("new")]
        world.kernel.run()
        return [*seen, world.records(), world.kernel.now_us]

    assert played(1) == played(1)
    assert played(1) != played(2)


def test_a_parameter_that_is_not_simulated_is_no_answer_of_aws() -> None:
    with pytest.raises(TypeError, match="Select of Scan is not simulated"):
        World(1).service.Scan({"TableName": "rows", "Select": "COUNT"})


def test_a_table_is_described_by_its_resource() -> None:
    properties = {
        "AttributeDefinitions": [
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "state", "AttributeType": "S"},
        ],
        "KeySchema": [{"AttributeName": "sk", "KeyType": "RANGE"}, {"AttributeName": "pk", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "StateIndex",
                "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
    }
    assert TableDescription.of("rows", properties) == TABLE
    assert TABLE.stream_arn == "arn:aws:dynamodb:us-east-1:123456789012:table/rows/stream/2026-01-01T00:00:00.000"
    without = {name: value for name, value in properties.items() if name in ("AttributeDefinitions", "KeySchema")}
    plain = TableDescription.of("rows", without)
    assert (plain.indexes, plain.ttl, plain.stream_arn) == ((), None, None)
