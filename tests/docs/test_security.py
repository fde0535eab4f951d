"""docs/security.md names tests that are there, for every attack, and covers every boundary that its picture shows."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
HELD = {title: text for title, text in SECTIONS.items() if "| test |" in text}
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for text in HELD.values()
    for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)[2:]
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_attack_names_what_holds_it_and_tests_that_are_there(row):
    attack, holds, tests = row
    assert attack
    assert holds
    named = re.findall(r"`([^`]+)`", tests)
    assert ", ".join(f"`{each}`" for each in named) == tests
    tracked = subprocess.run(["git", "ls-files", *named], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(tracked.stdout.split()) == sorted(named)
    for each in named:
        assert re.search(r"^(async )?def test_|^    def test_", (ROOT / each).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_attacker_is_told_of_with_what_holds_them_and_what_they_can_still_do():
    for title in (
        "The internet",
        "A peer account, and poison records",
        "A teammate",
        "A web page in the developer's browser",
        "Another user of the same machine",
        "A compromised dependency or workflow",
    ):
        assert title in HELD
    left = re.findall(r"^\| ([\w ]+) \|", SECTIONS["What does not hold"], re.MULTILINE)
    assert left[1:] == [
        "internet",
        "peer account",
        "poison",
        "teammate",
        "web page",
        "another user",
        "dependency",
        "workflow",
        "AWS",
    ]


def test_the_picture_shows_the_attackers():
    picture = re.search(r"```mermaid\n(.*?)```", TEXT, re.DOTALL)[1]
    shown = set(re.findall(r"\(\[([\w ]+)\]\)", picture))
    assert shown == {"internet", "peer account", "packages of others", "web page", "another user", "teammate"}
