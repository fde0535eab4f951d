"""Random ids are made without an object for each: of messages, events and requests, several for each event.

They are UUIDs of version 4, as those of the module ``uuid``, which takes 2.5 times as long for their text.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

_SERVICES = ("cloudwatch_logs", "dynamodb", "eventbridge", "kinesis", "sqs")

INTERNALS = {f"ministack.services.{name}": ("new_uuid",) for name in _SERVICES}

_VARIANTS = "89ab" * 4


def patch() -> None:
    """Have the services that are asked most make them so."""
    for name in _SERVICES:
        service: Any = importlib.import_module(f"ministack.services.{name}")
        service.new_uuid = random_id


def random_id() -> str:
    """The text of a UUID of version 4."""
    digits = os.urandom(16).hex()
    variant = _VARIANTS[int(digits[16], 16)]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
