"""The environment variables of the functions, read when they are used."""

import os

from stream_runtime.errors import InvalidSetting


def ledger_table_name() -> str:
    """Table that remembers which objects are counted."""
    return _required("LEDGER_TABLE_NAME")


def metric_namespace() -> str:
    """CloudWatch namespace of the metrics."""
    return _required("METRIC_NAMESPACE")


def stage() -> str:
    """Stage of this stack: the dimension ``Stage`` of every metric."""
    return _required("STAGE")


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidSetting(f"environment variable {name} is not set")
    return value
