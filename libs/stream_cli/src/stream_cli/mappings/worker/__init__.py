"""Runs one shard of one mapping: reads it, lets `ShardProcessor` decide, and carries out what it decides."""

from .context import WorkerContext
from .worker import ShardWorker

__all__ = ["ShardWorker", "WorkerContext"]
