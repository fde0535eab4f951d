"""Asynchronous invocations are tried again as on AWS, by the Lambda developer guide, "How Lambda handles errors and
retries with asynchronous invocation".

ministack tries an event again after 1 and 2 s, when what has made it fail may still be there: a lease, for example. It
counts an attempt that was throttled, and gives each attempt a request id of its own, from which functions derive ids.
"""

from __future__ import annotations

import random
import time
from contextvars import ContextVar, copy_context
from typing import Any

INTERNALS = {
    "ministack.services.lambda_svc": (
        *("invoke_async_with_retry", "_execute_function", "_route_async_failure", "new_uuid", "threading", "logger"),
        *("_account_region_from_function_config", "_request_account_id", "_request_region"),
        *("_LAMBDA_ASYNC_RETRY_BASE_SECONDS",),
    ),
}

RETRY_VARIABLE = "LAMBDA_ASYNC_RETRY_BASE_SECONDS"
"""ministack's variable: the wait before the first retry; before the second it is twice as long."""
RETRY_S = "60"
THROTTLED_S = (1.0, 300.0)
"""First and longest wait of an event that is throttled."""
MOST_AGE_S = 21_600

_request_id: ContextVar[str | None] = ContextVar("asynchronous_request_id", default=None)
"""The id for the attempt that begins."""


def patch() -> None:
    """Try again as late as AWS does, with one request id."""
    from ministack.services import lambda_svc

    made = lambda_svc.new_uuid

    def identifier() -> str:
        """Each attempt asks for its id first."""
        given = _request_id.get()
        _request_id.set(None)
        return given or str(made())

    lambda_svc.new_uuid = identifier
    lambda_svc.invoke_async_with_retry = begin


def begin(function: dict[str, Any], event: Any, request_id: str = "") -> None:
    """Invoke a function in a thread of its own, until that succeeds or is given up."""
    from ministack.services import lambda_svc

    request_id = request_id or lambda_svc.new_uuid()
    work = (_try, function, event, request_id)
    lambda_svc.threading.Thread(target=copy_context().run, args=work, daemon=True).start()


def _try(function: dict[str, Any], event: Any, request_id: str) -> None:
    from ministack.services import lambda_svc

    config = function.get("config") or function
    account, region = lambda_svc._account_region_from_function_config(config)
    lambda_svc._request_account_id.set(account)
    lambda_svc._request_region.set(region)
    name, settings = config["FunctionName"], _settings(function)
    retries = settings.get("MaximumRetryAttempts")
    retries = 2 if retries is None else int(retries)
    began, failed, throttled = time.monotonic(), 0, 0
    while True:
        _request_id.set(request_id)
        result = lambda_svc._execute_function(function, event)
        if log := result.get("log"):
            lambda_svc.logger.info("Lambda %s async output (attempt %d):\n%s", name, failed + throttled + 1, log)
        if not result.get("error"):
            return
        if result.get("throttle"):
            first, longest = THROTTLED_S
            wait_s = min(longest, first * 2**throttled) * random.uniform(0.5, 1)
            throttled += 1
        elif failed == retries:
            break
        else:
            wait_s = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS * 2**failed
            failed += 1
        if time.monotonic() - began + wait_s > int(settings.get("MaximumEventAgeInSeconds") or MOST_AGE_S):
            break
        time.sleep(wait_s)  # it is AWS's
    if destination := _destination(config, settings):
        lambda_svc._route_async_failure(destination, name, event, result)


def _settings(function: dict[str, Any]) -> dict[str, Any]:
    return function.get("event_invoke_config") or (function.get("event_invoke_configs") or {}).get("$LATEST") or {}


def _destination(config: dict[str, Any], settings: dict[str, Any]) -> str:
    on_failure = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    return str(on_failure.get("Destination") or (config.get("DeadLetterConfig") or {}).get("TargetArn") or "")
