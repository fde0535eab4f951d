"""Metrics of a function's own, in CloudWatch's embedded metric format."""

from .engine.metrics import Metric, write_metrics

__all__ = ["Metric", "write_metrics"]
