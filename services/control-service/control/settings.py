"""The service's own settings. serverless.yml sets their variables; a handler checks those that it needs at import."""

from stream_runtime.settings import REQUIRED, Setting, text, whole_number

EVENT_TABLE_NAME = Setting("EVENT_TABLE_NAME", text, REQUIRED, "table of collected and correlated events")
INCOMPLETE_AFTER_S = Setting(
    "INCOMPLETE_AFTER_SECONDS", whole_number(1, 315_360_000), REQUIRED, "seconds that a story waits for its analysis"
)
