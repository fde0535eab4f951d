"""A function that the page asks for, and one that there is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from stream_cli.console.application import Sources

THERE = {"orders-local-listener": {"Timeout": 60}, "orders-local-trigger": {}, "lake-local-rest": {}}


@pytest.fixture
def console(console_of: Callable[..., Any], sources: Sources) -> Callable[[Mapping[str, Any]], Any]:
    return lambda functions: console_of(
        dataclasses.replace(sources, deployed=lambda: SimpleNamespace(functions=functions))  # type: ignore[arg-type]
    )


def test_a_function_that_has_not_run_yet_is_shown(console: Callable[[Mapping[str, Any]], Any]) -> None:
    found = console(THERE).get("/api/functions/orders-local-listener")
    assert (found.status, found.content["settings"], found.content["last"]) == (200, {"Timeout": 60}, [])


@pytest.mark.parametrize(
    ("functions", "there"),
    [
        (THERE, "there is orders-local-listener, orders-local-trigger, lake-local-rest"),
        ({"lake-local-rest": {}}, "there is lake-local-rest"),
        ({}, "none is deployed"),
    ],
)
def test_of_an_unknown_function_it_is_said_which_there_are(
    console: Callable[[Mapping[str, Any]], Any], functions: Mapping[str, Any], there: str
) -> None:
    found = console(functions).get("/api/functions/orders-local-listner")
    assert (found.status, found.content["error"]) == (
        404, f"There is no function orders-local-listner in stage local; {there}."
    )  # fmt: skip
