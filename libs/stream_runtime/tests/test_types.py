"""Type checkers know the fields of rules and of units of work."""

import re
from pathlib import Path

from mypy import api

SAMPLE = Path(__file__).with_name("typed_rules.py")


def test_mypy_reports_the_wrong_lines_and_no_others() -> None:
    expected = {
        (number, code)
        for number, line in enumerate(SAMPLE.read_text().splitlines(), 1)
        if (marked := re.search(r"# error: (.*)", line))
        for code in marked[1].split(", ")
    }

    report, problems, _ = api.run(["--strict", "--no-pretty", str(SAMPLE)])

    assert problems == ""
    found = re.findall(r"^.*?:(\d+): error: .*\[([a-z-]+)\]$", report, re.MULTILINE)
    assert {(int(number), code) for number, code in found} == expected, report
