"""Function `trigger`: counts the faults in the objects of the delivery stream as CloudWatch metrics."""

from stream_runtime import stream_handler
from stream_runtime.events import from_s3

from fault_monitor.rules.trigger import RULES
from fault_monitor.settings import LEDGER_TABLE_NAME, METRIC_NAMESPACE, STAGE

handler = stream_handler(RULES, from_s3, needs=[LEDGER_TABLE_NAME, METRIC_NAMESPACE, STAGE])
