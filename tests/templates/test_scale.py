"""Every figure of docs/scale.md is what `streamctl plan` says when its command is run again."""

from __future__ import annotations

import re

import pytest
import scale

pytestmark = pytest.mark.packaging

TEXT = scale.DOCUMENT.read_text(encoding="utf-8")
PROSE, SECTIONS = scale.parts(TEXT)
COMMANDS = [*map(scale.command_of, SECTIONS)]


def _is_as_written(place: int) -> bool:
    section = SECTIONS[place]
    return scale.written(section, scale.plan) == section


@pytest.mark.thorough
@pytest.mark.parametrize("place", range(len(COMMANDS)))
def test_the_figures_are_those_of_the_plan(place: int) -> None:
    assert _is_as_written(place)


def test_outside_of_the_sections_there_are_no_figures_of_money_or_latency() -> None:
    assert not re.search(r"\$\d|\d (ms|s)\b", "".join(PROSE))
