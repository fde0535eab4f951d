"""The lock file of the Python packages without the names of hosts, which the repository does not hold.

uv writes and reads `uv.lock` (ignored by git), in which every file has its full address. The committed `uv.lock.in` is
the same text with `{index}` for the address of the package index and `{files}` for the host of its files. Set-up fills
in pip's own defaults.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Hosts:
    """Where packages come from: the index (`https://host/simple`) and the host of its files (`https://host`)."""

    index: str
    files: str


def host_free(lock: str, hosts: Hosts) -> str:
    """The committed form of a `uv.lock`.

    Raises:
        ValueError: the lock names another host, as it does when it was made with a private index.
    """
    text = lock.replace(f'"{hosts.index}"', '"{index}"').replace(f'"{hosts.files}/', '"{files}/')
    left = re.search(r"\w+://[^/\"\s]+", text)
    if left:
        raise ValueError(f"the lock names the host {left[0]}: lock with the public index alone")
    return text


def expanded(committed: str, hosts: Hosts) -> str:
    """The `uv.lock` that uv reads; undoes `host_free`."""
    return committed.replace('"{index}"', f'"{hosts.index}"').replace('"{files}/', f'"{hosts.files}/')
