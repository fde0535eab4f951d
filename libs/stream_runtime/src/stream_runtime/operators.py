"""The operators that custom flavors are made of."""

from .engine.flow import Operator, compose
from .engine.multitask import multitask
from .engine.operators import rx_effect, rx_filter, rx_map, rx_parallel, split_buffer, tap
from .rules.splitting import split_object

__all__ = [
    "Operator",
    "compose",
    "multitask",
    "rx_effect",
    "rx_filter",
    "rx_map",
    "rx_parallel",
    "split_buffer",
    "split_object",
    "tap",
]
