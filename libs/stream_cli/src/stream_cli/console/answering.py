"""Answers and actions of the console over HTTP: as JSON, with what is not known, and errors as people can use them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stream_cli.console.arrivals import Arrivals
from stream_cli.console.bodies import json_body
from stream_cli.console.refusals import Refusal
from stream_cli.errors import CommandError
from stream_cli.journal.unknown import noting
from stream_cli.terminal.aws_errors import advice_on, is_of_aws

_READS_WITHIN_S = 20.0
"""A page that takes nothing from its connection for so long is taken for gone."""

logger = logging.getLogger("stream_cli.console")

Answer = Callable[[Request], Any]
Action = Callable[[Request, Mapping[str, Any]], Any]


def answering(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Answers a question."""

    async def answered_as_json(request: Request) -> Response:
        return await _as_json(request.url.path, lambda: run_in_threadpool(answer, request))

    return answered_as_json


def acting(action: Action) -> Callable[[Request], Awaitable[Response]]:
    """Does what the body of a request asks."""

    async def done(request: Request) -> Any:
        return await run_in_threadpool(action, request, await json_body(request))

    async def answered_as_json(request: Request) -> Response:
        answer = await _as_json(request.url.path, lambda: done(request))
        if answer.status_code != 200:
            answer.headers["connection"] = "close"  # what else was sent is not read
        return answer

    return answered_as_json


async def _as_json(path: str, answer: Callable[[], Awaitable[Any]]) -> Response:
    """An answer as JSON; 404 for None, 400 for a wrong question, 500 for what was not expected.

    What it lacks, because that is not known here, is its ``not_known``.
    """
    with noting() as notes:
        content, status = await _answer_or_error(path, answer)
    return _json({**content, "not_known": texts} if (texts := notes.texts()) else content, status)


async def _answer_or_error(path: str, answer: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    """Content and status."""
    try:
        found = await answer()
    except Refusal as refusal:
        return {"error": str(refusal)}, refusal.status
    except ValueError as error:
        return {"error": str(error)}, 400
    except CommandError as error:
        return {"error": _with_advice(error)}, 409
    except Exception as error:
        if is_of_aws(error):
            return {"error": _with_advice(error)}, 502
        logger.exception("%s failed", path)
        return {"error": "The console failed; its log says why."}, 500
    return (found, 200) if found is not None else ({"error": "Nobody has seen it."}, 404)


def _with_advice(error: Exception) -> str:
    advice = advice_on(error)
    return f"{error} {advice}" if advice else str(error)


def _json(content: Any, status: int = 200) -> Response:
    """JSON in ASCII, which can hold whatever text was observed."""
    return Response(json.dumps(content), status, media_type="application/json")


class Arriving:
    """Tells a page what comes in. It has a place before anything else of it runs: many may come at once."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._arrivals.place() as has_place:
            answer: Response = _json({"error": "Too many pages are open at once."}, 503)
            if has_place:
                answer = EventSourceResponse(self._messages(), send_timeout=_READS_WITHIN_S)
            with contextlib.suppress(SendTimeoutError):  # its connection is closed
                await answer(scope, receive, send)

    async def _messages(self) -> AsyncIterator[ServerSentEvent]:
        async for text in self._arrivals.messages():
            yield ServerSentEvent(text)
