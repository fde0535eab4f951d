"""What a small system did, and its timelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from observed_system import NOON, Observed, SmallSystem, Trace
from stage_in_moto import StageInMoto, in_moto
from stream_cli.faults.ledger import Resubmission
from stream_cli.journal.answers import Journal
from stream_cli.trace.command import timeline_of
from stream_cli.trace.deployed import Deployed, ShardLag
from stream_cli.trace.model import Timeline


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    observed = Observed(tmp_path / "journal")
    yield observed
    observed.close()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules of functions whose code is the same are read once for all tests."""
    return tmp_path_factory.mktemp("rules")


@pytest.fixture
def system() -> SmallSystem:
    return SmallSystem()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[StageInMoto]:
    """A stage on AWS."""
    with in_moto(monkeypatch) as made:
        yield made


@pytest.fixture
def trace(observed: Observed, system: SmallSystem, kept: Path, tmp_path: Path) -> Iterator[Trace]:
    """The timeline of an id or a key, a while after the last line."""
    journal = Journal(tmp_path / "journal")

    def ask(
        asked: str,
        lags: Mapping[tuple[str, str], ShardLag] | None = None,
        resubmitted: Mapping[str, Resubmission] | None = None,
    ) -> Timeline:
        observed.flush()
        deployed = Deployed(system, kept, lambda: lags or {}, lambda ids: resubmitted or {})
        return timeline_of(journal, deployed, asked, now=NOON + observed.now + 100)

    yield ask
    journal.close()
