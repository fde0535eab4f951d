"""Has the emulator refuse chosen requests: the client of ``emulator.FaultInjection``."""

from __future__ import annotations

from typing import Any

import httpx

from stream_cli.local.emulator import FAULTS_PATH
from stream_cli.local.endpoint import Endpoint


def arm_fault(endpoint: Endpoint, **fault: Any) -> str:
    """Have the emulator refuse requests (see ``emulator.FaultInjection``); returns the id of what was armed."""
    answer = httpx.post(f"{endpoint.url}{FAULTS_PATH}", json=fault, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["id"])


def faults(endpoint: Endpoint) -> list[dict[str, Any]]:
    """The injected faults of the emulator, with how often each has fired."""
    answer = httpx.get(f"{endpoint.url}{FAULTS_PATH}", trust_env=False)
    answer.raise_for_status()
    return list(answer.json())
