"""The deployed API and requests that schemathesis makes of its own description, right and wrong ones.

No request is answered with 5xx, each answer is one that the description names, and none tells what is behind the API.
`REST_REQUESTS=5000 pytest -s tests/system/rest/test_generated_requests.py` sends that many and prints the figures.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests

pytestmark = [pytest.mark.system, pytest.mark.thorough]

REQUESTS = int(os.environ.get("REST_REQUESTS", "480"))
AT_MOST_S = math.inf if "REST_REQUESTS" in os.environ else 60
"""After that no further round begins."""
IN_A_ROUND = min(10, REQUESTS // 12)
"""Requests of each kind (right, wrong) for each of six operations."""
SENDERS = 4
STORY_METHODS = ("GET", "PUT", "DELETE")
OPERATIONS = (
    "GET /dashboard",
    "GET /stories",
    "POST /stories",
    *(f"{method} /stories/{{id}}" for method in STORY_METHODS),
)
STORY = {
    "source_type": "newsapi",
    "source_url": "https://news.example/ai",
    "title": "A title",
    "text_snippet": "A text",
    "published_at": "2026-11-16T10:00:00Z",
}
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "missing_required_header"),
)
"""Of schemathesis. A right request may be answered with 422 here: a cursor is a text that the API gave, for example."""
BEHIND = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/var/(?:task|runtime)|/tmp/|botocore|boto3|moto\b|pydantic_core|powertools"
    r"|arn:aws|\b000000000000\b|-entities\b|-dashboard\b|DynamoDB|dynamodb|ConditionalCheck|ValidationException"
    r"|eyJ[\w-]+\.eyJ|AWS_|AKIA|ExclusiveStartKey|KeyConditionExpression|\bowner\b|Error\('"
)
"""What no answer may hold, unless a client sent it: hypothesis also takes words of our code."""


class Sender:
    """Sends cases side by side, as two people with the same scopes, and keeps what is wrong with their answers."""

    def __init__(self, deployed: tuple[str, str], tokens: list[str], stories: list[str], checks: list[Any]) -> None:
        self.url, host = deployed
        self.headers = [{"Host": host, "Authorization": f"Bearer {token}"} for token in tokens]
        self.stories = stories
        self.checks = checks
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.wrong: list[str] = []
        self._random = random.Random(1)
        self._words_of_clients: set[str] = set()
        self._waiting = threading.Semaphore(4 * SENDERS)
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(SENDERS)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def send(self, case: Any, kind: str) -> None:
        """Send a case later; half of the right ones are about a story that exists."""
        if kind == "positive" and "id" in (case.path_parameters or {}) and self._random.random() < 0.5:
            case.path_parameters["id"] = self._random.choice(self.stories)
        headers = self._random.choice(self.headers)
        self._waiting.acquire()
        self._pool.submit(self._send, case, kind, headers)

    def _send(self, case: Any, kind: str, headers: dict[str, str]) -> None:
        try:
            self._words_of_clients.update(BEHIND.findall(str(case.body)))
            answer = case.call(base_url=self.url, session=self._session(), headers=headers, timeout=60)
            self.answered[case.operation.label, kind, answer.status_code] += 1
            self.wrong += [f"{self._shown(case, answer)}\n{problem}" for problem in self._problems(case, answer)]
        except Exception as error:
            self.wrong.append(f"{case.operation.label} ({kind}) was not answered: {error!r}")
        finally:
            self._waiting.release()

    def _problems(self, case: Any, answer: Any) -> Iterator[str]:
        checks = [check for check in self.checks if answer.content or check.__name__ != "response_schema_conformance"]
        try:
            case.validate_response(answer, checks=checks)
        except BaseExceptionGroup as group:
            yield from map(str, group.exceptions)
        said = "\n".join([answer.text, *(f"{name}: {value}" for name, value in answer.headers.items())])
        asked = f"{answer.request.url} {answer.request.headers} {answer.request.body!r}"
        stored = self._words_of_clients if answer.status_code < 300 else set()
        for word in BEHIND.findall(said):
            if word not in stored and word not in asked and quote(word) not in asked:
                yield f"it tells {word!r}"

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session

    def _shown(self, case: Any, answer: Any) -> str:
        return f"{case.as_curl_command()}\n{answer.status_code} {answer.text}"


def cases_of(description: dict[str, Any], until: float) -> Iterator[tuple[Any, str]]:
    """Cases of every operation, right and wrong, the same in each run: one round, and more until that time."""
    import hypothesis
    import schemathesis
    from hypothesis import HealthCheck, Phase
    from schemathesis.generation.modes import GenerationMode

    operations = [found.ok() for found in schemathesis.openapi.from_dict(description).get_all_operations()]
    strategies = [
        (mode.value, operation.as_strategy(generation_mode=mode))
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    made: list[Any] = []

    for number in itertools.count():
        if number and time.monotonic() > until:
            return
        for kind, strategy in strategies:

            @hypothesis.seed(number)
            @hypothesis.settings(
                max_examples=IN_A_ROUND,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @hypothesis.given(strategy)
            def make(case: Any) -> None:
                made.append(case)

            made.clear()
            make()
            yield from ((case, kind) for case in made)


def test_no_generated_request_fails_the_api_or_learns_what_is_behind_it(
    request_api: Any, deployed: tuple[str, str], issuer: Any
) -> None:
    from schemathesis.checks import CHECKS as KNOWN
    from schemathesis.checks import load_all_checks

    load_all_checks()
    tokens = [issuer.token(sub=sub) for sub in ("ann", "bob")]
    stories = [request_api("POST", "/stories", token, json=STORY).json()["id"] for token in tokens for _ in range(3)]
    description = request_api("GET", "/openapi.json").json()
    del description["security"]  # each request has a token; test_access.py tries others
    started = time.monotonic()
    with Sender(deployed, tokens, stories, [KNOWN.get_one(name) for name in CHECKS]) as sender:
        for case, kind in itertools.islice(cases_of(description, started + AT_MOST_S), REQUESTS):
            sender.send(case, kind)
    seconds = time.monotonic() - started

    sent = sum(sender.answered.values())
    print(f"{sent} requests in {seconds:.0f} s, {len(sender.wrong)} wrong answers")
    for (label, kind, status), number in sorted(sender.answered.items()):
        print(f"{number:>6}  {label} ({kind}): {status}")
    assert not sender.wrong, "\n\n".join(sender.wrong[:5])
    assert sent == REQUESTS or seconds > AT_MOST_S
    kinds = Counter(dict.fromkeys(itertools.product(OPERATIONS, ("positive", "negative")), 0))
    for (label, kind, _), number in sender.answered.items():
        kinds[label, kind] += number
    assert len(kinds) == 2 * len(OPERATIONS)
    assert min(kinds.values()) >= IN_A_ROUND, kinds
    accepted = {label for label, kind, status in sender.answered if kind == "positive" and status < 300}
    assert accepted >= {"GET /stories", "GET /stories/{id}", "POST /stories"}
