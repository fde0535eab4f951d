"""Lambda: the real handlers of the services, in execution environments that begin, are used again, and end.

Invocations call back instead of being waited for, so that whoever invokes needs no task of its own.

All processes share the modules of the program. What an invocation changes there is either given to each process
(`_own`), or has no part in what happens: `test_world.py` lists it, and shows that there is nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import stream_runtime
from refusals import Refusal
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.records import iso_time

from simulator.kernel import MICROSECONDS, Kernel, Process, ProcessDied
from simulator.topology import Deployment, Function
from simulator.virtual import STDOUT

SERVICES = Path(__file__).parents[3] / "services"
MILLISECOND = 1_000
SECOND = MICROSECONDS

RETRY_AFTER_S = (60, 120)
"""Waits between the attempts at an asynchronous event (Lambda developer guide, "How Lambda handles errors and retries
with asynchronous invocation")."""

THROTTLED_S = (1, 300)
"""First and longest wait of an asynchronous event that is throttled (same page)."""

DESTINATION_ATTEMPTS = 100
"""How often an on-failure destination is tried: for more than an hour."""

IDLE_S = (300, 900)
"""After how long an environment that is not used ends. AWS documents no figures."""

ACCOUNT_CONCURRENCY = 1_000
"""Default of the quota of a region (Lambda developer guide, "Lambda quotas")."""

Handler = Callable[[Any, Any], Any]
Done = Callable[[Invocation], None]


class Environment(Process):
    """An execution environment of a function: a process with the function's variables.

    Attributes:
        number: counts the environments of a function from 1.
        chance: its own dice.
        invocation: what it is busy with.
    """

    def __init__(self, kernel: Kernel, seed: int, function: Function, number: int, skew_us: int) -> None:
        super().__init__(f"{function.name}#{number}", _variables(function), skew_us, _own(function))
        self.function = function
        self.number = number
        self.chance = random.Random(f"{seed}/environment/{self.name}")
        self.invocation: Attempt | None = None
        self.idle_since_us = 0
        self.ended = self._ended

    def _ended(self) -> None:
        if self.invocation is not None:
            self.invocation.settle(self.invocation.at_end)


@dataclass
class Context:
    """What a handler is told about its invocation (Lambda developer guide, "Using the Lambda context object")."""

    kernel: Kernel
    function: Function
    aws_request_id: str
    deadline_us: int
    log_stream_name: str
    function_version: str = "$LATEST"
    identity: Any = None
    client_context: Any = None

    @property
    def function_name(self) -> str:
        return self.function.name

    @property
    def invoked_function_arn(self) -> str:
        return self.function.arn

    @property
    def memory_limit_in_mb(self) -> int:
        return self.function.memory_mb

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function.name}"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, (self.deadline_us - self.kernel.now_us) // MILLISECOND)


class Attempt:
    """One run of a function, from its start until it is settled: by its result, or by the end of its process.

    Attributes:
        at_end: what is answered if the process ends first.
    """

    def __init__(self, kernel: Kernel, environment: Environment, request_id: str, done: Done) -> None:
        self.kernel = kernel
        self.environment = environment
        self.request_id = request_id
        self.settled = False
        self.at_end = _failure("Runtime.ExitError", "Runtime exited with error: signal: killed", request_id)
        self._done = done

    def settle(self, outcome: Invocation) -> None:
        """Answer whoever has invoked, once."""
        if not self.settled:
            self.settled = True
            self._done(outcome)


@dataclass
class _Deployed:
    function: Function
    handler: Handler
    idle: list[Environment] = field(default_factory=list)
    busy: int = 0
    made: int = 0


@dataclass
class Queued:
    """An asynchronous event: when it was accepted, and how often the function has failed on it."""

    function: str
    payload: bytes
    request_id: str
    at_us: int
    attempts: int = 0
    throttled: int = 0


