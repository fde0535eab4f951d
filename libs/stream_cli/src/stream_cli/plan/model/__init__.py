"""What the parts of `plan` tell each other: a load, a system, times and limits go in; an outcome comes out.

Names do not depend on the stage: `control-service/listener` is a function, `control-service/EventTable` a table,
`event-hub/Stream1` a stream: the service, and the name in serverless.yml or the logical id. What flows has a *kind*:
an event's type on the bus and in streams, a route (`POST /stories`) for requests, a change's name in a table's stream.

Seconds and bytes everywhere, unless a name ends in `_ms`. Series have one value a second, shape `(seconds,)`.
"""

from .limits import AWS, LOCAL, Limits
from .load import EventLoad, Load, Series
from .outcome import (
    ApiOutcome,
    BusOutcome,
    DeliveryOutcome,
    Figures,
    FunctionOutcome,
    JourneyOutcome,
    MappingOutcome,
    Outcome,
    QueueOutcome,
    StreamOutcome,
    TableOutcome,
    TopicOutcome,
    figures,
)
from .system import (
    Archive,
    Bus,
    DeliveryStream,
    Function,
    Index,
    Mapping,
    Notification,
    Queue,
    Route,
    Rule,
    Schedule,
    Stream,
    System,
    Table,
    Target,
    Topic,
)
from .times import Change, Event, FunctionTimes, Journey, Read, Times, Work

__all__ = [
    "AWS", "LOCAL", "ApiOutcome", "Archive", "Bus", "BusOutcome", "Change", "DeliveryOutcome", "DeliveryStream",
    "Event", "EventLoad", "Figures", "Function", "FunctionOutcome", "FunctionTimes", "Index", "Journey",
    "JourneyOutcome", "Limits", "Load", "Mapping", "MappingOutcome", "Notification", "Outcome", "Queue",
    "QueueOutcome", "Read", "Route", "Rule", "Schedule", "Series", "Stream", "StreamOutcome", "System", "Table",
    "TableOutcome", "Target", "Times", "Topic", "TopicOutcome", "Work", "figures",
]  # fmt: skip
