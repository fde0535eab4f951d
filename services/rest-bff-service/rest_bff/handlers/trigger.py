"""Function `trigger`: publishes the changes that clients make as events."""

from stream_runtime import stream_handler
from stream_runtime.events import from_dynamodb

from rest_bff.rules.trigger import RULES

handler = stream_handler(RULES, from_dynamodb)
