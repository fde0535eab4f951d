"""The soak of the local cloud runs, and fails if something grows faster than it may."""

from __future__ import annotations

import pytest
import soak_cloud

pytestmark = pytest.mark.system


@pytest.mark.thorough
def test_the_soak_sees_each_part_and_fails_for_what_grows_too_fast(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = {f"memory of {part}" for part in (*soak_cloud.PARTS, soak_cloud.FUNCTIONS)} | {"disk of kept"}
    monkeypatch.setattr(soak_cloud, "MOST", dict.fromkeys(seen, float("inf")) | {"memory of emulator": -1e9})
    monkeypatch.setattr(soak_cloud, "MOST_OF_OTHERS", float("inf"))
    monkeypatch.setattr(soak_cloud, "SLOWER_S", float("inf"))
    monkeypatch.setattr(soak_cloud, "EVERY_S", 1.0)

    assert soak_cloud.main(["--minutes", "0.2", "--rate", "2"]) == 1

    lines = capfd.readouterr().out.splitlines()
    assert any("stories, 0 minutes; 0 are not ready" in line for line in lines)
    assert seen <= {line.partition(":")[0] for line in lines}
    (problem,) = [line for line in lines if line.startswith("Problem: ")]
    assert "memory of emulator grows" in problem
