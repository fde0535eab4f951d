"""What clients read of the HTTP API when all has come to rest: stories, their list, and the dashboard, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from simulator.world import SECOND, Answer, World

if TYPE_CHECKING:
    from simulator.histories import Played

MOST_PAGES = 20


def read(played: Played) -> None:
    """Read every story that was wanted, and every list, to its end."""
    world = played.world
    for name in dict.fromkeys(request.step.name for request in played.requests):
        played.read[f"/stories/{name}"] = [_asked(world, f"/stories/{name}")]
    tags = sorted({tag for request in played.requests for tag in request.step.how.get("tags", ())})
    for path in ("/stories?limit=2", *_dashboards(world, tags[:2])):
        played.read[path] = list(_pages(world, path))


def _dashboards(world: World, tags: list[str]) -> Iterator[str]:
    day = f"day={datetime.fromtimestamp(world.start_us / SECOND, UTC):%Y-%m-%d}"
    yield f"/dashboard?{day}&limit=2"
    yield f"/dashboard?{day}&sentiment=positive&min_score=0.5&limit=1"
    for tag in tags:
        yield f"/dashboard?tag={tag}&limit=1"
        yield f"/dashboard?tag={tag}&{day}&sentiment=neutral&max_score=0.5&limit=2"


def _pages(world: World, path: str) -> Iterator[Answer]:
    cursor = ""
    for _ in range(MOST_PAGES):
        answer = _asked(world, f"{path}&cursor={cursor}" if cursor else path)
        yield answer
        cursor = (answer.body or {}).get("cursor") or ""
        if answer.status != 200 or not cursor:
            return
    raise AssertionError(f"{path} has no end")


def _asked(world: World, path: str) -> Answer:
    answer = world.request("GET", path)
    while not answer.status:
        world.run(0.1)
    return answer


def asked_for(path: str) -> dict[str, Any]:
    """The parameters of a path."""
    return dict(parse_qsl(path.partition("?")[2]))
