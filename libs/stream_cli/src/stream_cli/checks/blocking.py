"""Checks of what would hold up a shard."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Problem
from .packaged import Service
from .template import EventSourceMapping


def poison_blocks_shard(service: Service) -> Iterator[Problem]:
    """No limit, no bisect and no partial failures."""
    for mapping in _without_limit(service):
        if not mapping.bisect:
            yield Problem(
                mapping,
                "no maximumRetryAttempts, no maximumRecordAgeInSeconds, no bisectBatchOnFunctionError and no "
                "functionResponseType",
            )


def poison_blocks_alone(service: Service) -> Iterator[Problem]:
    """Bisecting without a limit: the record that is left at last is retried until it expires."""
    for mapping in _without_limit(service):
        if mapping.bisect:
            yield Problem(
                mapping,
                "bisectBatchOnFunctionError isolates a poison record, and nothing limits its retries",
                "bisectBatchOnFunctionError",
            )


def throttled_lanes(service: Service) -> Iterator[Problem]:
    """Less reserved concurrency than one shard alone uses."""
    for mapping in service.template.mappings:
        function = service.template.function_of(mapping)
        reserved = None if function is None else function.reserved_concurrency
        if mapping.is_stream and reserved is not None and 0 < reserved < mapping.parallelization_factor:
            yield Problem(
                mapping,
                f"parallelizationFactor {mapping.parallelization_factor} with {reserved} reserved concurrent "
                "executions",
                "parallelizationFactor",
            )


def _without_limit(service: Service) -> Iterator[EventSourceMapping]:
    for mapping in service.template.mappings:
        if mapping.is_stream and not mapping.limits_retries and not mapping.reports_item_failures:
            yield mapping
