"""The console of a stage on AWS in a real browser; moto answers for AWS."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.thorough]

ROOT = Path(__file__).resolve().parents[2]
SERVES = f"""
import sys
from datetime import timedelta
sys.path.insert(0, {str(ROOT / "libs/stream_cli/tests/trace")!r})
from pytest import MonkeyPatch
from stage_in_moto import LISTENER, in_moto
with in_moto(MonkeyPatch()) as stage:
    for number in range(20):
        stage.event(f"s{{number}}", "submitted", f"story-{{number}}", ago=timedelta(seconds=40 - number))
    stage.event("r1", "ready", triggers=[{{"id": "s1"}}])
    stage.measured("AWS/Lambda", "Invocations", 12, FunctionName=LISTENER)
    stage.measured("AWS/Lambda", "IteratorAge", 900, FunctionName=LISTENER)
    from stream_cli.cli import main
    sys.argv = ["streamctl", "console", "--stage", "dev"]
    main()
"""
NARROW_AND_DARK = {"viewport": {"width": 390, "height": 844}, "colorScheme": "dark"}


@pytest.fixture
def url() -> Iterator[str]:
    served = subprocess.Popen(
        [sys.executable, "-c", SERVES], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert served.stdout
    yield served.stdout.readline().strip()
    served.send_signal(signal.SIGTERM)  # while a browser has connections
    _, said = served.communicate(timeout=60)
    assert served.returncode == 128 + signal.SIGTERM
    assert said.splitlines()[1:] == ["Stopped."]


def test_a_page_says_what_a_stage_cannot_tell(chromium: Any, url: str) -> None:
    first = chromium.play("at a stage", "firstView", url)
    assert "ready" in first["first"]
    assert first["problems"] == []
    for text in ("Not known here: 2 things", "Loaded anew every 60 s"):
        chromium.play("at a stage", "shown", given={"text": text})
    seen = chromium.play("at a stage", "shards", given={"text": "control-dev-listener"})
    assert "The last record of a batch was at most 0.9 s old." in seen["text"]
    assert "Not known here" in seen["text"]
    assert seen["problems"] == []
    chromium.play("on the phone at a stage", "firstView", url, screen=NARROW_AND_DARK)
    traced = chromium.play("on the phone at a stage", "traced", given={"asked": "s1", "text": "s1 on hub-dev"})
    assert "Not known here" in traced["text"]
    assert traced["problems"] == []
    assert not traced["overflows"]
