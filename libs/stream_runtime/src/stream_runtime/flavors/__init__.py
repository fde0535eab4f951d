"""Flavors: what a rule does with its events. One recipe a file, imported on first use.

A file defines the flavor, the TypedDict of its rules and that of its units of work: ``materialize_s3``,
``MaterializeS3Rule`` and ``MaterializeS3Uow`` are in ``materialize_s3.py``.
"""

# ruff: noqa: F403

import re
from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .cdc import *
    from .collect import *
    from .correlate import *
    from .elasticsearch import *
    from .evaluate import *
    from .expired import *
    from .firehose import *
    from .invoke_lambda import *
    from .job import *
    from .kinesis import *
    from .materialize import *
    from .materialize_s3 import *
    from .outbox import *
    from .s3 import *
    from .sns import *
    from .sqs import *
    from .task import *
    from .transform import *
    from .update import *


def _home_of(name: str) -> str:
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name.removesuffix("Rule").removesuffix("Uow")).lower()


lazily(__name__, _home_of)
