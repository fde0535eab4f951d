"""Calls to AWS for a service's own code, retried as the runtime retries its own.

    page = clients.call("dynamodb", "query", TableName=table, **request)

Inside a pipeline, calls are retried until the deadline of the invocation; elsewhere ``time_limit`` sets one.
"""

from .aws.clients import client, reset, use
from .engine.calls import call, pause, retried, time_limit
from .engine.retry import backoff_s

__all__ = ["backoff_s", "call", "client", "pause", "reset", "retried", "time_limit", "use"]
