"""Events put on the bus of a local cloud: a few stories, and many events that no function takes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

ENTRIES = 10
"""Of a request; the API takes no more."""

OTHERS = {"type": "page-viewed", "page": {"title": "A page that somebody has looked at"}}


class Feed:
    """Puts events when it is told to; ``count`` says how many so far.

    Attributes:
        run: a part of the ids of all events.
    """

    def __init__(self, bus: str, story: dict[str, dict[str, Any]], *, share: float) -> None:
        """Prepare it, with a client for the environment as it is.

        Args:
            story: what the events of a story have, by their types.
            share: of the events that are of stories.
        """
        import boto3

        self.run, self.count = uuid.uuid4().hex[:8], 0
        self._client: Any = boto3.client("events")
        self._bus, self._story, self._share = bus, story, share

    def put(self, many: int) -> None:
        """Put some events, a multiple of ENTRIES, as fast as the bus takes them.

        Raises:
            RuntimeError: the bus has refused events.
        """
        for _ in range(many // ENTRIES):
            entries = [self._entry(self.count + place) for place in range(ENTRIES)]
            if self._client.put_events(Entries=entries)["FailedEntryCount"]:
                raise RuntimeError("the bus has refused events")
            self.count += ENTRIES

    def _entry(self, number: int) -> dict[str, Any]:
        before, now = int(number * self._share), time.time_ns() // 1_000_000
        if int((number + 1) * self._share) == before:
            named = {"id": f"page-{self.run}-{number}", "partition_key": f"page-{self.run}-{number % 500}"}
            event = {**OTHERS, **named, "timestamp": now}
        else:
            story, place = divmod(before, len(self._story))
            type_, id = list(self._story)[place], f"story-{self.run}-{story}"
            event = {"id": f"{type_}-{self.run}-{story}", "type": type_, "timestamp": now, "partition_key": id}
            event |= {"tags": {"source": "bench"}, "story": {"id": id, **self._story[type_]}}
        detail = json.dumps(event)
        return {"EventBusName": self._bus, "Source": "bench", "DetailType": event["type"], "Detail": detail}


class Offered(Feed):
    """Puts events at a steady rate until it is left."""

    def __init__(self, bus: str, story: dict[str, dict[str, Any]], *, rate: int, share: float) -> None:
        """Prepare it; ``rate`` is in events a second, the rest as for a `Feed`."""
        super().__init__(bus, story, share=share)
        self._rate = rate
        self._left = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._put_all)

    def __enter__(self) -> Offered:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _put_all(self) -> None:
        try:
            begin = time.perf_counter()
            while not self._left.is_set():
                self.put(ENTRIES)
                self._left.wait(max(0.0, self.count / self._rate - (time.perf_counter() - begin)))
        except BaseException as problem:
            self._problem = problem
