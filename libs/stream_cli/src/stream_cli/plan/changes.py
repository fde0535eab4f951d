"""Changes to a system, by the properties of the templates: `event-hub/Stream1.ShardCount=8`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.mappings.settings import InvalidMapping, MappingSettings
from stream_cli.plan.model import Function, Stream, System, Table, Times, Work

_SETTINGS: Mapping[str, tuple[str, type]] = {
    "BatchSize": ("batch_size", int),
    "BisectBatchOnFunctionError": ("bisect", bool),
    "MaximumBatchingWindowInSeconds": ("batch_window", float),
    "MaximumRetryAttempts": ("max_retries", int),
    "ParallelizationFactor": ("parallelization_factor", int),
}
_FUNCTIONS: Mapping[str, tuple[str, type]] = {
    "MemorySize": ("memory_mb", int),
    "ReservedConcurrentExecutions": ("reserved_concurrency", int),
    "Timeout": ("timeout_s", float),
}
_MEMORY = (128, 10_240)
_MOST_SHARDS = 1_000_000
"""Fifty times the quota of an account; a plan with more takes minutes."""
_API = ("ThrottlingRateLimit", "ThrottlingBurstLimit")


@dataclass(frozen=True)
class Change:
    """A property of a part with another value.

    Attributes:
        part: the name of a mapping or its function, a function, a stream, a table, or the service of an API.
    """

    part: str
    property: str
    value: str

    def __str__(self) -> str:
        return f"{self.part}.{self.property}={self.value}"


def parsed(text: str) -> Change:
    """A change as it is written on a command line.

    Raises:
        CommandError: it has another form.
    """
    name, _, value = text.partition("=")
    part, _, property_ = name.rpartition(".")
    if not (part and property_ and value):
        raise CommandError(
            f"{text} is not PART.PROPERTY=VALUE, such as control-service/listener.BatchSize=500 or "
            "event-hub/Stream1.ShardCount=8."
        )
    return Change(part, property_, value)


def changed(system: System, changes: Iterable[Change]) -> System:
    """The system with other values.

    Raises:
        CommandError: there is no such part, it has no such property, or AWS would refuse the value.
    """
    for each in changes:
        system = _with(system, each)
    return system


def spread(times: Times, tables: Iterable[str]) -> Times:
    """The times as if items of these tables that share a key had keys of their own: what a change of code would do.

    Raises:
        CommandError: no item of a table shares a key.
    """
    wanted = list(tables)
    shared = tables_with_shared_keys(times)
    if unknown := sorted(set(wanted) - shared):
        raise CommandError(
            f"--spread {unknown[0]}: no items of it share a key.\nThey do in {', '.join(sorted(shared)) or 'no table'}."
        )
    functions = {
        name: replace(function, work={kind: _spread(work, wanted) for kind, work in function.work.items()})
        for name, function in times.functions.items()
    }
    return replace(times, functions=functions)


def tables_with_shared_keys(times: Times) -> set[str]:
    """The tables, or those whose indexes, have a key that all items of some kind share."""
    works = (work for function in times.functions.values() for work in function.work.values())
    return {change.table for work in works for change in work.changes if change.key == "one"}


def _spread(work: Work, tables: Sequence[str]) -> Work:
    changes = (
        replace(each, key="own") if each.table in tables and each.key == "one" else each for each in work.changes
    )
    return replace(work, changes=tuple(changes))


def properties_of(system: System, part: str) -> list[str]:
    """The properties of a part that can be changed."""
    found: list[str] = []
    if _mapping_of(system, part) is not None:
        found += [*_SETTINGS, "EnhancedFanOut"]
    if part in system.functions:
        found += _FUNCTIONS
    if part in system.streams:
        found += ["ShardCount", "StreamMode"]
    if part in system.tables:
        found += ["BillingMode", "ReadCapacityUnits", "WriteCapacityUnits"]
    if any(route.function.partition("/")[0] == part for route in system.routes.values()):
        found += _API
    return found


def _with(system: System, change: Change) -> System:
    part, name = change.part, change.property
    known = properties_of(system, part)
    if not known:
        parts = sorted({*system.mappings, *system.functions, *system.streams, *system.tables})
        raise CommandError(f"{change}: there is no {part}.\nThere are {', '.join(parts)}.")
    if name not in known:
        raise CommandError(f"{change}: {part} has no {name} here.\nIt has {', '.join(known)}.")
    mapping = _mapping_of(system, part)
    if mapping is not None and name == "EnhancedFanOut":
        own = replace(system.mappings[mapping], fan_out=_value(change, bool))
        return replace(system, mappings={**system.mappings, mapping: own})
    if mapping is not None and name in _SETTINGS:
        return _with_setting(system, mapping, change)
    if name in _FUNCTIONS:
        return replace(system, functions={**system.functions, part: _function(system.functions[part], change)})
    if part in system.streams:
        return replace(system, streams={**system.streams, part: _stream(system.streams[part], change)})
    if part in system.tables:
        return replace(system, tables={**system.tables, part: _table(system.tables[part], change)})
    limit = _positive(change, float)
    field = "rate" if name == _API[0] else "burst"
    routes = {
        key: replace(route, **{field: limit}) if route.function.partition("/")[0] == part else route
        for key, route in system.routes.items()
    }
    return replace(system, routes=routes)


def _mapping_of(system: System, part: str) -> str | None:
    """The mapping of that name, or the only one of a function."""
    if part in system.mappings:
        return part
    of_function = [name for name, each in system.mappings.items() if each.function == part]
    return of_function[0] if len(of_function) == 1 else None


def _with_setting(system: System, mapping: str, change: Change) -> System:
    field, kind = _SETTINGS[change.property]
    old = system.mappings[mapping]
    settings: MappingSettings = replace(old.settings, **{field: _value(change, kind)})
    try:
        settings.verify()
    except InvalidMapping as error:
        raise CommandError(f"{change}: {error}.") from error
    return replace(system, mappings={**system.mappings, mapping: replace(old, settings=settings)})


def _function(function: Function, change: Change) -> Function:
    field, kind = _FUNCTIONS[change.property]
    value = _positive(change, kind)
    if field == "memory_mb" and not _MEMORY[0] <= value <= _MEMORY[1]:
        raise CommandError(f"{change}: Lambda takes {_MEMORY[0]} to {_MEMORY[1]} MB.")
    return replace(function, **{field: value})


def _stream(stream: Stream, change: Change) -> Stream:
    if change.property == "ShardCount":
        shards = _positive(change, int)
        if shards > _MOST_SHARDS:
            raise CommandError(f"{change}: a plan is of {_MOST_SHARDS:,} shards at most.")
        return replace(stream, mode="PROVISIONED", shards=shards)
    return replace(stream, mode=_one_of(change, ("PROVISIONED", "ON_DEMAND")))


def _table(table: Table, change: Change) -> Table:
    if change.property == "BillingMode":
        return replace(table, mode=_one_of(change, ("PAY_PER_REQUEST", "PROVISIONED")))
    field = "read_capacity" if change.property == "ReadCapacityUnits" else "write_capacity"
    return replace(table, mode="PROVISIONED", **{field: _positive(change, float)})


def _one_of(change: Change, values: tuple[str, ...]) -> Any:
    if change.value not in values:
        raise CommandError(f"{change}: the values are {', '.join(values)}.")
    return change.value


def _positive(change: Change, kind: Callable[[str], Any]) -> Any:
    value = _value(change, kind)
    if not 0 < value < float("inf"):
        raise CommandError(f"{change}: give a number above 0.")
    return value


def _value(change: Change, kind: Callable[[str], Any]) -> Any:
    if kind is bool:
        if change.value.lower() not in ("true", "false"):
            raise CommandError(f"{change}: the values are true and false.")
        return change.value.lower() == "true"
    try:
        return kind(change.value)
    except ValueError as error:
        raise CommandError(f"{change}: {change.value} is not a {'whole ' if kind is int else ''}number.") from error
