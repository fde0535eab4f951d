"""Function `outbox`: sends the messages that were written with their stories to the topic, in order per story."""

from stream_runtime import stream_handler
from stream_runtime.events import from_dynamodb

from rest_bff.rules.outbox import RULES

handler = stream_handler(RULES, from_dynamodb)
