"""What a timeline needs to know of a stage beside what was observed: mappings, rules of buses, rules of functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from stream_cli import private_files
from stream_cli.errors import CommandError
from stream_cli.faults.ledger import Resubmission
from stream_cli.journal.lines import EventLine
from stream_cli.trace.function_rules import RuleFacts, read_rules

_AT_ONCE = 2  # each is a process of its own that uses one processor


@dataclass(frozen=True)
class DeployedMapping:
    """An event source mapping on a stream; ``patterns`` are the JSON texts of its filters."""

    id: str
    function: str
    source: str
    enabled: bool
    patterns: tuple[str, ...] = ()
    destination: str | None = None


@dataclass(frozen=True)
class RuleOfBus:
    """An enabled rule of a bus, with the JSON text of its pattern."""

    name: str
    pattern: str


@dataclass(frozen=True)
class ShardLag:
    """How far a mapping is in a shard.

    Attributes:
        behind: records that it has not done, as far as it has read; None if that is not known.
        age_ms: how long ago the oldest of them came.
    """

    behind: int | None
    age_ms: int


class Apis(Protocol):
    """The requests that answer this; each returns what the API does, of all pages."""

    def functions(self) -> Sequence[Mapping[str, Any]]:
        """The configurations of functions."""

    def mappings(self) -> Sequence[Mapping[str, Any]]:
        """The event source mappings."""

    def bus_rules(self, bus: str) -> Sequence[Mapping[str, Any]]:
        """The rules of a bus."""

    def code(self, function: str) -> bytes:
        """The zip file of a function.

        Raises:
            CommandError, OSError: it cannot be read.
        """

    def end_of_code(self, function: str, most: int) -> bytes:
        """The last bytes of that zip file; all of it, if it has no more.

        Raises:
            CommandError, OSError: it cannot be read.
        """

    def stacks(self) -> Sequence[Mapping[str, Any]]:
        """The stacks, as DescribeStacks describes them."""

    def resources(self, stack: str) -> Sequence[Mapping[str, Any]]:
        """The resources of a stack, as ListStackResources lists them."""

    def template(self, stack: str) -> str | Mapping[str, Any]:
        """The template of a stack after its transforms, as text or as what is in it."""


@dataclass
class Deployed:
    """A stage as it is deployed now. Each question is asked once.

    Attributes:
        kept: where the rules of functions are kept by the code that they were read from; nowhere without it.
        lags: how far each mapping is in each shard, by both ids.
        resubmissions: the last resubmission of each of these faults that has one.
    """

    apis: Apis
    kept: Path | None = None
    lags: Callable[[], Mapping[tuple[str, str], ShardLag]] = dict
    resubmissions: Callable[[Iterable[str]], Mapping[str, Resubmission]] = lambda ids: {}
    problems: list[str] = field(default_factory=list)
    _rules: dict[str, tuple[RuleFacts, ...] | None] = field(default_factory=dict)
    _bus_rules: dict[str, list[RuleOfBus]] = field(default_factory=dict)

    @cached_property
    def functions(self) -> dict[str, Mapping[str, Any]]:
        """The configurations of functions by name."""
        return {each["FunctionName"]: each for each in self.apis.functions()}

    @cached_property
    def mappings(self) -> list[DeployedMapping]:
        """All mappings."""
        return [
            DeployedMapping(
                each["UUID"],
                each["FunctionArn"].partition(":function:")[2],
                each.get("EventSourceArn", ""),
                str(each.get("State", "Enabled")).lower() not in ("disabled", "disabling"),
                tuple(one["Pattern"] for one in (each.get("FilterCriteria") or {}).get("Filters", ())),
                ((each.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination"),
            )
            for each in self.apis.mappings()
        ]

    @cached_property
    def _lags(self) -> Mapping[tuple[str, str], ShardLag]:
        return self.lags()

    def lag(self, mapping: str, shard: str | None) -> ShardLag | None:
        """How far a mapping is in a shard, or in the one where it is furthest behind; None if that is not known."""
        if shard is not None:
            return self._lags.get((mapping, shard))
        lags = [lag for (of, _), lag in self._lags.items() if of == mapping]
        return max(lags, key=lambda lag: lag.behind or 0, default=None)

    def readers(self, stream: str) -> list[DeployedMapping]:
        """The mappings on a stream; one of an enhanced fan-out consumer has the consumer's ARN below the stream's."""
        return [each for each in self.mappings if each.source == stream or each.source.startswith(f"{stream}/")]

    def bus_rules(self, bus: str) -> list[RuleOfBus]:
        """The enabled rules with patterns of a bus."""
        if bus not in self._bus_rules:
            self._bus_rules[bus] = [
                RuleOfBus(each["Name"], each["EventPattern"])
                for each in self.apis.bus_rules(bus)
                if each.get("EventPattern") and each.get("State", "ENABLED") != "DISABLED"
            ]
        return self._bus_rules[bus]

    def envelope_of(self, event: EventLine) -> dict[str, Any]:
        """An event as the patterns of its bus see it; the account is that of the functions."""
        arn = next((str(each["FunctionArn"]) for each in self.functions.values() if "FunctionArn" in each), "")
        region, account = (arn.split(":") + [""] * 5)[3:5]
        at = datetime.fromtimestamp(event["at"] / 1000, UTC)
        return {
            "version": "0",
            "id": event["id"],
            "source": event["source"],
            "detail-type": event["type"],
            "account": account,
            "region": region,
            "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "resources": [],
            "detail": event["detail"],
        }

    def rules(self, function: str) -> tuple[RuleFacts, ...] | None:
        """The rules of a function; None if its code has none, or cannot be read (then `problems` says why)."""
        name = function.partition(":")[0]
        if name not in self._rules:
            self._rules[name] = self._read(name)
        return self._rules[name]

    def read_all(self, functions: Iterable[str]) -> None:
        """Read the rules of several functions at once."""
        names = {each.partition(":")[0] for each in functions} - self._rules.keys()
        if len(names) > 1 and self.functions:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                self._rules |= zip(sorted(names), pool.map(self._read, sorted(names)), strict=True)

    def _read(self, function: str) -> tuple[RuleFacts, ...] | None:
        configuration = self.functions.get(function)
        if configuration is None or not str(configuration.get("Runtime", "")).startswith("python"):
            return None
        environment = (configuration.get("Environment") or {}).get("Variables") or {}
        handler = configuration["Handler"]
        key = json.dumps([configuration["CodeSha256"], function, handler, environment], sort_keys=True)
        kept = self.kept / f"rules-{hashlib.sha256(key.encode()).hexdigest()}.json" if self.kept else None
        if kept is not None and kept.exists():
            found = json.loads(private_files.read(kept))
        else:
            found = self._read_from_code(function, handler, environment)
            if kept is not None and found["error"] is None:
                private_files.write(kept, json.dumps(found).encode())
        if found["error"] is not None:
            self.problems.append(f"The rules of {function} cannot be read from its code: {found['error']}")
            return None
        return None if found["rules"] is None else tuple(RuleFacts.of(each) for each in found["rules"])

    def _read_from_code(self, function: str, handler: str, environment: Mapping[str, str]) -> dict[str, Any]:
        try:
            code = self.apis.code(function)
        except (CommandError, OSError) as error:
            return {"error": str(error), "rules": None}
        return read_rules(code, function, handler, environment)
