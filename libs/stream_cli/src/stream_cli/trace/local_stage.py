"""The local cloud, for a timeline: its journal, and requests in plain HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from stream_cli.faults.ledger import Resubmission, entry_in, key_of
from stream_cli.journal.answers import Journal
from stream_cli.local.cloud import attach
from stream_cli.local.plain_requests import PlainRequests, outputs_in
from stream_cli.local.state import StateFolder
from stream_cli.mappings.status import StatusUnavailable, read_status
from stream_cli.trace.deployed import Deployed, ShardLag


@contextmanager
def connect(state: StateFolder) -> Iterator[tuple[Journal, Deployed]]:
    """Who answers questions, and what is deployed.

    Raises:
        CommandError: no cloud runs there.
    """
    requests = PlainRequests(attach(state))
    apis = LocalApis(requests)
    journal = Journal(state.journal)
    try:
        yield journal, Deployed(apis, state.temporary, lambda: lags_of(state), partial(resubmissions, requests))
    finally:
        journal.close()


class LocalApis:
    """The requests of `deployed.Apis` to the local cloud."""

    def __init__(self, requests: PlainRequests) -> None:
        self._requests = requests

    def functions(self) -> Sequence[Mapping[str, Any]]:
        return self._requests.functions()

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        return self._requests.mappings()

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        return self._requests.bus_rules(bus)

    def code(self, function: str) -> bytes:
        return self._requests.code(function)

    def end_of_code(self, function: str, most: int) -> bytes:
        return self.code(function)[-most:]

    def stacks(self) -> Sequence[Mapping[str, Any]]:
        return self._requests.stacks()

    def resources(self, stack: str) -> Sequence[Mapping[str, Any]]:
        return self._requests.resources(stack)

    def template(self, stack: str) -> str | Mapping[str, Any]:
        return self._requests.template(stack)


def lags_of(state: StateFolder) -> dict[tuple[str, str], ShardLag]:
    """How far each mapping is in each shard, as its engine says."""
    try:
        status = read_status(state.mappings)
    except StatusUnavailable:
        return {}
    return {
        (mapping["uuid"], shard["shard"]): ShardLag(shard["behind"], int(shard["iterator_age"] * 1000))
        for mapping in status["mappings"]
        for shard in mapping["shards"]
        if shard["behind"] is not None
    }


def resubmissions(requests: PlainRequests, faults: Iterable[str]) -> dict[str, Resubmission]:
    """The last resubmission of each of these faults that has one."""
    stack = requests.described("event-fault-monitor-local")
    bucket = outputs_in(stack).get("bucketName") if stack is not None else None
    if bucket is None:
        return {}
    contents = {fault: requests.get(bucket, key_of(fault)) for fault in faults}
    return {
        fault: entry_in(content, f"s3://{bucket}/{key_of(fault)}", "") for fault, content in contents.items() if content
    }
