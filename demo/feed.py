"""Feeds the sample in: 200 stories of a news feed through the REST API, and their analyses on the bus.

``sample/feed.json`` has one object for each story: ``story`` is the body of POST /stories; ``analysis`` is the
story's part of the ``story-analyzed`` event, or null where the analysis never comes. Optional are
``analysis_first`` (it comes before the story), ``analysis_twice`` (it is published twice, as a bus may do),
``throttled`` (the first write of its materialization is refused) and ``poison`` (what is wrong with the analysis).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import httpx
from stream_cli.amounts import amount
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import LocalEndpoint, stack_output
from stream_cli.local.injected_faults import arm_fault
from stream_cli.send import publish
from stream_runtime.clients import retried
from stream_runtime.errors import TransientError

REST_STACK = "rest-bff-service-local"
HUB_STACK = "event-hub-local"
ANALYZER = "feed-analyzer"

_POSTS_AT_ONCE = 2
_GROUP = 10
_RETRIED_STATUS = {429, 500, 503, 504}  # 500 is also API Gateway's answer where the function died


class FeedFailed(CommandError):
    """The sample could not be fed in; the text says why."""


@dataclass(frozen=True)
class SampleStory:
    """One story of the sample."""

    story: dict[str, Any]
    analysis: dict[str, Any] | list[Any] | None
    analysis_first: bool = False
    analysis_twice: bool = False
    throttled: bool = False
    poison: str | None = None

    @property
    def id(self) -> str:
        """The story's id."""
        return str(self.story["id"])

    @property
    def is_complete(self) -> bool:
        """Whether the story gets both of its parts, so that a higher-order event must follow."""
        return self.analysis is not None and self.poison is None

    def analyzed_event(self, timestamp_ms: int) -> dict[str, Any]:
        """The ``story-analyzed`` event. It has the same id each time."""
        return {
            "id": f"{ANALYZER}.{self.id}",
            "type": "story-analyzed",
            "timestamp": timestamp_ms,
            "partition_key": self.id,
            "tags": {"source": ANALYZER, "stage": "local"},
            "story": self.analysis,
        }


def sample() -> list[SampleStory]:
    """The 200 stories, in the order of the feed."""
    text = files("demo").joinpath("sample", "feed.json").read_text(encoding="utf-8")
    return [SampleStory(**entry) for entry in json.loads(text)]


class RestClient:
    """A client of the REST API in the local cloud."""

    def __init__(self, endpoint: LocalEndpoint, stack: str = REST_STACK) -> None:
        api_id = stack_output(endpoint, stack, "HttpApiId")
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers={"Host": endpoint.api_host(api_id)},
            timeout=60.0,
            trust_env=False,
        )

    def __enter__(self) -> RestClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON, again and with the same body where the gateway was overloaded.

        Raises:
            FeedFailed: it was not created.
        """
        answers: list[httpx.Response] = []

        def attempt() -> None:
            answers.append(self._http.post(path, json=body))
            if answers[-1].status_code in _RETRIED_STATUS:
                raise TransientError

        with contextlib.suppress(TransientError):
            retried(attempt)
        answer = answers[-1]
        if answer.status_code == httpx.codes.CREATED:
            return dict(answer.json())
        if len(answers) > 1 and answer.status_code == httpx.codes.CONFLICT:
            return body  # an earlier attempt created it, and was answered with an error
        if answer.status_code == httpx.codes.CONFLICT:
            raise FeedFailed(f"{body.get('id')} was posted before: the sample can be fed in once to one cloud.")
        raise FeedFailed(f"POST {path} of {body.get('id')} was answered with {answer.status_code}: {answer.text[:500]}")

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All pages of a list.

        Raises:
            FeedFailed: the API did not answer with a page.
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
    """How many stories were posted and analyses published so far."""

    stories: int = 0
    analyses: int = 0

    def __str__(self) -> str:
        stories = amount(self.stories, "story", "stories")
        return f"{stories} posted, {amount(self.analyses, 'analysis', 'analyses')} published"


class Feed:
    """Feeds the sample in: stories through the REST API, analyses on the bus.

    Raises:
        CommandError: a stack is not deployed.
    """

    def __init__(self, endpoint: LocalEndpoint, entries: Sequence[SampleStory]) -> None:
        self._entries = entries
        self._rest = RestClient(endpoint)
        self._bus = stack_output(endpoint, HUB_STACK, "busName")
        self._events = endpoint.client("events")
        self._endpoint = endpoint
        self.fed = Fed()

    def arm_throttles(self) -> set[str]:
        """Refuse the first write that materializes each chosen story, as a throttled table; returns the faults' ids.

        The write is the UpdateItem with the story's id and its analysis, which only the view's listener sends.
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
        """Feed everything in, in order, until told to stop.

        Raises:
            CommandError: a story or an event was refused.
        """
        with self._rest, concurrent.futures.ThreadPoolExecutor(_POSTS_AT_ONCE) as pool:
            for start in range(0, len(self._entries), _GROUP):
                if stop.is_set():
                    return
                group = self._entries[start : start + _GROUP]
                self._analyze([entry for entry in group if entry.analysis_first])
                for _ in pool.map(lambda entry: self._rest.post("/stories", entry.story), group):
                    self.fed.stories += 1
                self._analyze([entry for entry in group if not entry.analysis_first])
                self._analyze([entry for entry in group if entry.analysis_twice])

    def _analyze(self, entries: Sequence[SampleStory]) -> None:
        now_ms = time.time_ns() // 1_000_000
        events = [entry.analyzed_event(now_ms) for entry in entries if entry.analysis is not None]
        publish(self._events, self._bus, events)
        self.fed.analyses += len(events)
