"""The sample: 200 items of a news feed, as a client would post them and an analysis service would judge them.

``sample/feed.json`` holds one object an item: ``item`` (the body of POST /items), ``analysis`` (the item's part of the
``item-analyzed`` event; null where the analysis never comes), and where they apply ``analysis_first`` (it arrives
before the item), ``analysis_twice`` (it is published twice, as a bus may do), ``throttled`` (the first write of its
materialization is refused) and ``poison`` (what is wrong with its analysis).
"""

from __future__ import annotations

import concurrent.futures
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import httpx
from stream_cli.errors import CommandError
from stream_cli.local.emulator.fault_injection import arm_fault
from stream_cli.local.endpoint import Endpoint, stack_output
from stream_cli.send import publish

REST_STACK = "rest-bff-service-local"
HUB_STACK = "event-hub-local"
ANALYZER = "feed-analyzer"

_POSTS_AT_ONCE = 2
_GROUP = 10
_ATTEMPTS = 6
_RETRIED_STATUS = {429, 502, 503, 504}


class FeedFailed(CommandError):
    """The sample could not be fed in; what failed is in the text."""


@dataclass(frozen=True)
class Entry:
    """One item of the sample."""

    item: dict[str, Any]
    analysis: dict[str, Any] | list[Any] | None
    analysis_first: bool = False
    analysis_twice: bool = False
    throttled: bool = False
    poison: str | None = None

    @property
    def id(self) -> str:
        """Id of the item."""
        return str(self.item["id"])

    @property
    def is_complete(self) -> bool:
        """Whether the item gets both of its parts, so that a higher-order event must come of it."""
        return self.analysis is not None and self.poison is None

    def analyzed_event(self, timestamp_ms: int) -> dict[str, Any]:
        """The ``item-analyzed`` event. Its id is the same each time, as that of a repeated event must be."""
        return {
            "id": f"{ANALYZER}.{self.id}",
            "type": "item-analyzed",
            "timestamp": timestamp_ms,
            "partition_key": self.id,
            "tags": {"source": ANALYZER, "stage": "local"},
            "item": self.analysis,
        }


def sample() -> list[Entry]:
    """The 200 items in the order in which they are fed in."""
    text = files("demo").joinpath("sample", "feed.json").read_text(encoding="utf-8")
    return [Entry(**entry) for entry in json.loads(text)]


class RestClient:
    """Speaks to a deployed HTTP API of the local cloud."""

    def __init__(self, endpoint: Endpoint, stack: str = REST_STACK) -> None:
        """Find the API by the outputs of its stack."""
        api_id = stack_output(endpoint, stack, "HttpApiId")
        self._http = httpx.Client(
            base_url=endpoint.url,
            # The API is named by the host, the address stays the emulator's.
            headers={"Host": f"{api_id}.execute-api.localhost:{endpoint.port}"},
            timeout=60.0,
            trust_env=False,
        )

    def __enter__(self) -> RestClient:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON; tried again, with the same body, when the gateway was overloaded.

        Raises:
            FeedFailed: it was not created.
        """
        for attempt in range(_ATTEMPTS):
            answer = self._http.post(path, json=body)
            if answer.status_code == httpx.codes.CREATED:
                return dict(answer.json())
            if attempt and answer.status_code == httpx.codes.CONFLICT:
                # The try before was answered with an error after it had done its work.
                return body
            if answer.status_code not in _RETRIED_STATUS:
                break
            time.sleep(random.uniform(0, 0.2 * 2**attempt))
        if answer.status_code == httpx.codes.CONFLICT:
            raise FeedFailed(f"{body.get('id')} was posted before: the sample can be fed in once to one cloud.")
        raise FeedFailed(f"POST {path} of {body.get('id')} was answered with {answer.status_code}: {answer.text[:500]}")

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All pages of a list.

        Raises:
            FeedFailed: a page was not given.
        """
        while True:
            answer = self._http.get(path, params=query)
            if answer.status_code != httpx.codes.OK:
                raise FeedFailed(f"GET {path} was answered with {answer.status_code}: {answer.text[:500]}")
            page = answer.json()
            yield page
            if not page.get("cursor"):
                return
            query["cursor"] = page["cursor"]


@dataclass
class Fed:
    """What has been fed in so far."""

    items: int = 0
    analyses: int = 0


class Feed:
    """Feeds the sample in: items through REST, analyses through the bus."""

    def __init__(self, endpoint: Endpoint, entries: Sequence[Entry]) -> None:
        """Find the API and the bus.

        Raises:
            FeedFailed: a stack is not deployed.
        """
        self._entries = entries
        self._rest = RestClient(endpoint)
        self._bus = stack_output(endpoint, HUB_STACK, "busName")
        self._events = endpoint.client("events")
        self._endpoint = endpoint
        self.fed = Fed()

    def arm_throttles(self) -> set[str]:
        """Have the first write that materializes each chosen item refused, as by a throttled table.

        The write is the UpdateItem that has the item's id and its analysis, which only the view's listener sends.
        Returns the ids of the injected faults.
        """
        return {
            arm_fault(
                self._endpoint,
                target="DynamoDB_20120810.UpdateItem",
                contains=[entry.id, str(entry.analysis["model_version"])],
                error="ProvisionedThroughputExceededException",
                message="The level of configured provisioned throughput for the table was exceeded",
            )
            for entry in self._entries
            if entry.throttled and isinstance(entry.analysis, dict)
        }

    def run(self, stop: threading.Event) -> None:
        """Feed everything in, in order; ends early when told to stop.

        Raises:
            FeedFailed: an item or an event was refused.
        """
        with self._rest, concurrent.futures.ThreadPoolExecutor(_POSTS_AT_ONCE) as pool:
            for start in range(0, len(self._entries), _GROUP):
                if stop.is_set():
                    return
                group = self._entries[start : start + _GROUP]
                self._analyze([entry for entry in group if entry.analysis_first])
                for _ in pool.map(lambda entry: self._rest.post("/items", entry.item), group):
                    self.fed.items += 1
                self._analyze([entry for entry in group if not entry.analysis_first])
                self._analyze([entry for entry in group if entry.analysis_twice])

    def _analyze(self, entries: Sequence[Entry]) -> None:
        now_ms = time.time_ns() // 1_000_000
        events = [entry.analyzed_event(now_ms) for entry in entries if entry.analysis is not None]
        publish(self._events, self._bus, events)
        self.fed.analyses += len(events)