class Functions:
    """The functions of a deployment.

    Args:
        measure: takes the metrics of Lambda: the name, the function's name, and a value.
        measured: takes the metrics in a line of a log; says whether it has some.
        send: tells a destination by its ARN; False if that does not succeed.
        told: takes what happens, for stories: what, function, and more.
        concurrency: how many invocations of all functions may run at once.
        skewed: by how much clocks are off at most, in microseconds.
        doubled: the share of asynchronous events that are delivered once more after they were processed.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: int,
        deployment: Deployment,
        *,
        measure: Callable[[str, str, float], None],
        measured: Callable[[str], bool],
        send: Callable[[str, Mapping[str, Any]], bool],
        told: Callable[..., None],
        concurrency: int = ACCOUNT_CONCURRENCY,
        skewed_us: int = 0,
        doubled: float = 0.0,
    ) -> None:
        self._kernel = kernel
        self._seed = seed
        self._measure = measure
        self._measured = measured
        self._send = send
        self._told = told
        self._concurrency = concurrency
        self._skewed_us = skewed_us
        self._doubled = doubled
        self._chance = random.Random(f"{seed}/functions")
        self._by_name: dict[str, _Deployed] = {}
        self.environments: list[Environment] = []
        self.queued = 0
        self.deploy(deployment)

    def deploy(self, deployment: Deployment) -> None:
        """Have these functions from now on. One that has changed goes on in new environments."""
        for name, function in deployment.functions.items():
            known = self._by_name.get(name)
            if known is None:
                self._by_name[name] = _Deployed(function, handler_of(function))
            elif known.function != function:
                for environment in known.idle:
                    self._end(environment)
                known.function, known.handler, known.idle = function, handler_of(function), []
        for name in self._by_name.keys() - deployment.functions.keys():
            del self._by_name[name]

    @property
    def is_busy(self) -> bool:
        """Whether something runs or waits for its turn."""
        return bool(self.queued) or any(each.busy for each in self._by_name.values())

    # --- synchronous ---

    def start(self, name: str, payload: bytes, done: Done, request_id: str = "") -> None:
        """Run a function by its name or ARN; `done` gets its answer when that has arrived.

        The answer is None of a function's if it is throttled (`Invocation.throttled`).
        """
        kernel, deployed = self._kernel, self._deployed(name)
        function = deployed.function
        request_id = request_id or self._request_id()
        if self._is_throttled(deployed):
            self._measure("Throttles", function.name, 1)
            self._told("throttled", function.name, request_id)
            refusal = Invocation(b'{"Reason":"ConcurrentInvocationLimitExceeded"}', None, request_id, throttled=True)
            kernel.at(self._answer_us(), lambda: done(refusal))
            return
        environment, cold_us = self._environment(deployed)
        deployed.busy += 1
        began_us = kernel.now_us + cold_us
        limit_us = function.timeout_s * SECOND

        def settled(outcome: Invocation) -> None:
            deployed.busy -= 1
            environment.invocation = None
            self._measure("Invocations", function.name, 1)
            self._measure("Errors", function.name, outcome.function_error is not None)
            self._measure("Duration", function.name, (kernel.now_us - began_us) / MILLISECOND)
            if environment.dead:
                self.environments.remove(environment)
            elif deployed.function is environment.function:
                environment.idle_since_us = kernel.now_us
                deployed.idle.append(environment)
            self._told("answered", function.name, request_id, environment.name, outcome)
            kernel.at(self._answer_us(), lambda: done(outcome))

        attempt = environment.invocation = Attempt(kernel, environment, request_id, settled)
        context = Context(kernel, function, request_id, began_us + limit_us, environment.name)
        self._told("invoked", function.name, request_id, environment.name, payload)

        def expire() -> None:
            if not attempt.settled:
                timed_out = f"Task timed out after {function.timeout_s:.2f} seconds"
                attempt.at_end = _failure("Sandbox.Timedout", timed_out, request_id)
                kernel.end(environment)

        kernel.at(cold_us + limit_us, expire)
        kernel.spawn(environment, lambda: self._serve(attempt, deployed.handler, payload, context, cold_us))

    def _serve(self, attempt: Attempt, handler: Handler, payload: bytes, context: Context, cold_us: int) -> None:
        if cold_us:
            self._kernel.sleep(cold_us)
        for owner, name in attempt.environment.own:
            setattr(owner, name, {} if name == "context" else None)
        try:
            answer = json.dumps(handler(json.loads(payload), context)).encode()
            outcome = Invocation(answer, None, attempt.request_id)
        except ProcessDied:
            raise
        except Exception as error:
            outcome = _failure(type(error).__name__, str(error), attempt.request_id)
        attempt.settle(outcome)

    def invoke(self, name: str, payload: bytes) -> Invocation:
        """Run a function and wait for its answer, from a task."""
        task, answers = self._kernel.current(), list[Invocation]()

        def done(outcome: Invocation) -> None:
            answers.append(outcome)
            task.wake()

        self.start(name, payload, done)
        while not answers:
            self._kernel.wait()
        return answers[0]

    def _deployed(self, name: str) -> _Deployed:
        found = self._by_name.get(name.rpartition(":function:")[2] or name)
        if found is None:
            raise Refusal(404, "ResourceNotFoundException", f"Function not found: {name}")
        return found

    def _is_throttled(self, deployed: _Deployed) -> bool:
        """Whether concurrency is spent (Lambda developer guide, "Understanding Lambda function scaling")."""
        if deployed.function.reserved is not None:
            return deployed.busy >= deployed.function.reserved
        left = self._concurrency
        for each in self._by_name.values():
            left -= each.busy if each.function.reserved is None else each.function.reserved
        return left <= 0

    def _environment(self, deployed: _Deployed) -> tuple[Environment, int]:
        """An environment, and how long it takes to begin."""
        kernel, chance = self._kernel, self._chance
        while deployed.idle:
            environment = deployed.idle.pop()
            if kernel.now_us - environment.idle_since_us < environment.chance.uniform(*IDLE_S) * SECOND:
                return environment, 0
            self._end(environment)
        deployed.made += 1
        skew_us = int(chance.uniform(-self._skewed_us, self._skewed_us))
        environment = Environment(kernel, self._seed, deployed.function, deployed.made, skew_us)
        environment.write = lambda text: self._write(environment, text)
        self.environments.append(environment)
        return environment, int(environment.chance.uniform(200, 1500)) * MILLISECOND

    def _end(self, environment: Environment) -> None:
        self._kernel.end(environment)
        self.environments.remove(environment)

    def _write(self, environment: Environment, text: str) -> None:
        if not self._measured(text):
            self._told("logged", environment.name, text)

    def _request_id(self) -> str:
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _answer_us(self) -> int:
        return int(self._chance.uniform(1, 4) * MILLISECOND)

    # --- asynchronous ---

    def Invoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Put an event into a function's queue; only ``InvocationType`` Event is simulated."""
        if request["InvocationType"] != "Event":
            raise TypeError(f"InvocationType {request['InvocationType']} is not simulated")
        payload = request["Payload"]
        self.queue(request["FunctionName"], payload.encode() if isinstance(payload, str) else payload)
        return {"StatusCode": 202, "Payload": b""}

    def queue(self, name: str, payload: bytes) -> str:
        """Accept an asynchronous event; returns its request id, which is the same for all of its attempts."""
        deployed = self._deployed(name)
        event = Queued(deployed.function.name, payload, self._request_id(), self._kernel.now_us)
        self.queued += 1
        self._kernel.at(self._queue_us(), lambda: self._try(event))
        return event.request_id

    def _queue_us(self) -> int:
        return int(self._chance.uniform(5, 50) * MILLISECOND)

    def _try(self, event: Queued) -> None:
        age_s = (self._kernel.now_us - event.at_us) / SECOND
        function = self._by_name[event.function].function
        if (event.attempts or event.throttled) and age_s > function.event_age_s:
            self._give_up(event, "EventAgeExceeded", None)
            return
        self.start(event.function, event.payload, lambda outcome: self._tried(event, outcome), event.request_id)

    def _tried(self, event: Queued, outcome: Invocation) -> None:
        kernel, function = self._kernel, self._by_name[event.function].function
        if outcome.throttled:
            first, longest = THROTTLED_S
            wait_s = min(longest, first * 2**event.throttled) * self._chance.uniform(0.5, 1)
            event.throttled += 1
            kernel.at(int(wait_s * SECOND), lambda: self._try(event))
        elif outcome.function_error is None:
            self.queued -= 1
            if self._chance.random() < self._doubled:
                # "Even if your function doesn't return an error, it's possible for it to receive the same event from
                # Lambda multiple times because the queue itself is eventually consistent" (same page).
                again = Queued(event.function, event.payload, event.request_id, event.at_us, function.retries)
                self.queued += 1
                kernel.at(int(self._chance.uniform(0.01, 30) * SECOND), lambda: self._try(again))
        elif event.attempts >= function.retries:
            event.attempts += 1
            self._give_up(event, "RetriesExhausted", outcome)
        else:
            wait_s = RETRY_AFTER_S[event.attempts] * self._chance.uniform(1, 1.1)
            event.attempts += 1
            kernel.at(int(wait_s * SECOND), lambda: self._try(event))

    def _give_up(self, event: Queued, condition: str, outcome: Invocation | None) -> None:
        """Tell the on-failure destination (Lambda developer guide, "Capturing records of asynchronous invocations")."""
        self.queued -= 1
        function = self._by_name[event.function].function
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": iso_time(self._kernel.now_us / SECOND, "milliseconds"),
            "requestContext": {
                "requestId": event.request_id,
                "functionArn": f"{function.arn}:$LATEST",
                "condition": condition,
                "approximateInvokeCount": event.attempts,
            },
            "requestPayload": json.loads(event.payload),
        }
        if outcome is not None:
            record["responseContext"] = {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": outcome.function_error,
            }
            record["responsePayload"] = json.loads(outcome.payload)
        self._told("event given up", function.name, event.request_id, condition)
        if function.failure_arn is not None:
            self._tell_destination(function, record, 1)

    def _tell_destination(self, function: Function, record: Mapping[str, Any], attempt: int) -> None:
        """Send a record to its destination.

        AWS says that records are lost where permissions, resources or sizes are wrong, and not how often it tries what
        fails for now (Lambda developer guide, "Types of metrics for Lambda functions", DestinationDeliveryFailures).
        """
        if self._send(str(function.failure_arn), record):
            return
        if attempt == DESTINATION_ATTEMPTS:
            self._measure("DestinationDeliveryFailures", function.name, 1)
            return
        self.queued += 1

        def again() -> None:
            self.queued -= 1
            self._tell_destination(function, record, attempt + 1)

        self._kernel.at(min(60, 2**attempt) * SECOND, again)


