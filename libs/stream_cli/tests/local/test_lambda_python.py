"""A local cloud says on which Python functions run."""

from __future__ import annotations

import platform
from typing import Any

import pytest
from stream_cli.local.lambda_python import RUNTIME, python_of


class Functions:
    """A client of Lambda with functions of these runtimes, on a page each."""

    def __init__(self, *runtimes: str) -> None:
        self._runtimes = runtimes

    def get_paginator(self, _: str) -> Functions:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [{"Functions": [{"Runtime": runtime}]} for runtime in self._runtimes]


def test_the_version_is_named() -> None:
    assert python_of(Functions(RUNTIME, "nodejs24.x")) == f"Functions run on Python {platform.python_version()}"


@pytest.mark.parametrize("declared", ["python3.99", "python3.10"])
def test_another_version_that_functions_declare_is_named(declared: str) -> None:
    said = python_of(Functions(RUNTIME, declared))
    assert said.startswith(f"Functions run on Python {platform.python_version()}, although they declare {declared}.")
    assert "PYTHON_BIN" in said
