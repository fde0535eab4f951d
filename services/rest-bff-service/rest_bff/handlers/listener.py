"""Function `listener`: events of other services keep the rows of items up to date."""

from stream_runtime import stream_handler
from stream_runtime.events import from_kinesis

from rest_bff.rules.listener import RULES

handler = stream_handler(RULES, from_kinesis)
