"""Where the console of a local cloud is: its port and its token, in a file that only this user can read."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from stream_cli import private_files
from stream_cli.local.state import write_json


@dataclass(frozen=True)
class ConsoleAddress:
    """The address of a console; whoever has the token may ask."""

    port: int
    token: str

    @property
    def url(self) -> str:
        """What a person opens. A browser sends what stands behind ``#`` to nobody."""
        return f"http://127.0.0.1:{self.port}/#token={self.token}"

    def write(self, path: Path) -> None:
        """Say where it is."""
        write_json(path, asdict(self))


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def console_address(path: Path) -> ConsoleAddress | None:
    """The address in a file; None if no console has written it yet."""
    try:
        return ConsoleAddress(**json.loads(private_files.read(path)))
    except FileNotFoundError:
        return None
