"""Has the emulator of a local cloud refuse chosen AWS requests, as the service would.

The emulator, too, imports this module, and needs no client: it is imported where it is called.
"""

from __future__ import annotations

from typing import Any

from stream_cli.local.endpoint import LocalEndpoint

FAULTS_PATH = "/_streamctl/faults"


def arm_fault(endpoint: LocalEndpoint, **fault: Any) -> str:
    """Have the emulator refuse requests; takes the fields of its `InjectedFault`, returns the fault's id."""
    import httpx

    answer = httpx.post(f"{endpoint.url}{FAULTS_PATH}", json=fault, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["id"])


def faults(endpoint: LocalEndpoint) -> list[dict[str, Any]]:
    """The injected faults of the emulator, with how often each has ``fired``."""
    import httpx

    answer = httpx.get(f"{endpoint.url}{FAULTS_PATH}", trust_env=False)
    answer.raise_for_status()
    return list(answer.json())
