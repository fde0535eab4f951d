"""The service's own settings. serverless.yml sets their variables; a handler checks those that it needs at import."""

import re

from stream_runtime.settings import REQUIRED, Setting, text, whole_number

FIELDS_OF_EVERY_EVENT = ("id", "type", "timestamp", "partition_key", "tags")


def name(raw: str) -> str:
    """A name of up to 64 lower-case letters, digits, ``_`` and ``-`` that begins with a letter."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", raw):
        raise ValueError("expected at most 64 lower-case letters, digits, _ and -, the first a letter")
    return raw


def entity(raw: str) -> str:
    """A name that is not a field of every event."""
    if raw in FIELDS_OF_EVERY_EVENT:
        raise ValueError(f"every event has a field {raw}; choose another name")
    return name(raw)


def event_type(raw: str) -> str:
    """A name that is not ``fault``."""
    if raw == "fault":
        raise ValueError("fault is the type of the events that the runtime publishes for failures; choose another name")
    return name(raw)


BUS_NAME = Setting("BUS_NAME", text, REQUIRED, "name or ARN of the bus")
SERVICE = Setting("SERVICE", text, REQUIRED, "name of the service: the namespace of its metrics")
STAGE = Setting("STAGE", text, REQUIRED, "stage: the dimension of its metrics")
ROW_ENTITY = Setting("ROW_ENTITY", entity, REQUIRED, "field of an event that holds the row")
ROW_EVENT_TYPE = Setting("ROW_EVENT_TYPE", event_type, REQUIRED, "type of the events of rows")
CONTINUE_MARGIN_MS = Setting(
    "CONTINUE_MARGIN_MS", whole_number(1_000, 1_000_000), 30_000, "ms left of an invocation at which another continues"
)
