"""Function `dashboard`: turns changes of stories into rows of the dashboard, and measures them."""

from typing import Any

from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.events import from_dynamodb
from stream_runtime.logs import logged
from stream_runtime.metrics import write_metrics
from stream_runtime.settings import check

from rest_bff import settings
from rest_bff.rules.dashboard import RULES

check(settings.DASHBOARD_DAYS, settings.DASHBOARD_TABLE_NAME, settings.SERVICE, settings.STAGE)
PIPELINE = StreamPipeline(initialize_from(RULES), DEFAULT_OPTIONS)


@logged
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Process a batch; returns the partial-batch response."""
    processed: list[str] = []
    run = PIPELINE.process(from_dynamodb(event), lambda pipeline, _: processed.append(pipeline), context=context)
    write_metrics(
        settings.SERVICE.read(),
        {"Stage": settings.STAGE.read()},
        [
            ("StreamProcessorSuccess", "Count", len(processed)),
            ("StreamProcessorErrors", "Count", len(run.faults)),
            ("StreamProcessorBatchSize", "Count", len(event["Records"])),
        ],
    )
    return run.response()
