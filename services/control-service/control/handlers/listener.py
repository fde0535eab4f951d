"""Function `listener`: collects the events of stories from the hub's stream."""

from stream_runtime import stream_handler
from stream_runtime.events import from_kinesis

from control.rules.listener import RULES
from control.settings import EVENT_TABLE_NAME, INCOMPLETE_AFTER_S

handler = stream_handler(RULES, from_kinesis, needs=[EVENT_TABLE_NAME, INCOMPLETE_AFTER_S])
