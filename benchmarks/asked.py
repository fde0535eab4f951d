"""What pages ask of a console, without the browser: they are seen to ask, and the same is asked again and again.

What a browser draws takes about as much CPU as the console, on cores that a machine with two has not.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

import chromium

HEADER = "x-console-token"

Asked = Sequence[tuple[float, str]]
"""When (in ms) a page has asked, and what (path and query)."""


def asked_by(url: str, pages: Sequence[str], seconds: float) -> list[Asked]:
    """What pages of a console, by their titles, ask in some seconds each, one page after the other.

    Raises:
        RuntimeError: no browser can run here, or a page asks nothing.
    """
    found = []
    with chromium.running() as browser:
        for page in pages:
            browser.play(page, "watches", url, given={"title": page})
            found.append(browser.play(page, "asks", given={"seconds": seconds})["asked"])
    if not all(found):
        raise RuntimeError(f"a page asks nothing: {found}")
    return found


def ask_again(url: str, pages: Sequence[Asked]) -> None:
    """Ask from now on what pages asked, at these intervals and for ever, each page with its connection for news."""
    address = urlsplit(url)
    base, headers = f"{address.scheme}://{address.netloc}", {HEADER: address.fragment.partition("=")[2]}
    for asked in pages:
        for work in (_ask, _follow):
            threading.Thread(target=work, args=(base, headers, asked), daemon=True).start()


def _ask(base: str, headers: Mapping[str, str], asked: Asked) -> None:
    with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=None) as client:
        for before, (at, path) in itertools.pairwise(itertools.chain([(0.0, "")], itertools.cycle(asked))):
            time.sleep(max(0.0, at - before[0]) / 1000)  # as long as the page has waited
            client.get(path).raise_for_status()


def _follow(base: str, headers: Mapping[str, str], _: Asked) -> None:
    with (
        httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=None) as client,
        client.stream("GET", "/api/arrivals") as answer,
    ):
        answer.raise_for_status()
        for _part in answer.iter_raw():
            pass
