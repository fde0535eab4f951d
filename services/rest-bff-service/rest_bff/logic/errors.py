"""Errors of well-formed requests."""


class ItemNotFound(Exception):
    """The item does not exist, or was deleted."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"there is no item {item_id}")


class ItemExists(Exception):
    """An item with this id was created before, even if it is deleted now."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"there is an item {item_id} already")


class NotOwner(Exception):
    """The item is not the caller's to change."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"item {item_id} belongs to somebody else")


class UnknownCaller(Exception):
    """The token does not say whose it is."""

    def __init__(self) -> None:
        super().__init__("the token has no sub, so it names nobody")


class StaleVersion(Exception):
    """The item has changed since the client read it."""

    def __init__(self, item_id: str, expected: int) -> None:
        super().__init__(f"item {item_id} is not at version {expected} any more; read it again")


class ItemBusy(Exception):
    """Others kept writing the item; nothing was written."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"others are writing item {item_id}; try again")


class InvalidCursor(Exception):
    """A cursor that this API did not return."""


class IdempotencyKeyReused(Exception):
    """The idempotency key was used for another request before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key} came with another request before; take a new one")


class InvalidQuery(Exception):
    """A query for which the dashboard has no index."""
