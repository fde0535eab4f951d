"""Counts faults: each line of the delivery stream is an EventBridge envelope around a fault event."""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"


class Origin(NamedTuple):
    """Where a fault comes from: the dimensions by which faults are counted."""

    service: str
    function: str
    pipeline: str
    error: str


@dataclass
class Counts:
    """The faults of one object, by origin.

    Attributes:
        by_origin: number of faults of each origin.
        unreadable: number of lines without a fault event.
        gone: 1 if the object was deleted before it was counted.
    """

    by_origin: Counter[Origin] = field(default_factory=Counter)
    unreadable: int = 0
    gone: int = 0

    @property
    def total(self) -> int:
        return self.by_origin.total()


def count(lines: Iterable[bytes]) -> Counts:
    """Count the faults in the lines of an object; a repeated fault id counts once.

    A line without a fault event is counted as unreadable and logged with its number. It does not become a fault event,
    because that would come back here.
    """
    counts = Counts()
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fault = fault_of(json.loads(line))
        except (ValueError, RecursionError) as error:
            counts.unreadable += 1
            logger.warning("line %d is no fault event: %s", number, error)
            continue
        fault_id = fault.get("id")
        if isinstance(fault_id, str):
            if fault_id in seen:
                continue
            seen.add(fault_id)
        counts.by_origin[origin_of(fault)] += 1
    return counts


def fault_of(envelope: Any) -> dict[str, Any]:
    """The fault event, with or without its EventBridge envelope.

    Raises:
        ValueError: this is not a fault event.
    """
    event = envelope.get("detail", envelope) if isinstance(envelope, dict) else envelope
    if not isinstance(event, dict):
        raise ValueError(f"expected an object, found {type(event).__name__}")
    if event.get("type") != "fault":
        raise ValueError(f"expected type fault, found {event.get('type')!r}")
    return event


def origin_of(fault: dict[str, Any]) -> Origin:
    """The origin of a fault, from its tags and its error; a missing part is ``unknown``."""
    tags, err = _object(fault.get("tags")), _object(fault.get("err"))
    return Origin(
        service=_name(tags.get("source")),
        function=_name(tags.get("functionname")),
        pipeline=_name(tags.get("pipeline")),
        error=_name(err.get("name")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str:
    # A dimension value has 1 to 255 ASCII characters (CloudWatch API reference, Dimension).
    text = value.encode("ascii", "replace").decode().strip()[:255] if isinstance(value, str) else ""
    return text or UNKNOWN
