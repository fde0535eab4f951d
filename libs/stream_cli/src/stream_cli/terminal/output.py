"""What commands print."""

from __future__ import annotations

import sys


def print_line(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{text}\n")
