"""The emulator listens on the one socket that `Guard` stands behind.

Some of ministack's services would open further ones, on free ports or on all interfaces, which answer any page: the
runtime API of ``provided`` functions, the databases of RDS and DSQL, SFTP, MQTT. They get a PermissionError instead.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


def refuse_other_listeners() -> None:
    """From now on, no socket of this process can be bound to an address of the network."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.bind" and arguments[0].family in {socket.AF_INET, socket.AF_INET6}:
        raise PermissionError(
            f"The local cloud listens on one guarded port. It does not open {arguments[1]!r} for what needs another: "
            "functions with a provided runtime, databases, SFTP, MQTT."
        )