def _failure(kind: str, message: str, request_id: str) -> Invocation:
    of_lambda = f"RequestId: {request_id} Error: " if "." in kind else ""
    answer = {"errorType": kind, "errorMessage": of_lambda + message}
    return Invocation(json.dumps(answer).encode(), "Unhandled", request_id)


# --- the program under test ---


def handler_of(function: Function) -> Handler:
    """The handler of a function, imported as Lambda does it: with the function's variables in the environment."""
    found = _handlers.get((function.service, function.handler))
    if found is None:
        found = _handlers[function.service, function.handler] = _imported_handler(function)
    return found


_handlers: dict[tuple[str, str], Handler] = {}


def _imported_handler(function: Function) -> Handler:
    module_name, _, name = function.handler.replace("/", ".").rpartition(".")
    folder = str(SERVICES / function.service)
    if folder not in sys.path:
        sys.path.append(folder)
    with _as_function(function):
        module = importlib.import_module(module_name)
        _import_all(module_name.partition(".")[0])
        _import_all(stream_runtime.__name__)
    handler: Handler = getattr(module, name)
    return handler


_imported: set[str] = set()


def _import_all(package: str) -> None:
    """Import all modules of a package: one that is first imported while a history is played would bind virtual time."""
    if package in _imported:
        return
    _imported.add(package)
    for each in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if each.name not in ("stream_runtime.testing",) and ".handlers." not in each.name:
            importlib.import_module(each.name)
    for name in ("aws_lambda_powertools.logging.formatter", "reactivex", "uuid", "concurrent.futures.thread"):
        importlib.import_module(name)


@contextmanager
def _as_function(function: Function) -> Iterator[None]:
    """Loggers that are made inside write to the process whose task runs."""
    before, stdout = dict(os.environ), sys.stdout
    os.environ.update(_variables(function))
    sys.stdout = STDOUT
    try:
        yield
    finally:
        sys.stdout = stdout
        os.environ.clear()
        os.environ.update(before)


def _variables(function: Function) -> dict[str, str]:
    """The function's own variables, and Lambda's (Lambda developer guide, "Defined runtime environment variables")."""
    region = function.arn.split(":")[3]
    return {
        **function.environment,
        "_HANDLER": function.handler,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.14",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "AWS_SESSION_TOKEN": "simulated",
    }


def _own(function: Function) -> tuple[tuple[Any, str], ...]:
    """What is module state of a handler and changes from one invocation to the next: Powertools' router keeps the
    request there."""
    module = importlib.import_module(function.handler.replace("/", ".").rpartition(".")[0])
    app = getattr(module, "app", None)
    if app is None:
        return ()
    from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

    return ((app, "context"), (BaseRouter, "current_event"), (BaseRouter, "lambda_context"))
