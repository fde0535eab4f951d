"""How services refuse a member of a request that breaks a constraint of their API."""

from __future__ import annotations

from refusals import Refusal


def broken(name: str, constraint: str, value: object = None) -> Refusal:
    """The refusal of a member that breaks a constraint; its value is shown unless it is None."""
    shown = "" if value is None else f" '{value}'"
    return Refusal(
        400,
        "ValidationException",
        f"1 validation error detected: Value{shown} at '{name}' failed to satisfy constraint: {constraint}",
    )


def check_length(name: str, length: int, most: int, *, least: int = 1, value: object = None) -> None:
    """Refuse a member that is too short or too long.

    Raises:
        Refusal: it is.
    """
    if length > most:
        raise broken(name, f"Member must have length less than or equal to {most}", value)
    if length < least:
        raise broken(name, f"Member must have length greater than or equal to {least}", value)
