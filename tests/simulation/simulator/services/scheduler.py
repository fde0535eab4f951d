"""EventBridge Scheduler: schedules by rate, with flexible windows, retries and dead-letter queues.

Sources: EventBridge Scheduler user guide, "Schedule types", "Configuring flexible time windows" and "Configuring a
dead-letter queue". A target is called at least once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from refusals import Refusal
from stream_cli.local.target_streams import Failure

from simulator.chance import fraction, fractions, uuid_of
from simulator.kernel import MICROSECONDS, Kernel
from simulator.topology import Schedule

Request = Mapping[str, Any]
Call = Callable[[str, str, Request], Mapping[str, Any]]

DOUBLED = 0.01
"""How often a target is called twice; AWS gives no figure."""

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}
_WAIT_FIRST_S, _WAIT_LONGEST_S = 1, 300
"""Backoff is exponential (Scheduler API reference, "RetryPolicy"); AWS documents no figures."""


class Scheduler:
    """The schedules of a deployment. They go on for ever: `stop` ends them.

    Args:
        call: calls the target: ``("lambda", "Invoke", request)``, and SQS for a dead letter; raises `Refusal`.
        told: takes what happens, for stories: what, schedule, and more.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        schedules: Iterable[Schedule],
        call: Call,
        *,
        told: Callable[..., None] = lambda *happened: None,
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/scheduler"
        self._call = call
        self._told = told
        self.schedules: dict[str, Schedule] = {}
        self.calling = 0
        self.lost: list[str] = []
        self.deploy(schedules)

    def deploy(self, schedules: Iterable[Schedule]) -> None:
        """Have these schedules; one that is new or changed begins at once, as it does without a start date."""
        before = self.schedules
        self.schedules = {each.name: each for each in schedules}
        for schedule in self.schedules.values():
            if schedule.enabled and before.get(schedule.name) != schedule:
                self._kernel.at(0, lambda schedule=schedule: self._begin(schedule))  # type: ignore[misc]

    def stop(self) -> None:
        """Begin nothing new."""
        self.schedules = {}

    def _begin(self, schedule: Schedule) -> None:
        if self.schedules.get(schedule.name) is not schedule:
            return
        now = self._kernel.now_us
        doubled, *when, _ = fractions(f"{self._seed}/{schedule.name}/{now}")
        for each in when[: 2 if doubled < DOUBLED else 1]:
            self.calling += 1
            self._later(schedule, now, 0, int(each * schedule.flexible_s * MICROSECONDS))
        self._kernel.at(period_s(schedule.expression) * MICROSECONDS, lambda: self._begin(schedule))

    def _later(self, schedule: Schedule, scheduled_us: int, retries: int, wait_us: int) -> None:
        self._kernel.at(wait_us, lambda: self._invoke(schedule, scheduled_us, retries))

    def _invoke(self, schedule: Schedule, scheduled_us: int, retries: int) -> None:
        payload = schedule.input if schedule.input is not None else self._event(schedule, scheduled_us)
        request = {"FunctionName": schedule.target_arn, "InvocationType": "Event", "Payload": payload.encode()}
        try:
            self._call("lambda", "Invoke", request)
        except Refusal as refusal:
            self._failed(schedule, scheduled_us, retries, Failure(refusal.code, str(refusal)), payload)
        else:
            self.calling -= 1
            self._told("scheduled", schedule.name)

    def _failed(self, schedule: Schedule, scheduled_us: int, retries: int, failure: Failure, payload: str) -> None:
        wait_s = min(_WAIT_LONGEST_S, _WAIT_FIRST_S * 2 ** min(retries, 20)) * (
            0.5 + fraction(f"{self._seed}/{schedule.name}/{scheduled_us}/{retries}") / 2
        )
        age_s = (self._kernel.now_us - scheduled_us) / MICROSECONDS + wait_s
        exhausted = None
        if retries >= schedule.retry.retries:
            exhausted = "MaximumRetryAttempts"
        elif age_s > schedule.retry.age_s:
            exhausted = "MaximumEventAgeInSeconds"
        if exhausted is None and not failure.is_permanent:
            self._told("not scheduled", schedule.name, failure.code)
            self._later(schedule, scheduled_us, retries + 1, int(wait_s * MICROSECONDS))
            return
        self.calling -= 1
        self._told("schedule given up", schedule.name, failure.code)
        if schedule.dead_letter_arn is None:
            self.lost.append(schedule.name)
            return
        self._bury(schedule, scheduled_us, retries, failure, payload, exhausted)

    def _bury(
        self, schedule: Schedule, scheduled_us: int, retries: int, failure: Failure, payload: str, exhausted: str | None
    ) -> None:
        region, account, name = str(schedule.dead_letter_arn).split(":")[3:6]
        attributes = {
            "ERROR_CODE": failure.code,
            "ERROR_MESSAGE": failure.message or failure.code,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(retries),
            "SCHEDULED_TIME": _iso(scheduled_us),
            "SCHEDULE_ARN": schedule.arn,
            "TARGET_ARN": schedule.target_arn,
            **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
        }
        request = {
            "QueueUrl": f"https://sqs.{region}.amazonaws.com/{account}/{name}",
            "MessageBody": payload,
            "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()},
        }
        try:
            self._call("sqs", "SendMessage", request)
        except Refusal:
            self.lost.append(schedule.name)

    def _event(self, schedule: Schedule, scheduled_us: int) -> str:
        """The default notification of a target without an Input; AWS documents that there is one, and not its fields
        (Scheduler API reference, "Target")."""
        return json.dumps(
            {
                "version": "0",
                "id": uuid_of(f"{self._seed}/{schedule.name}/{scheduled_us}"),
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": schedule.arn.split(":")[4],
                "time": _iso(scheduled_us),
                "region": schedule.arn.split(":")[3],
                "resources": [schedule.arn],
                "detail": "{}",
            }
        )


def period_s(expression: str) -> int:
    """The seconds of a rate; schedules by cron and at a time are not simulated."""
    found = _RATE.fullmatch(expression)
    if found is None:
        raise TypeError(f"{expression} is not simulated; give rate(... minutes)")
    return int(found[1]) * _SECONDS[found[2]]


def _iso(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us // MICROSECONDS))
