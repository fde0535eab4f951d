"""Flavors: what a rule does with its events, one recipe a file, imported when first asked for."""

from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .cdc import cdc
    from .collect import collect
    from .correlate import correlate
    from .evaluate import evaluate
    from .expired import expired
    from .materialize import materialize
    from .task import task

__all__ = ["cdc", "collect", "correlate", "evaluate", "expired", "materialize", "task"]

lazily(__name__, {name: name for name in __all__})
