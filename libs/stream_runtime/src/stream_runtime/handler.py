"""A Lambda handler in one line, with checked settings, deadline, partial-batch response and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from . import settings
from .engine.records import Uow
from .logs import logged
from .options import DEFAULT_OPTIONS
from .pipelines import StreamPipeline, initialize_from
from .tracing import traced

Source = Callable[[Any], Iterable[Uow]]


class Handler(Protocol):
    """What `stream_handler` returns: the function that Lambda calls, and what it was made of.

    Attributes:
        rules: the rules, in order.
        source: makes units of work of an invocation event.
        options: those that were given.
    """

    rules: list[Mapping[str, Any]]
    source: Source
    options: Mapping[str, Any]

    def __call__(self, event: Any, context: Any, /) -> dict[str, Any]: ...


def stream_handler(
    rules: Iterable[Mapping[str, Any]],
    source: Source,
    options: Mapping[str, Any] | None = None,
    *,
    concurrency: bool = True,
    needs: Iterable[settings.Setting[Any]] = (),
) -> Handler:
    """Make the handler of a function that processes batches of records with rules.

    Args:
        rules: the function's rules, validated at import.
        source: turns an invocation event into units of work, such as `stream_runtime.events.from_kinesis`.
        options: override `DEFAULT_OPTIONS` one by one.
        concurrency: see `StreamPipeline`.
        needs: settings of the service that this function reads; they are checked now, with those of the runtime.

    Returns:
        ``handler(event, context) -> {"batchItemFailures": [...]}``, for mappings with ReportBatchItemFailures. For
        sources without a partial response it raises when records must be delivered again. A Firehose transformation
        gets ``{"records": [{"recordId", "result", "data"}]}``.

    Raises:
        InvalidRule: a rule is not valid.
        InvalidSetting: an environment variable is missing or not valid.

    Example:
        >>> handler = stream_handler(rules, from_kinesis)
    """
    settings.check(*needs)
    given = list(rules)
    pipeline = StreamPipeline(initialize_from(given), {**DEFAULT_OPTIONS, **(options or {})}, concurrency)

    def handler(event: Any, context: Any) -> dict[str, Any]:
        if isinstance(event, Mapping) and "deliveryStreamArn" in event:
            return _transform(pipeline, [rule["id"] for rule in given], source(event), context)
        return pipeline.assemble(source(event), context=context)

    made = cast(Handler, logged(traced(handler)))
    made.rules, made.source, made.options = given, source, dict(options or {})
    return made


def _transform(pipeline: StreamPipeline, ids: Iterable[str], uows: Iterable[Uow], context: Any) -> dict[str, Any]:
    """Firehose expects the data of each record, not what to retry."""
    from .events.firehose import for_response, transformation_response

    results: dict[str, list[Uow]] = {id_: [] for id_ in ids}
    run = pipeline.process(uows, lambda id_, uow: results[id_].extend(for_response(uow)), context=context)
    return transformation_response(run, results)
