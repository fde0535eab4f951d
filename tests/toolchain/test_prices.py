"""The prices of docs/performance.md: the formula against AWS's own example, and the tables against what it gives."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"


@pytest.fixture
def prices(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    import prices

    yield prices
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_formula_gives_the_price_of_awss_example(prices):
    """3 million requests of 1 s with 512 MB: 1,500,000 GB-s, $25.00, and $0.60 for requests (Lambda's pricing page)."""
    assert 3 * prices.usd(1.0, 512, batch=1) == pytest.approx(25.00 + 0.60, abs=0.01)


def test_durations_are_billed_by_the_millisecond_rounded_up(prices):
    assert prices.usd(0.0101, 1024, 100) == prices.usd(0.011, 1024, 100) > prices.usd(0.0100, 1024, 100)


def test_each_price_in_the_document_is_that_of_its_duration(prices):
    """Of the table by memory: durations are printed in ms, so prices are near."""
    rows = re.findall(
        r"^\| ([\d,]+) MB \| (.+) \|$", DOCUMENT.read_text().partition("**Cold starts**")[0], re.MULTILINE
    )
    assert len(rows) == 5
    for memory, cells in rows:
        for duration, price in re.findall(r"([\d,]+) ms, \$([\d.]+)", cells):
            wanted = prices.usd(float(duration.replace(",", "")) / 1000, int(memory.replace(",", "")), 100)
            assert float(price) == pytest.approx(wanted, rel=0.06, abs=0.001)
