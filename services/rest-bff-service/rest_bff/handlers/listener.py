"""Function `listener`: applies events of other services to the rows of stories."""

from stream_runtime import stream_handler
from stream_runtime.events import from_kinesis

from rest_bff.rules.listener import RULES
from rest_bff.settings import ENTITY_TABLE_NAME

handler = stream_handler(RULES, from_kinesis, needs=[ENTITY_TABLE_NAME])
