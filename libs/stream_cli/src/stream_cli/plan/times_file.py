"""Reads what functions take and do from a file; the one beside this module has what was measured here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stream_cli.errors import CommandError
from stream_cli.plan.model import Times

MEASURED = Path(__file__).with_name("times.json")


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
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8: {error}.") from error
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()[:5]]
        raise CommandError("\n".join([f"{path} has no times.", *wrong, f"Take {MEASURED} for an example."])) from error
    if unknown := sorted(_unknown(json.loads(text), adapter.dump_python(times, mode="json"))):
        raise CommandError(f"{path}: there is no field {unknown[0]}.\nTake {MEASURED} for an example.")
    return times


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
