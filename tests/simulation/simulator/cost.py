"""What a simulated story costs in CPU time, and whose that is: the handlers' or the simulation's.

PYTHONPATH=.:scripts:tests/simulation:libs/stream_runtime/tests/harness python -m simulator.cost [HISTORIES]
"""

from __future__ import annotations

import sys
import time

from simulator.kernel import Task
from simulator.topology import Deployment, deployed
from simulator.world import World

STORIES = 10


class InTasks:
    """Measures the time that tasks take: handlers, the runtime, and its client up to where a call leaves it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._switch = Task.switch

    def __enter__(self) -> InTasks:
        def switch(task: Task) -> None:
            began = time.process_time()
            self._switch(task)
            self.seconds += time.process_time() - began

        Task.switch = switch  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Task.switch = self._switch  # type: ignore[method-assign]


def play(deployment: Deployment, seed: int, stories: int = STORIES) -> World:
    """A history without failures: stories are submitted 7 s apart, and each is analysed after 20 s."""
    world = World(seed, deployment)

    def submit(number: int) -> None:
        body = {
            "id": f"story-{number}",
            "source_type": "newsapi",
            "source_url": f"https://news.example/{number}",
            "title": f"Title {number}",
            "text_snippet": "text " * 20,
            "published_at": "2027-01-01T00:00:00Z",
            "matched_tags": ["a", "b"],
        }
        world.request("POST", "/stories", body)

    def analyse(number: int) -> None:
        story = {"id": f"story-{number}", "sentiment": "positive", "score": 0.5, "model_version": "m1"}
        at_ms = world.kernel.now_us // 1000
        event = {"id": f"analysis-{number}", "type": "story-analyzed", "timestamp": at_ms}
        world.publish({**event, "partition_key": f"story-{number}", "story": story})

    with world.playing():
        for number in range(stories):
            world.at(7 * number, lambda number=number: submit(number))  # type: ignore[misc]
            world.at(7 * number + 20, lambda number=number: analyse(number))  # type: ignore[misc]
        world.run(7 * stories + 20)
        world.settle()
    return world


def main(histories: int = 20) -> None:
    """Print the least time that histories with no story, with one, and with ten have taken."""
    deployment = deployed("prod")
    for seed in range(3):
        play(deployment, seed)
    for stories in (0, 1, STORIES):
        whole, tasks, calls = [], [], 0
        for seed in range(histories):
            with InTasks() as in_tasks:
                began = time.process_time()
                world = play(deployment, seed, stories)
                whole.append(time.process_time() - began)
            tasks.append(in_tasks.seconds)
            calls = world.aws.calls
        one, in_handlers = min(whole) * 1000, min(tasks) * 1000
        each = f", {one / stories:5.1f} ms a story" if stories else ""
        print(f"{stories:3} stories: {one:6.1f} ms a history{each}; in handlers {in_handlers:6.1f} ms; {calls} calls")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
