"""The service's own settings. serverless.yml sets their variables; a handler checks those that it needs at import."""

from stream_runtime.settings import REQUIRED, Setting, text

LEDGER_TABLE_NAME = Setting("LEDGER_TABLE_NAME", text, REQUIRED, "table of the objects that were counted")
METRIC_NAMESPACE = Setting("METRIC_NAMESPACE", text, REQUIRED, "CloudWatch namespace of the metrics")
STAGE = Setting("STAGE", text, REQUIRED, "stage: the dimension Stage of every metric")
