"""Why a request is not answered."""

from __future__ import annotations


class Refusal(Exception):
    """A request that is refused with a status of HTTP and a reason, for whoever uses the page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
