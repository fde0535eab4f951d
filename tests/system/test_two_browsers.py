"""The first two browsers of a clone begin at once, as those of two workers do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chromium
import pytest

pytestmark = pytest.mark.system


@pytest.mark.thorough
@pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing()))
def test_the_first_two_that_begin_at_once_both_show_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "HOME", tmp_path / "browser")
    both = threading.Barrier(2)

    def shown(text: str) -> str:
        both.wait()
        with chromium.running() as browser:
            return str(browser.visit(f"data:text/html,<body>{text}", "return document.body.textContent")["value"])

    with ThreadPoolExecutor() as pool:
        assert [*pool.map(shown, ["one", "two"])] == ["one", "two"]
