"""Checks of what holds up a shard."""

from __future__ import annotations

from collections.abc import Iterator

from stream_cli.checks.registry import Issue, Severity, mapping_check
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.resources import EventSourceMapping


@mapping_check(
    "SM301",
    Severity.ERROR,
    title="One poison record holds its shard",
    why="The whole batch is retried until its records expire, and nothing behind it is read.",
    fix="Return partial failures (functionResponseType), or set bisectBatchOnFunctionError, maximumRetryAttempts and "
    "destinations.onFailure.",
)
def poison_blocks_shard(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if _retries_forever(mapping) and not mapping.bisect:
        yield Issue(
            mapping,
            "no maximumRetryAttempts, no maximumRecordAgeInSeconds, no bisectBatchOnFunctionError and no "
            "functionResponseType",
        )


@mapping_check(
    "SM302",
    Severity.WARNING,
    title="An isolated record holds its shard",
    why="Bisecting isolates the poison record, and nothing limits its retries: it is retried until it expires.",
    fix="Set maximumRetryAttempts together with destinations.onFailure.",
)
def poison_blocks_alone(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if _retries_forever(mapping) and mapping.bisect:
        yield Issue(
            mapping,
            "bisectBatchOnFunctionError isolates a poison record, and nothing limits its retries",
            "bisectBatchOnFunctionError",
        )


@mapping_check(
    "SM303",
    Severity.WARNING,
    title="Fewer executions reserved than lanes",
    why="Each shard runs parallelizationFactor batches at once. Those beyond the reserved executions are throttled, "
    "and throttling counts as a failed attempt.",
    fix="Reserve at least parallelizationFactor times the number of shards, or lower the factor.",
)
def throttled_lanes(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    function = service.template.function_of(mapping)
    reserved = None if function is None else function.reserved_concurrency
    if mapping.is_stream and reserved is not None and 0 < reserved < mapping.parallelization_factor:
        yield Issue(
            mapping,
            f"parallelizationFactor {mapping.parallelization_factor} with {reserved} reserved concurrent executions",
            "parallelizationFactor",
        )


def _retries_forever(mapping: EventSourceMapping) -> bool:
    return mapping.is_stream and not mapping.limits_retries and not mapping.reports_item_failures
