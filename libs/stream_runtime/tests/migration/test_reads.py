"""Reads of aws_lambda_stream: objects of a bucket and documents of a domain. Cases of its utils/test_s3.py and
utils/test_elasticsearch.py, written anew.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stream_runtime.events import from_s3, to_s3_records
from stream_runtime.flavors import task
from stream_runtime.operators import compose, rx_map
from stream_runtime.queries.opensearch import query_elasticsearch
from stream_runtime.queries.s3 import get_object_from_s3, page_objects_from_s3, to_get_object_request

CREATED = {"id": "e1", "type": "thing-created", "timestamp": 1548967022000, "partition_key": "t1"}


def rule(*operators: Any) -> dict[str, Any]:
    return {
        "id": "r",
        "flavor": task,
        "event_type": "thing-created",
        "execute_operators": lambda _: compose(*operators),
    }


def test_every_object_of_every_page_is_a_unit_of_work(bucket: Any, run: Any) -> None:
    """Case: test_page_objects_from_s3."""
    for key in ("in/one", "in/two", "in/three", "out/four"):
        bucket.put_object(Key=key, Body=b"")
    listing = rx_map(lambda uow: {**uow, "list_request": {"Prefix": "in/", "MaxKeys": 2}})
    uows = run(rule(listing, page_objects_from_s3("views")), CREATED)
    assert [uow["list_response"]["Content"]["Key"] for uow in uows] == ["in/one", "in/three", "in/two"]
    assert {uow["event"]["id"] for uow in uows} == {"e1"}


def test_no_object_is_no_unit_of_work_and_without_a_request_a_unit_passes(bucket: Any, run: Any) -> None:
    listing = rx_map(lambda uow: {**uow, "find": {"Prefix": "in/"}} if uow["event"]["id"] == "e1" else uow)
    uows = run(rule(listing, page_objects_from_s3(list_request_field="find")), CREATED, {**CREATED, "id": "e2"})
    assert [uow["event"]["id"] for uow in uows] == ["e2"]


def test_the_object_of_a_notification_is_read(bucket: Any, run: Any) -> None:
    """Cases: test_to_get_object_request, test_get_object_from_s3; keys are decoded, gzip is decompressed."""
    bucket.put_object(Key="in/a file.json", Body=gzip.compress(b"content"))
    notification = to_s3_records([{"bucket": {"name": "views"}, "object": {"key": "in/a file.json"}}])
    read = {**rule(rx_map(to_get_object_request), get_object_from_s3()), "event_type": "object-created"}
    (uow,) = run(read, uows=from_s3(notification))
    assert (uow["get_request"], uow["get_response"]) == ({"Bucket": "views", "Key": "in/a file.json"}, b"content")


@pytest.mark.parametrize("make", [lambda: get_object_from_s3("views"), get_object_from_s3])
def test_a_request_without_a_bucket_reads_the_operator_s_or_the_function_s(bucket: Any, run: Any, make: Any) -> None:
    bucket.put_object(Key="one", Body=b"1")
    (uow,) = run(rule(rx_map(lambda uow: {**uow, "get_request": {"Key": "one"}}), make()), CREATED)
    assert uow["get_response"] == b"1"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The searches that a loopback domain was asked for: path, body and headers; it finds nothing."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body, self.headers))
            answer = b'{"hits": []}'
            self.send_response(503 if len(asked) == 1 else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("ES_DOMAIN_HOST", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_search_is_signed_retried_and_made_once_for_equal_requests(searches: list[Any], run: Any) -> None:
    """Cases: test_query_elasticsearch; connectors/test_opensearch.py, test_opensearch_document_methods."""
    request = {"index": "things", "payload": {"size": 1, "from": None}, "query": {"q": "a b", "pretty": True}, "x": 1}
    asking = rx_map(lambda uow: {**uow, "query_request": request} if uow["event"]["id"] != "e3" else uow)
    events = [{**CREATED, "id": f"e{number}", "partition_key": f"k{number}"} for number in (1, 2, 3)]
    uows = run(rule(asking, query_elasticsearch()), *events)
    assert [uow.get("query_response") for uow in uows] == [{"hits": []}, {"hits": []}, None]
    assert [path for path, _, _ in searches] == ["/things/_search?q=a%20b&pretty=true"] * 2
    assert searches[1][1] == {"size": 1}
    assert searches[1][2]["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=testing/")
