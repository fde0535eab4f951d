"""CloudWatch Logs, as far as a rule of a bus writes to a log group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from refusals import Refusal


class Logs:
    """Log groups by name, each with its events in the order in which they came."""

    def __init__(self, groups: Iterable[str]) -> None:
        self.groups: dict[str, list[Mapping[str, Any]]] = {name: [] for name in groups}

    def PutLogEvents(self, request: Mapping[str, Any]) -> dict[str, Any]:
        group = self.groups.get(request["logGroupName"])
        if group is None:
            raise Refusal(400, "ResourceNotFoundException", "The specified log group does not exist.")
        group.extend(request["logEvents"])
        return {}
