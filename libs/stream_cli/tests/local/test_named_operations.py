"""Requests that name their operation are not shown to the handlers of special hosts and paths."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stream_cli.local.emulator.named_operations import passing_by

TARGET = {"x-amz-target": "DynamoDB_20120810.PutItem", "host": "127.0.0.1:4566"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "asked"),
    [
        ("POST", "/", TARGET, False),
        ("POST", "/", {**TARGET, "host": "localhost:4566"}, False),
        ("POST", "/", {**TARGET, "host": "0a1b2c3d.execute-api.localhost:4566"}, True),
        ("POST", "/", {**TARGET, "x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth"}, True),
        ("POST", "/", {"host": "127.0.0.1:4566"}, True),
        ("POST", "/login", TARGET, True),
        ("OPTIONS", "/", TARGET, True),
    ],
)
def test_special_handlers_are_asked_about_other_requests_only(
    method: str, path: str, headers: dict[str, str], asked: bool
) -> None:
    seen: list[Any] = []

    async def handle(*arguments: Any, **more: Any) -> str:
        seen.append((*arguments, more))
        return "theirs"

    answer = asyncio.run(passing_by(handle)(method, path, headers, b"body", raw_path="/"))
    assert (answer, seen) == (
        ("theirs", [(method, path, headers, b"body", {"raw_path": "/"})]) if asked else (None, [])
    )
