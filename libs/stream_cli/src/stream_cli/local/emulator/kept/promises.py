"""What was acknowledged and is still to be done: asynchronous invocations, notifications of buckets and topics.

ministack does such work in threads of which nothing is left when the process ends. Here each is written down before the
request is answered that asks for it, and struck out when it is done. What is found at a start is done then: once more,
if it had been begun, as services deliver asynchronously at least once.

An asynchronous invocation begins again with its request id, and all its attempts.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

from stream_cli.local.kept_file import Change, Row, written

INTERNALS = {
    "ministack.core.responses": ("_request_account_id", "_request_region", "request_scope"),
    "ministack.services.eventbridge": ("threading", "_dispatch_to_lambda"),
    "ministack.services.cloudwatch_logs": ("threading",),
    "ministack.services.lambda_svc": (
        *("threading", "invoke_async_with_retry", "_execute_function_with_config_scope", "_get_func_record_for_ref"),
        *("_execution_record_for_config", "new_uuid"),
    ),
    "ministack.services.s3": ("threading", "_fire_s3_event"),
    "ministack.services.sns": ("_threading", "_deliver_to_lambda"),
}

PROMISE = "promise"
_INVOKE, _RUN, _NOTIFY, _FAN_OUT = "invoke", "run", "notify", "fan out"

logger = logging.getLogger("stream_cli.kept")

Work = tuple[str, tuple[Any, ...], dict[str, Any]]


class Promises:
    """The work that is still to be done."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._numbers = itertools.count()
        self._ending = False
        self._changed: dict[int, bytes | None] = {}
        self._guard = threading.Lock()
        self._calling = threading.local()
        self._left: list[tuple[int, Any]] = []

    def changes(self) -> Iterator[Change]:
        """What was promised and done since the last time."""
        with self._guard:
            changed, self._changed = self._changed, {}
        for number, promise in changed.items():
            yield Change((PROMISE,), number, promise)

    def _promise(self, work: Work) -> int:
        from ministack.core import responses

        account, region = responses.get_account_id(), responses.get_region()
        with self._guard:
            number = next(self._numbers)
            self._changed[number] = written((account, region, *work))
        self._told()
        return number

    def end(self) -> None:
        """What is not done from now on stays promised: functions are being ended."""
        with self._guard:
            self._ending = True

    def _done(self, number: int) -> None:
        with self._guard:
            if self._ending:
                return
            self._changed[number] = None
        self._told()

    def take(self, rows: list[Row]) -> None:
        """Take what was promised before."""
        self._left = [(row.key, row.value) for row in rows if row.place == (PROMISE,)]
        self._numbers = itertools.count(max((number for number, _ in self._left), default=-1) + 1)

    def keep(self) -> None:
        """Do what is left of the promises of before; each makes a new one."""
        from ministack.core.responses import request_scope

        left, self._left = self._left, []
        if left:
            logger.warning(
                "%d asynchronous deliveries were not done when the cloud ended; they are done now", len(left)
            )
        for number, (account, region, kind, given, options) in left:
            with request_scope(account, region):
                self._begin(kind, given, options)
            self._done(number)

    def _begin(self, kind: str, given: tuple[Any, ...], options: dict[str, Any]) -> None:
        from ministack.services import lambda_svc, s3, sns

        if kind in {_INVOKE, _RUN}:
            name, event, *request_id = given
            function, config, _ = lambda_svc._get_func_record_for_ref(name)
            if function is None or config is None:
                logger.error("%s is gone; its invocation is given up", name)
                return
            record = lambda_svc._execution_record_for_config(function, config)
            if kind == _INVOKE:
                lambda_svc.invoke_async_with_retry(record, event, *request_id)
                return
            work: Callable[..., Any] = lambda_svc._execute_function_with_config_scope
            given = (record, event)
        else:
            work = s3._fire_s3_event if kind == _NOTIFY else sns._deliver_to_lambda
        self._thread(target=_in_this_context(work), args=(work, *given), kwargs=options, daemon=True).start()

    def patch(self) -> None:
        """Write down what threads are started for."""
        from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, s3, sns

        invoke = lambda_svc.invoke_async_with_retry

        def invoked(function: dict[str, Any], event: Any, request_id: str = "") -> None:
            request_id = request_id or lambda_svc.new_uuid()
            # In a variable of the thread: the context would go on in the one that runs the invocation.
            self._calling.work = (_INVOKE, (_arn_of(function), event, request_id), {})
            try:
                invoke(function, event, request_id)
            finally:
                self._calling.work = None

        lambda_svc.invoke_async_with_retry = invoked
        for module in (lambda_svc, s3, eventbridge, cloudwatch_logs):
            module.threading = _Threading(self._thread)
        sns._threading = _Threading(self._thread)

    def _thread(self, *arguments: Any, **options: Any) -> threading.Thread:
        work = self._work_of(options)
        thread = threading.Thread(*arguments, **options)
        if work is None:
            return thread
        number, run = self._promise(work), thread.run

        def run_and_strike_out() -> None:
            try:
                run()
            finally:
                self._done(number)

        thread.run = run_and_strike_out  # type: ignore[method-assign]
        return thread

    def _work_of(self, options: dict[str, Any]) -> Work | None:
        """The work of a thread, if it is to be done whatever happens."""
        from ministack.services import lambda_svc, s3, sns

        given = getattr(self._calling, "work", None)
        if given is not None:
            self._calling.work = None
            return given  # type: ignore[no-any-return]
        target, arguments, named = options.get("target"), options.get("args", ()), options.get("kwargs") or {}
        if target is lambda_svc._execute_function_with_config_scope:
            return _RUN, (_arn_of(arguments[0]), arguments[1]), {}
        if arguments and isinstance(getattr(target, "__self__", None), Context):
            work, *given_to = arguments
            if work is s3._fire_s3_event:
                return _NOTIFY, tuple(given_to), named
            if work is sns._deliver_to_lambda:
                return _FAN_OUT, tuple(given_to), named
        return None


class _Threading:
    """The module ``threading``, whose threads do what was promised."""

    def __init__(self, thread: Callable[..., threading.Thread]) -> None:
        self.Thread = thread

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


def _in_this_context(work: Callable[..., Any]) -> Callable[..., Any]:
    from contextvars import copy_context

    return copy_context().run


def _arn_of(function: dict[str, Any]) -> str:
    config = function.get("config") or function
    return str(config["FunctionArn"])
