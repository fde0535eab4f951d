"""What the console of a stage on AWS reads: the same as `trace --stage`, and the states of mappings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_cli.amounts import amount
from stream_cli.console.application import Sources
from stream_cli.deployment.production import is_production
from stream_cli.deployment.services import services_below
from stream_cli.journal.questions import Traffic
from stream_cli.journal.unknown import NotKnown, note
from stream_cli.local.state import StateFolder
from stream_cli.stored.connection import Connection
from stream_cli.trace.stage.answers import TICK_S
from stream_cli.trace.stage.connecting import AwsStage

_HOUR_MS = 3_600_000
_PROBLEM = "PROBLEM"

POSITIONS = NotKnown(
    "positions of shards, attempts and what failed in them",
    "Lambda keeps them to itself; it tells the result of a mapping's last batch, and CloudWatch its figures",
)


def stage_sources(
    stage: AwsStage, connection: Connection, state: StateFolder, services: Path, *, writes: bool
) -> Sources:
    """What the console of a stage reads, and whether it may write."""
    return Sources(
        connection.stage, f"stage {connection.stage}, {connection.place()}", stage.answers,
        state.root / "no-engine",  # that of a local cloud is none of this stage
        stage.deployed, state, connection=lambda: connection,
        is_production=lambda: is_production(connection.stage, services_below(services)), writes=writes,
        shards=lambda: shards(stage), every_s=TICK_S,
    )  # fmt: skip


def shards(stage: AwsStage, now: int | None = None) -> dict[str, Any]:
    """Mappings in the form of `shards.shards`: one row for all shards of each, which says what is known of them."""
    note(POSITIONS)
    until = time.time_ns() // 1_000_000 if now is None else now
    figures = stage.figured(until - _HOUR_MS, until)
    flows, dropped = ({flow.end: flow for flow in figures if flow.kind == kind} for kind in ("attempt", "filtered"))
    configured = {each["UUID"]: each for each in stage.apis.mappings()}
    return {
        "alive": True,
        "problem": None,
        "mappings": [
            {
                "id": mapping.id,
                "function": mapping.function,
                "source": mapping.source.split(":", 5)[-1],
                "enabled": mapping.enabled,
                "problem": _problem(configured.get(mapping.id, {})),
                "shards": [_row(configured.get(mapping.id, {}), flows.get(mapping.id), dropped.get(mapping.id))],
                "failures": [],
                "filtered_last": dropped[mapping.id].last if mapping.id in dropped else None,
            }
            for mapping in stage.deployed().mappings
        ],
    }


def _problem(configuration: Mapping[str, Any]) -> str | None:
    result = str(configuration.get("LastProcessingResult") or "")
    return result if result.startswith(_PROBLEM) else None


def _row(configuration: Mapping[str, Any], flow: Traffic | None, dropped: Traffic | None) -> dict[str, Any]:
    said = [f"Last batch: {configuration.get('LastProcessingResult') or 'not known'}."]
    if flow is not None:
        if flow.count or flow.failed:
            said.append(f"In the last hour {amount(flow.count, 'record')} done, {flow.failed} failed.")
        said.append(f"The last record of a batch was at most {flow.most_ms / 1000:.1f} s old.")
    else:
        said.append("CloudWatch has no figures of the last hour.")
    if dropped is not None:
        said.append(f"The filter dropped {dropped.count}.")
    return {"shard": "all", "state": " ".join(said), "behind": None}
