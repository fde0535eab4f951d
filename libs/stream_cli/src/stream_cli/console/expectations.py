"""Expectations: the table of `npm start`, which feeds a sample in and knows what must come of it."""

from __future__ import annotations

import json
from typing import Any, Literal

from stream_runtime.payload.visible import visible

from stream_cli import private_files
from stream_cli.faults.secret_text import redacted_text
from stream_cli.local.state import StateFolder, is_alive
from stream_cli.terminal.options import LOCAL

State = Literal["feeding", "waiting", "settled"]
"""Of the file that `npm start` writes: the sample is fed in, is on its way, or nothing comes any more."""

_TEXTS = ("name", "expected", "seen")
_AT_A_STAGE = (
    "Not known at a stage: they are of the sample that `npm start` feeds into a local cloud. Nobody feeds it in here."
)
_DEPLOYING = "The services are being deployed; what is expected is known when the sample is fed in."
_OF_UP = (
    "There are none: this cloud was started by `streamctl up`, which feeds nothing in, so that nothing is expected. "
    "`npm run demo -- send` feeds the sample of `npm start` into it, once, and this page shows what comes of it."
)


def expectations(stage: str, state: StateFolder) -> dict[str, Any]:
    """The lines of the table with since when they are as they are, and how far it is (``state``).

    ``state`` is ``none`` where there is no table, and ``ended`` where the process that fed the sample in has ended
    before all was seen; ``why`` says so.
    """
    if stage != LOCAL:
        return _none(_AT_A_STAGE)
    try:
        found = json.loads(private_files.read(state.expectations_file))
    except FileNotFoundError:
        return _none(_OF_UP if (state.cloud() or {}).get("deployed") else _DEPLOYING)
    owner = found["owner"]
    has_ended = found["state"] != "settled" and not is_alive(owner["pid"], owner["started"])
    return {
        "state": "ended" if has_ended else found["state"],
        "why": "The process that fed the sample in has ended before all was seen." if has_ended else "",
        "note": found["note"],
        "at": found["at"],
        "expectations": [_line(each) for each in found["expectations"]],
    }


def _line(line: dict[str, Any]) -> dict[str, Any]:
    texts = {name: _shown(line[name]) for name in _TEXTS}
    return {**texts, "ok": line["ok"], "since": line["since"], "details": [_shown(each) for each in line["details"]]}


def _shown(text: str) -> str:
    return visible(redacted_text(text))


def _none(why: str) -> dict[str, Any]:
    return {"state": "none", "why": why, "note": "", "at": None, "expectations": []}
