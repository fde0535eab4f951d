"""What can be wrong with a well-formed request."""


class ItemNotFound(Exception):
    """There is no such item, or it was deleted."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"there is no item {item_id}")


class ItemExists(Exception):
    """An item with this id was created before (it may be deleted by now)."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"there is an item {item_id} already")


class StaleVersion(Exception):
    """The item has changed since the client read it."""

    def __init__(self, item_id: str, expected: int) -> None:
        super().__init__(f"item {item_id} is not at version {expected} any more; read it again")


class InvalidCursor(Exception):
    """A cursor that this API did not give out."""


class IdempotencyKeyReused(Exception):
    """A key that came with another request before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key} came with another request before; take a new one")


class InvalidQuery(Exception):
    """A question to the dashboard that it has no index for."""
