"""Tracing: only where it is turned on, and with the segment carried into the threads that make calls."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import aws_lambda_powertools
import pytest
from stream_runtime import stream_handler, tracing
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task


class Recorder:
    """X-Ray's recorder: the current segment of each thread."""

    def __init__(self) -> None:
        self.local = threading.local()

    def get_trace_entity(self) -> Any:
        return getattr(self.local, "entity", None)

    def set_trace_entity(self, entity: Any) -> None:
        self.local.entity = entity


class Tracer:
    """Powertools' tracer, as far as it is used."""

    made: ClassVar[list["Tracer"]] = []

    def __init__(self, service: str) -> None:
        self.service = service
        self.provider = Recorder()
        Tracer.made.append(self)

    def capture_lambda_handler(self, handler: Any, capture_response: bool) -> Any:
        def traced(event: Any, context: Any) -> Any:
            self.provider.set_trace_entity("## handler")
            return handler(event, context)

        return traced


@pytest.fixture(autouse=True)
def tracer(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Tracer]]:
    monkeypatch.setattr(aws_lambda_powertools, "Tracer", Tracer, raising=False)
    Tracer.made.clear()
    yield Tracer
    tracing._tracers.clear()


def invoke(segments: list[Any]) -> None:
    def execute(uow: Any) -> None:
        recorder = Tracer.made[0].provider if Tracer.made else SimpleNamespace(get_trace_entity=lambda: None)
        segments.append(recorder.get_trace_entity())

    rules = [
        {"id": f"r{n}", "flavor": task, "event_type": "thing", "execute": execute, "parallel": 4} for n in range(2)
    ]
    events = [{"id": f"e{n}", "type": "thing", "timestamp": n, "partition_key": f"k{n}"} for n in range(20)]
    stream_handler(rules, from_kinesis)(to_kinesis_records(events), None)


def test_without_the_setting_there_is_no_tracer() -> None:
    invoke([])
    assert Tracer.made == []


def test_calls_in_threads_belong_to_the_handler_s_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACING", "true")
    monkeypatch.setenv("SERVICE", "things")
    segments: list[Any] = []
    invoke(segments)
    assert segments == ["## handler"] * 40
    assert Tracer.made[0].service == "things"
