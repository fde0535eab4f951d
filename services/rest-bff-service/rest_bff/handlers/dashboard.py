"""Function `dashboard`: changes of items become rows of the dashboard, with its metrics."""

from typing import Any

from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime import settings as runtime
from stream_runtime.events import from_dynamodb
from stream_runtime.metrics import write_metrics

from rest_bff.rules.dashboard import RULES

runtime.check()
PIPELINE = StreamPipeline(initialize_from(RULES), DEFAULT_OPTIONS)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work off a batch; the partial-batch response."""
    processed: list[str] = []
    run = PIPELINE.process(from_dynamodb(event), lambda pipeline, _: processed.append(pipeline), context=context)
    write_metrics(
        runtime.SERVICE.read(),
        {"Stage": runtime.STAGE.read()},
        [
            ("StreamProcessorSuccess", "Count", len(processed)),
            ("StreamProcessorErrors", "Count", len(run.faults)),
            ("StreamProcessorBatchSize", "Count", len(event["Records"])),
        ],
    )
    return run.response()
