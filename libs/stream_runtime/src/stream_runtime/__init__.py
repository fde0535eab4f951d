"""Rules, flavors, units of work and faults for Lambda functions that process streams of events.

    handler = stream_handler(rules, from_kinesis)

Importing this imports no AWS client; the first call that needs one builds it.
"""

from typing import TYPE_CHECKING

from .engine.operators import rx_filter, rx_map
from .errors import (
    ConfigurationError,
    InvalidRecord,
    InvalidRule,
    InvalidSetting,
    TransientError,
    UnfinishedBatch,
    UnhandledFault,
    UnsupportedEvent,
)
from .faults import faulty
from .handler import stream_handler
from .lazy import lazily
from .options import DEFAULT_OPTIONS, Options
from .pipelines import StreamPipeline, initialize_from

if TYPE_CHECKING:
    from .sinks.eventbridge import EventTooLarge, Publisher

__all__ = [
    "DEFAULT_OPTIONS",
    "ConfigurationError",
    "EventTooLarge",
    "InvalidRecord",
    "InvalidRule",
    "InvalidSetting",
    "Options",
    "Publisher",
    "StreamPipeline",
    "TransientError",
    "UnfinishedBatch",
    "UnhandledFault",
    "UnsupportedEvent",
    "faulty",
    "initialize_from",
    "rx_filter",
    "rx_map",
    "stream_handler",
]

lazily(__name__, {"EventTooLarge": "sinks.eventbridge", "Publisher": "sinks.eventbridge"}.get)
