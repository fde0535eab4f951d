"""The way of a call: from a task to a service and back, through what may happen to it there.

A request that has been sent has its effect, whatever becomes of its sender meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from refusals import Refusal

from simulator.faults import AFTER, CONNECT_TIMEOUT_US, READ_TIMEOUT_US, Fate, Faults, refusal
from simulator.kernel import Kernel, Process, ProcessDied

LATENCY_US = {
    "dynamodb": 4_000,
    "events": 12_000,
    "s3": 25_000,
    "sns": 15_000,
    "sqs": 10_000,
    "kinesis": 10_000,
    "firehose": 15_000,
    "lambda": 30_000,
    "cloudwatch": 25_000,
}
"""What a call takes, about; most take less, and some a few times as much."""


class Unreachable(Exception):
    """There is no connection to the service; it has got nothing."""


class AnswerLost(Exception):
    """The service has got the request, and no answer has come in time."""


class BodyBroken(Exception):
    """The connection ends in the midst of an object.

    Attributes:
        response: the answer, whose body ends in the middle.
    """

    def __init__(self, response: Mapping[str, Any]) -> None:
        super().__init__("the connection was broken")
        self.response = response


class SimulatedAws:
    """The services as a program sees them.

    Args:
        services: by boto3's names.
        told: takes what happens, for stories: what, process, and more.
    """

    def __init__(
        self,
        kernel: Kernel,
        services: Mapping[str, Any],
        faults: Faults,
        told: Callable[..., None],
    ) -> None:
        self._kernel = kernel
        self._services = services
        self.faults = faults
        self._told = told
        self.calls = 0

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a call of the current task.

        Raises:
            Refusal: the service answers with an error.
            Unreachable: the connection fails.
            AnswerLost: the time-out passes.
            BodyBroken: the connection fails while the body is read.
        """
        kernel, task = self._kernel, self._kernel.current()
        process = task.process
        if process.dead:
            raise ProcessDied
        self.calls += 1
        faults = self.faults
        fate = None
        if faults.end_us > kernel.now_us:
            fate = faults.fate(kernel.now_us, service, operation, process.name.partition("#")[0], request)
        if fate is not None:
            self._told("trouble", process.name, service, operation, fate.kind, request)
            if fate.kind == "died-before":
                kernel.end(process)
            if fate.kind == "unreachable":
                kernel.sleep(CONNECT_TIMEOUT_US)
                raise Unreachable(f"Could not connect to {service}")
        there_us, back_us = self._latency(process, service)
        if fate is not None and fate.kind == "slow":
            back_us += fate.delay_us
        answers: list[Any] = []

        def arrive() -> None:
            answers.append(self._answer(service, operation, request, fate))
            if back_us < READ_TIMEOUT_US:
                kernel.at(back_us, task.wake)

        if (fate is not None and fate.kind == "answer-lost") or back_us >= READ_TIMEOUT_US:
            kernel.at(there_us, arrive)
            kernel.sleep(there_us + READ_TIMEOUT_US)
            raise AnswerLost(f"Read timeout on {service}")
        kernel.at(there_us, arrive)
        kernel.wait()
        answer = answers[0]
        if fate is not None and fate.kind == "died-after":
            kernel.end(process)
        if isinstance(answer, Refusal):
            self._told("refused", process.name, service, operation, request, answer)
            raise answer
        if fate is not None and fate.kind == "body-broken":
            raise BodyBroken(answer)
        self._told("called", process.name, service, operation, request, answer)
        return answer

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Take what is raised inside for an error of the simulation, whoever catches it."""
        try:
            yield
        except Exception as error:
            self._kernel.broken = error
            raise

    def between(self, caller: str) -> Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]]:
        """How a service calls another one, at one moment: what a trouble does to that is a refusal, and no answer that
        is lost ends anything."""
        kernel = self._kernel

        def call(service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
            fate = None
            if self.faults.end_us > kernel.now_us:
                fate = self.faults.fate(kernel.now_us, service, operation, caller, request)
            if fate is None:
                answer: Mapping[str, Any] = getattr(self._services[service], operation)(request)
                return answer
            self._told("trouble", caller, service, operation, fate.kind, request)
            if fate.kind in AFTER:
                getattr(self._services[service], operation)(request)
            raise refusal(
                fate.kind if fate.kind in ("throttled", "denied") else "unavailable", service, operation, request
            )

        return call

    def _latency(self, process: Process, service: str) -> tuple[int, int]:
        chance = getattr(process, "chance", None)
        draw = 0.5 if chance is None else chance.random()
        whole = int(LATENCY_US[service] * (0.5 + draw + 4 * draw**8))
        return whole // 2, whole - whole // 2

    def _answer(self, service: str, operation: str, request: Mapping[str, Any], fate: Fate | None) -> Any:
        """The moment of the call; what a service raises but a refusal is an error of the simulation."""
        try:
            if fate is not None and fate.kind not in AFTER and fate.kind != "partial":
                return refusal(fate.kind, service, operation, request)
            act = getattr(self._services[service], operation)
            answer = act(request, left=fate.left) if fate is not None and fate.left else act(request)
            return refusal(fate.kind, service, operation, request) if fate and fate.kind == "error-after" else answer
        except Refusal as answered:
            return answered
        except Exception as error:
            self._kernel.broken = error
            return Refusal(500, "SimulationBroken", repr(error))
