"""What the workers of one mapping share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_cli.mappings.admission import Admissions
from stream_cli.mappings.checkpoints import ShardProgress
from stream_cli.mappings.filters import Filter
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.ports import AwsApi
from stream_cli.mappings.settings import MappingSettings
from stream_cli.mappings.threads import DaemonPool


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What the workers of one mapping share.

    Attributes:
        keeps: the mapping's filter.
        told: whether the endpoint tells what arrives.
        report: called with a shard's id and its progress, whenever the progress changes.
        observe: takes lines for the journal.
        admissions: counts the records that no mapping lets through.
    """

    settings: MappingSettings
    keeps: Filter
    role_arn: str
    endpoint: AwsApi
    notices: Notices
    pool: DaemonPool
    clock: Callable[[], float]
    told: Callable[[], bool]
    report: Callable[[str, ShardProgress], None]
    observe: Callable[[Mapping[str, Any]], None]
    admissions: Admissions

    @property
    def label(self) -> str:
        """Name of the mapping's function, which begins every notice."""
        return self.settings.function_arn.rpartition(":function:")[2]
