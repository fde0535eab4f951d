"""X-Ray subsegments through Powertools' Tracer if TRACING is true: one for the handler, with the calls below it.

X-Ray keeps the current segment per thread; work for other threads takes it along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from . import settings

T = TypeVar("T")

_tracers: list[Any] = []


def traced(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A handler whose invocations are traced; the handler itself if TRACING is off.

    Raises:
        ImportError: TRACING is true and aws-xray-sdk is not in the function's package.
    """
    if not settings.TRACING.read():
        return handler
    from aws_lambda_powertools import Tracer

    tracer = Tracer(service=settings.SERVICE.read())
    _tracers[:] = [tracer]
    wrapped: Callable[[Any, Any], Any] = tracer.capture_lambda_handler(handler, capture_response=False)
    return wrapped


def carried(work: Callable[[T], None]) -> Callable[[T], None]:
    """Work for other threads, with this thread's segment as its parent; unchanged without tracing."""
    if not _tracers:
        return work
    recorder = _tracers[0].provider
    segment = recorder.get_trace_entity()
    if segment is None:
        return work

    def in_segment(item: T) -> None:
        recorder.set_trace_entity(segment)
        work(item)

    return in_segment
