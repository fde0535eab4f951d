"""A plugin of pytest: with `--apart`, some workers of pytest-xdist collect and run what is in FOLDERS, others the rest.

A worker imports all that it collects, and starts a local cloud if it runs a test with one. A worker steals tests of
its part only.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import WorkStealingScheduling
from xdist.workermanage import WorkerController

FOLDERS = tuple(f"libs/stream_cli/tests/{each}" for each in ("deployment", "local", "mappings"))
"""What shares a local cloud, and waits most: nearly half of the time of all unit tests."""
PART = "part"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--apart", action="store_true", help="some workers run what is in apart.FOLDERS, others the rest")


def pytest_configure(config: pytest.Config) -> None:
    part = getattr(config, "workerinput", {}).get(PART)
    if part == 0:
        config.args = [*FOLDERS]
    elif part == 1:
        config.option.ignore = [*(config.option.ignore or ()), *FOLDERS]
    elif config.option.apart and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Apart())


class Apart:
    """Says which part is whose; a worker that replaces one that crashed has the same."""

    def __init__(self) -> None:
        self.workers = 0
        self.lost = list[int]()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[PART] = self.lost.pop() if self.lost else self.workers % 2
        self.workers += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        if error is not None:
            self.lost.append(node.workerinput[PART])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> "Both":
        return Both(config, log)


class Both:
    """A scheduler of each part."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        self.session: Any = config.pluginmanager.get_plugin("session")
        self.parts = [WorkStealingScheduling(config, log) for _ in range(2)]
        workers = self.parts[0].numnodes
        for part, count in zip(self.parts, (workers - workers // 2, workers // 2), strict=True):
            part.numnodes = count

    def of(self, node: WorkerController) -> WorkStealingScheduling:
        """The scheduler of a worker."""
        return self.parts[node.workerinput[PART]]

    @property
    def nodes(self) -> list[WorkerController]:
        return [node for part in self.parts for node in part.nodes]

    @property
    def collection_is_completed(self) -> bool:
        return all(part.collection_is_completed for part in self.parts)

    @property
    def tests_finished(self) -> bool:
        return all(part.tests_finished for part in self.parts)

    @property
    def has_pending(self) -> bool:
        return any(part.has_pending for part in self.parts)

    def add_node(self, node: WorkerController) -> None:
        self.of(node).add_node(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        self.of(node).add_node_collection(node, collection)

    def schedule(self) -> None:
        for part in self.parts:
            part.schedule()
        self.session.testscollected = sum(len(part.collection or ()) for part in self.parts)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        self.of(node).mark_test_complete(node, item_index, duration)

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        self.of(node).remove_pending_tests_from_node(node, indices)

    def mark_test_pending(self, item: str) -> None:
        next(part for part in self.parts if item in (part.collection or ())).mark_test_pending(item)

    def remove_node(self, node: WorkerController) -> str | None:
        return self.of(node).remove_node(node)
