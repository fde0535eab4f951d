"""Pipelines: one for each rule, assembled for a batch, fed with its units of work."""

from stream_runtime.rules.initialization import initialize_from

from .pipeline import StreamPipeline

__all__ = ["StreamPipeline", "initialize_from"]
