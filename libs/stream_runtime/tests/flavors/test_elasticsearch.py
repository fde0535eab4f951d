"""elasticsearch: bulk requests to a domain, every item's own error, signed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import elasticsearch


class Domain:
    """A loopback domain that keeps bulk requests and answers each item with the status planned for its id."""

    def __init__(self) -> None:
        self.requests: list[list[Any]] = []
        self.headers: list[Any] = []
        self.statuses: dict[str, list[int]] = {}
        self.answers: list[int] = []
        domain = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
                domain.headers.append(self.headers)
                status = domain.answers.pop(0) if domain.answers else 200
                body = json.dumps(domain.answer([json.loads(line) for line in lines])).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, lines: list[Any]) -> dict[str, Any]:
        self.requests.append(lines)
        items = []
        for line in lines:
            ((action, metadata),) = line.items() if len(line) == 1 else (("", None),)
            if action not in ("index", "delete", "create", "update"):
                continue
            statuses = self.statuses.get(metadata["_id"])
            status = statuses.pop(0) if statuses else 200
            error = {"error": {"type": f"error_{status}", "reason": "r"}} if status >= 300 else {}
            items.append({action: {"_index": metadata["_index"], "_id": metadata["_id"], "status": status, **error}})
        return {"errors": any("error" in next(iter(item.values())) for item in items), "items": items}


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    domain = Domain()
    thread = threading.Thread(target=domain.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("ES_DOMAIN_HOST", domain.url)
    yield domain
    domain.server.shutdown()
    thread.join()
    domain.server.server_close()


def thing(number: int, key: str | None = None) -> dict[str, Any]:
    return {"id": f"e{number}", "type": "thing", "timestamp": 100 + number, "partition_key": key or f"k{number}"}


def to_document(uow: Any) -> dict[str, Any]:
    return {"index": "things", "id": uow["event"]["partition_key"], "data": {"name": uow["event"]["id"], "n": 1}}


RULE = {"id": "es", "flavor": elasticsearch, "event_type": "thing", "to_elasticsearch": to_document}


def assembled(*events: Any, **fields: Any) -> Any:
    pipeline = StreamPipeline(initialize_from([{**RULE, **fields}]), DEFAULT_OPTIONS)
    return pipeline.assemble(from_kinesis(to_kinesis_records(events)))


def test_a_batch_of_documents_is_one_request(domain: Domain) -> None:
    assert assembled(thing(0), thing(1)) == {"batchItemFailures": []}
    assert domain.requests == [
        [
            {"index": {"_index": "things", "_id": "k0", "version": 100, "version_type": "external_gte"}},
            {"name": "e0", "n": 1},
            {"index": {"_index": "things", "_id": "k1", "version": 101, "version_type": "external_gte"}},
            {"name": "e1", "n": 1},
        ]
    ]


def test_requests_are_signed(domain: Domain) -> None:
    assembled(thing(0))
    assert "/us-west-2/es/aws4_request" in domain.headers[0]["Authorization"]


def test_changes_of_one_document_are_sent_in_order(domain: Domain) -> None:
    assembled(thing(0, "k"), thing(1, "k"))
    assert [lines[1]["name"] for lines in domain.requests] == ["e0", "e1"]


def test_a_document_is_deleted(domain: Domain) -> None:
    assembled(thing(0), to_elasticsearch=lambda _: {"index": "things", "id": "k0", "action": "delete"})
    assert domain.requests == [
        [{"delete": {"_index": "things", "_id": "k0", "version": 100, "version_type": "external_gte"}}]
    ]


def test_only_the_item_that_was_rejected_is_sent_again(domain: Domain) -> None:
    domain.statuses["k0"] = [429]
    assert assembled(thing(0), thing(1)) == {"batchItemFailures": []}
    assert [[line["index"]["_id"] for line in lines if "index" in line] for lines in domain.requests] == [
        ["k0", "k1"],
        ["k0"],
    ]


def test_an_item_that_cannot_be_indexed_becomes_a_fault(domain: Domain, bus: Any) -> None:
    domain.statuses["k0"] = [400]
    assert assembled(thing(0), thing(1)) == {"batchItemFailures": []}
    assert [fault["uow"]["event"]["id"] for fault in bus.of_type("fault")] == ["e0"]


def test_a_stale_document_is_an_outcome(domain: Domain) -> None:
    domain.statuses["k0"] = [409]
    pipeline = StreamPipeline(initialize_from([RULE]), DEFAULT_OPTIONS)
    run = pipeline.process(from_kinesis(to_kinesis_records([thing(0)])))
    assert run.outcomes == {"condition_failed": 1}
    assert run.faults == []


def test_a_domain_that_fails_as_a_whole_is_asked_again(domain: Domain) -> None:
    domain.answers = [503, 200]
    assert assembled(thing(0)) == {"batchItemFailures": []}
    assert len(domain.requests) == 2


def test_a_domain_that_refuses_the_credentials_leaves_the_batch_for_retry(domain: Domain) -> None:
    domain.answers = [403]
    assert assembled(thing(0)) == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(domain.requests) == 1


def test_a_domain_that_cannot_be_reached_leaves_the_batch_for_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "2")
    assert assembled(thing(0), domain_host="http://127.0.0.1:9") == {"batchItemFailures": [{"itemIdentifier": "0"}]}
