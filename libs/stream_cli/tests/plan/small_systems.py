"""Small systems for tests and benchmarks of the plan: one mapping, and a chain of two as in the control-service."""

from __future__ import annotations

import json
from typing import Any

from stream_cli.mappings.settings import MappingSettings, source_of
from stream_cli.plan.model import (
    Bus,
    Change,
    DeliveryStream,
    Function,
    FunctionTimes,
    Journey,
    Mapping,
    Rule,
    Stream,
    System,
    Table,
    Target,
    Times,
    Work,
)

PUBLISHED, READY = "thing-published", "thing-ready"
STREAM, TABLE = "hub/Stream1", "service/Table"
LISTENER, TRIGGER = "service/listener", "service/trigger"
MAPPING = "listener"
"""The mapping of `one_mapping`."""

STREAM_ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/hub-s1"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/2026-01-01T00:00:00.000"


def settings(arn: str, function: str, **given: Any) -> MappingSettings:
    """Settings of a mapping, with partial responses."""
    own = {"batch_size": 100, "starting_position": "TRIM_HORIZON", "report_failures": True, **given}
    return MappingSettings(uuid=function, function_arn=function, source=source_of(arn), **own)


def one_mapping(
    *,
    shards: int = 1,
    fixed_ms: float = 10.0,
    record_ms: float = 0.0,
    reserved: int | None = None,
    mode: str = "PROVISIONED",
    memory_mb: int = 1_769,
    stream_filter: tuple[str, ...] = (),
    emits: float = 0.0,
    **given: Any,
) -> tuple[System, Times]:
    """A bus, a stream behind it, and a function that reads it."""
    mapping = settings(STREAM_ARN, LISTENER, filter_patterns=stream_filter, **given)
    system = System(
        buses={"hub/Bus": Bus("hub/Bus")},
        rules={
            "hub/Rule": Rule(
                "hub/Rule", "hub/Bus", {"detail-type": [{"anything-but": "fault"}]}, (Target("stream", STREAM),)
            )
        },
        streams={STREAM: Stream(STREAM, mode=mode, shards=shards)},  # type: ignore[arg-type]
        functions={LISTENER: Function(LISTENER, memory_mb=memory_mb, reserved_concurrency=reserved)},
        mappings={MAPPING: Mapping(MAPPING, STREAM, LISTENER, mapping)},
    )
    work = {
        PUBLISHED: Work(wait_ms=record_ms, emits={READY: emits} if emits else {}),
        READY: Work(),
    }
    times = Times(
        functions={LISTENER: FunctionTimes(batch_cpu_ms=0.0, batch_wait_ms=fixed_ms, work=work)},
        journeys=(Journey("published to ready", PUBLISHED, READY),),
    )
    return system, times


def chain(
    *,
    shards: int = 2,
    stream_shards: int = 2,
    fixed_ms: float = 20.0,
    record_ms: float = 2.0,
    window: float = 0.0,
    batch_size: int = 100,
    parallelization: int = 1,
    reserved: int | None = None,
) -> tuple[System, Times]:
    """A listener that writes a row for each event, and a trigger that makes one event of two rows."""
    common = {"batch_size": batch_size, "batch_window": window, "parallelization_factor": parallelization}
    listens = settings(STREAM_ARN, LISTENER, filter_patterns=(json.dumps({"data": {"type": [PUBLISHED]}}),), **common)
    triggers = settings(TABLE_ARN, TRIGGER, filter_patterns=(json.dumps({"eventName": ["INSERT"]}),), **common)
    everything = Rule("hub/Rule", "hub/Bus", {"detail-type": [{"prefix": "thing"}]}, (Target("stream", STREAM),))
    lake = Rule("lake/Rule", "hub/Bus", {"account": ["123456789012"]}, (Target("delivery_stream", "lake/Delivery"),))
    system = System(
        buses={"hub/Bus": Bus("hub/Bus")},
        rules={"hub/Rule": everything, "lake/Rule": lake},
        streams={STREAM: Stream(STREAM, shards=shards)},
        tables={TABLE: Table(TABLE, stream_shards=stream_shards)},
        functions={
            LISTENER: Function(LISTENER, memory_mb=1_769),
            TRIGGER: Function(TRIGGER, memory_mb=1_769, reserved_concurrency=reserved),
        },
        mappings={
            "listener": Mapping("listener", STREAM, LISTENER, listens),
            "trigger": Mapping("trigger", TABLE, TRIGGER, triggers),
        },
        delivery_streams={"lake/Delivery": DeliveryStream("lake/Delivery", "lake", buffer_seconds=60.0)},
    )
    row = Change(TABLE, "row", bytes=1_500.0, record={"eventName": "INSERT"})
    settled = Change(TABLE, "settled", bytes=1_500.0, record={"eventName": "MODIFY"})
    times = Times(
        functions={
            LISTENER: FunctionTimes(
                batch_wait_ms=fixed_ms, batch_cpu_ms=0.0, work={PUBLISHED: Work(wait_ms=record_ms, changes=(row,))}
            ),
            TRIGGER: FunctionTimes(
                batch_wait_ms=fixed_ms,
                batch_cpu_ms=0.0,
                work={"row": Work(wait_ms=record_ms, emits={READY: 0.5}, changes=(settled,))},
            ),
        },
        journeys=(Journey("published to ready", PUBLISHED, READY),),
    )
    return system, times
