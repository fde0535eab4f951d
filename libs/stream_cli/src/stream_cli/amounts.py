"""How many of something there are, in words."""


def amount(number: int, name: str) -> str:
    """Say ``1 event`` or ``2 events``; the name is that of one, and takes an s for several."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
