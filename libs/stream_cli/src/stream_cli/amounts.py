"""How many of something there are, in words."""


def amount(number: int, name: str, several: str | None = None) -> str:
    """Say ``1 event`` or ``2 events``; the name is that of one, and takes an s for several where none is given."""
    return f"{number} {name if number == 1 else several or f'{name}s'}"
