"""Sources: turn the records of an invocation into units of work; one file for each AWS service.

``kinesis.py`` defines ``from_kinesis`` and, for tests, ``to_kinesis_records``; the types of records are in
``record_types.py``.
"""

# ruff: noqa: F403

from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .api import *
    from .dynamodb import *
    from .eventbridge import *
    from .firehose import *
    from .kinesis import *
    from .record_types import *
    from .s3 import *
    from .sns import *
    from .sqs import *
    from .triggers import *


def _home_of(name: str) -> str | None:
    if name[0].isupper():
        return "record_types"
    direction, _, rest = name.partition("_")
    service = {"event": "triggers", "schedule": "eventbridge"}.get(rest.split("_")[0], rest.split("_")[0])
    return service if direction in ("from", "to") else None


lazily(__name__, _home_of)
