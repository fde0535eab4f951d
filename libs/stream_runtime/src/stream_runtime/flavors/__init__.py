"""Flavors: what a rule does with its events, one recipe a file, imported when first asked for."""

from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .cdc import cdc
    from .collect import collect
    from .correlate import correlate
    from .elasticsearch import elasticsearch
    from .evaluate import evaluate
    from .expired import expired
    from .firehose import firehose
    from .invoke_lambda import invoke_lambda
    from .job import job
    from .kinesis import kinesis
    from .materialize import materialize
    from .materialize_s3 import materialize_s3
    from .outbox import outbox
    from .s3 import s3
    from .sns import sns
    from .sqs import sqs
    from .task import task
    from .transform import transform
    from .update import update

__all__ = [
    "cdc",
    "collect",
    "correlate",
    "elasticsearch",
    "evaluate",
    "expired",
    "firehose",
    "invoke_lambda",
    "job",
    "kinesis",
    "materialize",
    "materialize_s3",
    "outbox",
    "s3",
    "sns",
    "sqs",
    "task",
    "transform",
    "update",
]

lazily(__name__, {name: name for name in __all__})
