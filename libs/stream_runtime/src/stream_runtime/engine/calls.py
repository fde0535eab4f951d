"""Calls to AWS, retried within the time that the current run has left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from stream_runtime.aws.clients import client, new_token, tokens_of

from .retry import Retry
from .run import current_run

T = TypeVar("T")

_limited: ContextVar[Retry | None] = ContextVar("limited", default=None)


def call(service: str, operation: str, **request: Any) -> Any:
    """Call AWS and return the response; throttling, timeouts, lost connections and 5xx are retried.

    Args:
        service: as boto3 names it, such as ``"dynamodb"``.
        operation: the client's method, such as ``"query"``.
        request: the operation's parameters. All attempts have the same idempotency token, where there is one.

    Raises:
        botocore.exceptions.ClientError: what AWS answered at the last attempt.
    """
    for member in tokens_of(service, operation):
        request.setdefault(member, new_token())  # one for all attempts: what was done is not done again
    return current_retry().call(lambda: getattr(client(service), operation)(**request))


def retried(function: Callable[[], T]) -> T:
    """Call a function until it does not fail transiently, like `call`; raise `TransientError` to be called again."""
    return current_retry().call(function)


def pause(attempt: int) -> bool:
    """Wait before another attempt at something that is not one call, such as a read and a conditional write.

    Args:
        attempt: the number of the attempt that did not succeed: 1, 2, ...

    Returns:
        False, at once, if no attempt or no time is left.
    """
    return current_retry().pause(attempt)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Retry the calls made inside for at most so many seconds, and never behind the deadline of the run."""
    outer = current_retry().deadline
    deadline = time.monotonic() + seconds
    token = _limited.set(Retry(deadline if outer is None else min(deadline, outer)))
    try:
        yield
    finally:
        _limited.reset(token)


def current_retry() -> Retry:
    """The retries of the innermost `time_limit`, else those of the current run, else retries without a deadline."""
    limited = _limited.get()
    if limited is not None:
        return limited
    run = current_run.get()
    return Retry() if run is None else run.retry
