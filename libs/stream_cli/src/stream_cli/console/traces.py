"""What came of an event or a key, as `streamctl trace` says."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.journal.questions import Questions
from stream_cli.local.cloud import attach
from stream_cli.local.plain_requests import PlainRequests
from stream_cli.local.state import StateFolder
from stream_cli.terminal.options import LOCAL, stage_option
from stream_cli.trace.command import timeline_of
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.local_stage import LocalApis, lags_of, resubmissions


def trace(questions: Questions, deployed: Deployed, asked: str, stage: str = LOCAL) -> dict[str, Any]:
    """The timeline of an id or a key, as `trace --json` prints it."""
    return timeline_of(questions, deployed, asked, options=stage_option(stage)).as_json()


def deployed_in(state: StateFolder) -> Deployed:
    """What is deployed to the local cloud now; nothing, and why, if none runs."""
    try:
        endpoint = attach(state)
    except CommandError as error:
        return Deployed(_Nothing(), problems=[f"What is deployed is not known. {error}"])
    requests = PlainRequests(endpoint)
    return Deployed(
        LocalApis(requests), state.temporary, lambda: lags_of(state), functools.partial(resubmissions, requests)
    )


class _Nothing:
    """The requests of `Deployed` where nobody answers."""

    def functions(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        return ()

    def code(self, function: str) -> bytes:
        raise CommandError(f"the code of {function} is not known")

    def end_of_code(self, function: str, most: int) -> bytes:
        return self.code(function)

    def stacks(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def resources(self, stack: str) -> Sequence[Mapping[str, Any]]:
        return ()

    def template(self, stack: str) -> str | Mapping[str, Any]:
        raise CommandError(f"the template of {stack} is not known")
