"""Function `dashboard`: changes of items become rows of the dashboard, with its metrics."""

import time
from typing import Any

from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, codec, initialize_from
from stream_runtime import settings as runtime
from stream_runtime.events import from_dynamodb

from rest_bff.rules.dashboard import RULES

runtime.check()
PIPELINE = StreamPipeline(initialize_from(RULES), DEFAULT_OPTIONS)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Work off a batch; the partial-batch response."""
    written: list[str] = []
    run = PIPELINE.process(from_dynamodb(event), lambda pipeline, _: written.append(pipeline), context=context)
    measure(
        {
            "StreamProcessorSuccess": len(written),
            "StreamProcessorErrors": len(run.faults),
            "StreamProcessorBatchSize": len(event["Records"]),
        }
    )
    return run.response()


def measure(counts: dict[str, int]) -> None:
    """Log counts in the embedded metric format of CloudWatch, which costs no call."""
    definition = {
        "Namespace": runtime.SERVICE.read(),
        "Dimensions": [["Stage"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
    }
    line = {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [definition]},
        "Stage": runtime.STAGE.read(),
        **counts,
    }
    print(codec.encode(line), flush=True)  # noqa: T201
