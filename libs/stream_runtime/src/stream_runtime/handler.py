"""A Lambda handler in one line: settings checked, deadline kept, partial-batch response given, metrics logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import settings
from .options import DEFAULT_OPTIONS
from .pipelines import Response, StreamPipeline, initialize_from
from .records import Uow

Source = Callable[[Any], Iterable[Uow]]
Handler = Callable[[Any, Any], Response]


def stream_handler(
    rules: Iterable[Mapping[str, Any]],
    source: Source,
    options: Mapping[str, Any] | None = None,
    *,
    concurrency: bool = True,
) -> Handler:
    """The handler of a function that processes batches of records with rules.

    Args:
        rules: the function's rules; a bad one is refused now, at import.
        source: makes units of work of an invocation event, such as `stream_runtime.events.from_kinesis`.
        options: override `DEFAULT_OPTIONS` one by one.
        concurrency: see `StreamPipeline`.

    Returns:
        ``handler(event, context) -> {"batchItemFailures": [...]}``, for mappings with ReportBatchItemFailures. For
        sources without a partial response it raises when records are to be delivered again.

    Raises:
        InvalidRule: a rule cannot be run.
        InvalidSetting: an environment variable has a value that cannot be used.

    Example:
        >>> handler = stream_handler(rules, from_kinesis)
    """
    settings.check()
    pipeline = StreamPipeline(initialize_from(rules), {**DEFAULT_OPTIONS, **(options or {})}, concurrency)

    def handler(event: Any, context: Any) -> Response:
        return pipeline.assemble(source(event), context=context)

    return handler
