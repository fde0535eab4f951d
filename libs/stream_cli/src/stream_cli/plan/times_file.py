"""Reads what functions take and do from a file; the one beside this module has what was measured here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.plan.model import System, Times

MEASURED = Path(__file__).with_name("times.json")
_OF_EXAMPLES = ("record", "fields")


def read_times(file: Path | None = None) -> Times:
    """The times in a JSON file with the fields of `Times`; those that were measured, without a file.

    Raises:
        CommandError: the file has another form; the message says where.
        OSError: it cannot be read.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(Times)
    path = file or MEASURED
    try:
        text = path.read_text(encoding="utf-8")
        times = adapter.validate_json(text, strict=False)
    except FileNotFoundError as error:
        raise CommandError(f"{path}: No such file or directory.\nTake {MEASURED} for an example.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8: {error}.") from error
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()[:5]]
        raise CommandError("\n".join([f"{path} has no times.", *wrong, f"Take {MEASURED} for an example."])) from error
    if unknown := sorted(_unknown(json.loads(text), adapter.dump_python(times, mode="json"))):
        raise CommandError(f"{path}: there is no field {unknown[0]}.\nTake {MEASURED} for an example.")
    if wrong_numbers := list(_wrong_numbers(json.loads(text))):
        raise CommandError(f"{path}: {wrong_numbers[0]} is not a number of 0 or more.\nTake {MEASURED} for an example.")
    return times


def require_names(times: Times, system: System, file: Path) -> None:
    """See that the functions of a file of times, and the tables that they use, are those of the services in a plan.

    Raises:
        CommandError: one is not; what is of another service does not matter.
    """
    services = {name.partition("/")[0] for name in system.functions}
    for name, each in times.functions.items():
        service = name.partition("/")[0]
        if service not in services:
            continue
        if name not in system.functions:
            there = sorted(other for other in system.functions if other.startswith(f"{service}/"))
            raise CommandError(f"{file}: there is no function {name} in {service}.\nIt has {', '.join(there)}.")
        for work in each.work.values():
            for table in [*(change.table for change in work.changes), *(read.table for read in work.reads)]:
                if table not in system.tables:
                    raise CommandError(
                        f"{file}: {name} uses the table {table}, which is not there.\n"
                        f"The tables are {', '.join(sorted(system.tables)) or 'none'}."
                    )


def _wrong_numbers(given: Any, at: str = "") -> Iterator[str]:
    """The paths of numbers that are negative, or none at all; fields of examples may have any."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name not in _OF_EXAMPLES:
                yield from _wrong_numbers(value, f"{at}{name}.")
    elif isinstance(given, list):
        for place, each in enumerate(given):
            yield from _wrong_numbers(each, f"{at}{place}.")
    elif isinstance(given, int | float) and not 0 <= given < inf:
        yield f"{at.removesuffix('.')}: {given}"


def _unknown(given: Any, read: Any, at: str = "") -> Iterator[str]:
    """The paths of fields in a file that nothing has read."""
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        for name, value in given.items():
            if name not in read:
                yield f"{at}{name}"
            else:
                yield from _unknown(value, read[name], f"{at}{name}.")
    elif isinstance(given, list) and isinstance(read, list | tuple):
        for place, (one, other) in enumerate(zip(given, read, strict=False)):
            yield from _unknown(one, other, f"{at}{place}.")
