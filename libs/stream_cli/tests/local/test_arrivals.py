"""Who reads streams is told when records arrive, and in which stream."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
from stream_cli.local.emulator.arrivals import ARRIVALS_PATH, Arrivals
from stream_cli.local.endpoint import LocalEndpoint

NEVER = 1_000_000_000  # arrivals: whoever asks after a count that is not the emulator's is answered at once


def told(endpoint: LocalEndpoint, after: int) -> dict[str, Any]:
    answer = httpx.get(f"{endpoint.url}{ARRIVALS_PATH}", params={"after": after}, trust_env=False, timeout=30)
    return dict(answer.raise_for_status().json())


def made_table(endpoint: LocalEndpoint, name: str) -> str:
    made = endpoint.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def test_records_of_streams_and_tables_are_announced(endpoint: LocalEndpoint, name: str) -> None:
    kinesis, dynamodb = endpoint.client("kinesis"), endpoint.client("dynamodb")
    kinesis.create_stream(StreamName=name, ShardCount=1)
    stream = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    table = made_table(endpoint, name)
    count = told(endpoint, NEVER)["count"]

    def arrives_by(change: Any) -> list[str]:
        nonlocal count
        change()
        answer = told(endpoint, count)
        assert answer["count"] > count
        count = answer["count"]
        return list(answer["streams"])

    record = {"Data": b"{}", "PartitionKey": "k"}
    assert arrives_by(lambda: kinesis.put_record(StreamName=name, **record)) == [stream]
    assert arrives_by(lambda: kinesis.put_records(StreamARN=stream, Records=[record])) == [stream]
    assert arrives_by(lambda: dynamodb.put_item(TableName=name, Item={"pk": {"S": "a"}})) == [table]
    statement = f"INSERT INTO \"{name}\" VALUE {{'pk': 'b'}}"
    assert arrives_by(lambda: dynamodb.execute_statement(Statement=statement)) == [table]


def test_other_code_and_settings_of_a_function_are_announced(
    endpoint: LocalEndpoint, name: str, made: Any, package: Any
) -> None:
    functions = made()
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    count = told(endpoint, -1)["count"]
    functions.update_function_code(FunctionName=name, ZipFile=package({"code.py": "handler = len"}))
    answer = told(endpoint, count)
    assert answer["functions"] == [arn]
    assert arn not in answer["streams"]
    functions.update_function_configuration(FunctionName=name, Timeout=7)
    assert told(endpoint, answer["count"])["functions"] == [arn]


def test_who_waits_is_woken_by_the_first_record_from_any_thread() -> None:
    async def waits() -> dict[str, Any]:
        arrivals = Arrivals()
        waiting = asyncio.create_task(arrivals.after(0))
        while not arrivals._waiting:
            await asyncio.sleep(0)
        await asyncio.to_thread(arrivals.arrived, "stream")
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(waits()) == {"count": 1, "streams": ["stream"], "functions": []}


def test_an_answer_names_the_streams_since_the_count_that_was_asked_about() -> None:
    arrivals = Arrivals()
    for stream in ("a", "b", "a"):
        arrivals.arrived(stream)

    async def answers() -> list[list[str]]:
        return [(await arrivals.after(count, 0))["streams"] for count in (0, 1, 2, 3, 99)]

    assert asyncio.run(answers()) == [["a", "b"], ["a", "b"], ["a"], [], ["a", "b"]]
    assert arrivals._waiting == []


def test_arrivals_of_many_threads_are_all_counted() -> None:
    arrivals = Arrivals()
    threads = [threading.Thread(target=lambda: [arrivals.arrived("a") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert arrivals.count == 2_000
