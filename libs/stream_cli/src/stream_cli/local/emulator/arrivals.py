"""Readers of streams can wait for records, and learn of new code, instead of asking many times a second.

Kinesis and DynamoDB Streams answer a GetRecords at once, also when there is nothing. To be quick, the mapping engine
had to ask each shard eight times a second, for which an idle emulator used most of its CPU time.

``GET /_streamctl/arrivals?after=COUNT`` answers when there have been more arrivals than COUNT, or after 20 s, with
``{"count": ..., "streams": [...], "functions": [...]}``: how many there have been, the ARNs of the streams that got
records since, and those of the functions that got other code or settings: what failed before may succeed now.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from stream_cli.local.emulator.fault_injection import App, Receive, Scope, Send

INTERNALS = {
    "ministack.services.kinesis": ("_put_record", "_put_records", "put_record_internal", "_resolve_stream"),
    "ministack.services.dynamodb": ("_emit_stream_event", "_tables"),
    "ministack.services.lambda_svc": ("_func_arn", "_update_code", "_update_config"),
}

ARRIVALS_PATH = "/_streamctl/arrivals"
LONGEST_WAIT_S = 20.0
_FUNCTIONS = "arn:aws:lambda:"


class Arrivals:
    """Counts arrivals of records in streams and of changes in functions, and wakes those who wait for one."""

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[str, int] = {}
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def arrived(self, arn: str) -> None:
        """Count an arrival in the stream or the function with this ARN; from any thread, and after it can be seen."""
        with self._lock:
            self.count += 1
            self._last[arn] = self.count
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    async def after(self, count: int, longest_s: float = LONGEST_WAIT_S) -> dict[str, Any]:
        """Wait until there have been other than `count` arrivals; returns their number and where they were."""
        event = asyncio.Event()
        with self._lock:
            if waits := self.count == count:
                self._waiting.append((asyncio.get_running_loop(), event))
        if waits:
            try:
                await asyncio.wait_for(event.wait(), longest_s)
            except TimeoutError:
                pass
            finally:
                with self._lock:
                    self._waiting = [each for each in self._waiting if each[1] is not event]
        with self._lock:
            # An emulator that was started again counts from 0.
            since = count if count <= self.count else 0
            new = [arn for arn, last in self._last.items() if last > since]
            functions = [arn for arn in new if arn.startswith(_FUNCTIONS)]
            return {
                "count": self.count,
                "streams": [arn for arn in new if arn not in functions],
                "functions": functions,
            }


class Announcer:
    """ASGI layer that answers at `ARRIVALS_PATH`."""

    def __init__(self, app: App, arrivals: Arrivals) -> None:
        self._app = app
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != ARRIVALS_PATH:
            await self._app(scope, receive, send)
            return
        (count,) = parse_qs(scope["query_string"].decode("latin-1")).get("after", ["0"])[:1]
        waiting = asyncio.ensure_future(self._arrivals.after(int(count) if count.isdecimal() else 0))
        gone = asyncio.ensure_future(_until_gone(receive))
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        await asyncio.wait({gone})
        if not waiting.done():
            waiting.cancel()
            return
        answer = waiting.result()
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def patch(arrivals: Arrivals) -> None:
    """Count what Kinesis streams and the streams of tables get, and other code and settings of functions."""
    from ministack.services import dynamodb, kinesis, lambda_svc

    put_internally, emit = kinesis.put_record_internal, dynamodb._emit_stream_event

    def telling(put: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def told(request: dict[str, Any]) -> Any:
            response = put(request)
            if response[0] == 200:
                arrivals.arrived(kinesis._resolve_stream(request)[1]["StreamARN"])
            return response

        return told

    def put_and_tell(stream: str, *record: Any) -> bool:
        accepted = bool(put_internally(stream, *record))
        if accepted:
            arrivals.arrived(stream)
        return accepted

    def emit_and_tell(table: str, *change: Any, **more: Any) -> None:
        emit(table, *change, **more)
        stream = (dynamodb._tables.get(table) or {}).get("LatestStreamArn")
        if stream:
            arrivals.arrived(stream)

    kinesis._put_record, kinesis._put_records = telling(kinesis._put_record), telling(kinesis._put_records)
    kinesis.put_record_internal, dynamodb._emit_stream_event = put_and_tell, emit_and_tell
    lambda_svc._update_code, lambda_svc._update_config = (
        _telling_of_function(each, arrivals) for each in (lambda_svc._update_code, lambda_svc._update_config)
    )


def _telling_of_function(update: Callable[..., Any], arrivals: Arrivals) -> Callable[..., Any]:
    from ministack.services import lambda_svc

    def told(name: str, request: dict[str, Any]) -> Any:
        response = update(name, request)
        if response[0] == 200:
            arrivals.arrived(lambda_svc._func_arn(name))
        return response

    return told
