"""Function `trigger`: objects of faults, written by the delivery stream, become CloudWatch metrics."""

from stream_runtime import stream_handler
from stream_runtime.events import from_s3

from fault_monitor.rules.trigger import RULES

handler = stream_handler(RULES, from_s3)
