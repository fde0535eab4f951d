"""Function `trigger`: what was collected is correlated and evaluated, and what never completed expires."""

from stream_runtime import stream_handler
from stream_runtime.events import from_dynamodb

from control.rules.trigger import RULES

handler = stream_handler(RULES, from_dynamodb)
