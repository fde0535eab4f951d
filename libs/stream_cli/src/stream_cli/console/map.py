"""The map: what is deployed, as its stacks say, and what goes over each arrow at the moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.console.figures import OF_A_STAGE, Figures, Windows
from stream_cli.console.leads import of_arrow, of_node
from stream_cli.errors import CommandError
from stream_cli.journal.questions import Questions
from stream_cli.journal.unknown import NotKnown, note, noting
from stream_cli.structure.drawing import Drawing, Live, drawing_of
from stream_cli.structure.stacks import Described, Stack, account_of, stack_of
from stream_cli.terminal.options import LOCAL
from stream_cli.trace.deployed import Deployed

LOOKS_EVERY_S = 5.0
_SHARE = 20
"""A look that takes long, as at a stage of AWS, is taken more rarely."""


@dataclass
class _Looked:
    drawing: Drawing
    again_at: float
    problems: Sequence[str]
    notes: Sequence[NotKnown]


class Map:
    """The map of a stage. What is deployed is looked at when somebody asks, at most every few seconds.

    Args:
        mappings: the folder of the mapping engine.
    """

    def __init__(self, stage: str, questions: Questions, deployed: Callable[[], Deployed], mappings: Path) -> None:
        self._stage = stage
        self._deployed = deployed
        self._figures = Figures(questions, mappings, Windows() if stage == LOCAL else OF_A_STAGE)
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, Stack]] = {}
        self._drawn_from: object = None
        self._looked: _Looked | None = None

    def drawn(self) -> dict[str, Any]:
        """Groups, nodes and arrows, with where each leads; ``version`` changes with any of them."""
        looked = self._look()
        drawing = looked.drawing
        end = f"-{self._stage}"
        return {
            "version": drawing.version,
            "groups": [
                {"id": each.name, "name": each.name.removesuffix(end), "status": each.status, "problem": each.problem}
                for each in drawing.stacks
            ],
            "nodes": [
                {
                    "id": node.id, "kind": node.kind, "name": node.name, "full_name": node.full_name,
                    "group": node.stack, "note": node.note, "disabled": node.disabled, "leads": of_node(node, drawing),
                }
                for node in drawing.nodes
            ],
            "arrows": [
                {
                    "id": arrow.id, "start": arrow.start, "end": arrow.end, "kind": arrow.kind, "why": arrow.why,
                    "disabled": arrow.disabled, "leads": of_arrow(arrow),
                }
                for arrow in drawing.arrows
            ],
            "left_out": drawing.left_out,
            "more": drawing.more,
            "unknown": [*looked.problems, *drawing.unknown],
        }  # fmt: skip

    def drawing(self) -> Drawing:
        """What is deployed."""
        return self._look().drawing

    def figures(self) -> dict[str, Any]:
        """What goes over arrows and through nodes; see `figures.Figures`. ``version`` is that of the drawing."""
        looked = self._look()
        return {"version": looked.drawing.version, **self._figures.of(looked.drawing, self._deployed().lags())}

    def _look(self) -> _Looked:
        """What is deployed; what could not be found out is noted each time."""
        with self._lock:
            began = time.monotonic()
            looked = self._looked
            if looked is None or began >= looked.again_at:
                with noting() as notes:
                    drawing, problems = self._read_or_kept()
                now = time.monotonic()
                again_at = now + max(LOOKS_EVERY_S, _SHARE * (now - began))
                looked = self._looked = _Looked(drawing, again_at, problems, tuple(notes))
        note(*looked.notes)
        return looked

    def _read_or_kept(self) -> tuple[Drawing, Sequence[str]]:
        deployed = self._deployed()
        try:
            return self._read(deployed), list(deployed.problems)
        except CommandError as error:
            if self._looked is None:
                raise
            return self._looked.drawing, [f"This is what was deployed before. {error}"]

    def _read(self, deployed: Deployed) -> Drawing:
        """What is deployed now; of stacks that are as they were, templates are not read again."""
        described = [Described.of(each) for each in deployed.apis.stacks()]
        exports = {name: value for each in described for name, value in each.exports.items()}
        given = str(sorted(exports.items()))
        stacks: dict[str, tuple[str, Stack]] = {}
        for each in described:
            fingerprint = each.fingerprint + given
            kept = self._kept.get(each.name)
            stacks[each.name] = (
                kept if kept and kept[0] == fingerprint else (fingerprint, _read(deployed, each, exports))
            )
        self._kept = stacks
        found = [stack for _, stack in stacks.values()]
        region, account = account_of(described)
        partition = next((each.id.split(":")[1] for each in described if each.id.startswith("arn:")), "aws")
        buses = {each.physical_id for stack in found for each in stack.resources.values() if "EventBus" in each.type}
        live = Live(deployed.mappings, {bus: deployed.apis.bus_rules(bus) for bus in sorted(buses)})
        drawn_from = ([fingerprint for fingerprint, _ in stacks.values()], live)
        if self._looked is None or drawn_from != self._drawn_from:
            self._drawn_from = drawn_from
            return drawing_of(found, live, region, account, partition)
        return self._looked.drawing


def _read(deployed: Deployed, stack: Described, exports: Mapping[str, str]) -> Stack:
    try:
        return stack_of(stack, deployed.apis.template(stack.name), deployed.apis.resources(stack.name), exports)
    except (CommandError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Stack(stack.name, stack.status, problem=f"{type(error).__name__}: {error}")
