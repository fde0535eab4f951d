"""The predicates by which rules choose units of work, for ``filters`` and for custom flavors."""

from .rules.filters import (
    Routed,
    event_type_of,
    on_content,
    on_event_type,
    out_latched,
    out_skip,
    out_source_is_self,
    out_ttl_removal,
)

__all__ = [
    "Routed",
    "event_type_of",
    "on_content",
    "on_event_type",
    "out_latched",
    "out_skip",
    "out_source_is_self",
    "out_ttl_removal",
]
