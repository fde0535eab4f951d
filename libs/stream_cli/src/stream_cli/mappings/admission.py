"""Counts the records of a stream that no filter of any of its mappings lets through."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from stream_cli.mappings.failing import example_of
from stream_cli.mappings.filters import Filter, compile_filters
from stream_cli.mappings.settings import MappingSettings, Source
from stream_cli.patterns import InvalidPattern

_MOST_TYPES = 100
_OTHERS = "(other types)"


class Admissions:
    """The filters of all mappings, by stream. Each record is counted by one mapping of its stream only."""

    def __init__(self) -> None:
        self._filters: dict[str, dict[str, Filter]] = {}
        self._counts: dict[str, dict[str, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def follow(self, settings: MappingSettings) -> None:
        """Note the filter of a mapping, before any mapping reads with these settings."""
        if not settings.enabled:
            self.forget(settings)
            return
        try:
            keeps = compile_filters(settings.source.kind, settings.filter_patterns)
        except InvalidPattern:
            return  # nothing is read with it, which the runner says
        with self._lock:
            self._filters.setdefault(settings.source.stream_arn, {})[settings.uuid] = keeps

    def forget(self, settings: MappingSettings) -> None:
        """Note that a mapping does not read any more."""
        with self._lock:
            self._filters.get(settings.source.stream_arn, {}).pop(settings.uuid, None)

    def dropped(self, source: Source, mapping: str, record: Mapping[str, Any], number: str, at: float) -> None:
        """Count a record that a mapping's filter drops, if the other mappings of the stream drop it, too.

        Args:
            record: in the form that a function gets it.
            at: when it was dropped, in Unix seconds.
        """
        filters = self._filters.get(source.stream_arn, {})
        if not filters or mapping != min(filters):
            return
        if any(keeps(record) for other, keeps in list(filters.items()) if other != mapping):
            return
        example = example_of(source.kind, record)
        with self._lock:
            counts = self._counts.setdefault(source.stream_arn, {})
            name = example.get("type") or "(no type)"
            name = name if name in counts or len(counts) < _MOST_TYPES else _OTHERS
            count = counts.setdefault(name, {"type": name, "count": 0})
            count |= {"count": count["count"] + 1, "last": example.get("id"), "number": number, "at": at}

    def status(self) -> list[dict[str, Any]]:
        """For each stream with such records: how many of which type, and the last of them."""
        with self._lock:
            return [
                {"stream": stream, "unadmitted": [dict(count) for _, count in sorted(counts.items())]}
                for stream, counts in sorted(self._counts.items())
            ]
