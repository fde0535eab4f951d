"""Function `trigger`: correlates and evaluates collected events, and publishes those that expired."""

from stream_runtime import stream_handler
from stream_runtime.events import from_dynamodb

from control.rules.trigger import RULES
from control.settings import EVENT_TABLE_NAME

handler = stream_handler(RULES, from_dynamodb, needs=[EVENT_TABLE_NAME])
