"""Flavors: what a rule does with its events, one recipe a file."""

from .cdc import cdc
from .collect import collect
from .correlate import correlate
from .evaluate import evaluate
from .expired import expired
from .materialize import materialize
from .task import task

__all__ = ["cdc", "collect", "correlate", "evaluate", "expired", "materialize", "task"]
