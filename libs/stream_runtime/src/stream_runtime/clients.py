"""AWS clients: one per service and process, built on first use."""

from .aws.clients import client, reset, use

__all__ = ["client", "reset", "use"]
