"""Function `listener`: the events that items are made of are collected from the stream."""

from stream_runtime import stream_handler
from stream_runtime.events import from_kinesis

from control.rules.listener import RULES

handler = stream_handler(RULES, from_kinesis)
