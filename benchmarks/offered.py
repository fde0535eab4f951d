"""Events put on the bus of a local cloud at a steady rate: a few stories, and many events that no function takes."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

ENTRIES = 10
"""Of a request; the API takes no more."""

OTHERS = {"type": "page-viewed", "page": {"title": "A page that somebody has looked at"}}


class Offered:
    """Puts events until it is left; ``count`` says how many so far.

    Attributes:
        run: a part of the ids of all events.
    """

    def __init__(self, bus: str, story: dict[str, dict[str, Any]], *, rate: int, share: float) -> None:
        """Prepare it, with a client for the environment as it is.

        Args:
            story: what the events of a story have, by their types.
            rate: events a second; 0 puts as many as the bus takes.
            share: of the events that are of stories.
        """
        import boto3

        self.run, self.count = uuid.uuid4().hex[:8], 0
        self._client: Any = boto3.client("events")
        self._bus, self._story, self._rate, self._share = bus, story, rate, share
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
                entries = [self._entry(self.count + place) for place in range(ENTRIES)]
                if self._client.put_events(Entries=entries)["FailedEntryCount"]:
                    raise RuntimeError("the bus has refused events")
                self.count += ENTRIES
                due = self.count / self._rate if self._rate else 0.0
                self._left.wait(max(0.0, due - (time.perf_counter() - begin)))
        except BaseException as problem:
            self._problem = problem

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
