"""Pipelines: one for each rule, put together for a batch, fed with its units of work, and answered for."""

from stream_runtime.rules.fields import initialize_from

from .pipeline import StreamPipeline

__all__ = ["StreamPipeline", "initialize_from"]
