"""Requests that no well-behaved client sends: each is answered with what is wrong with it, and none with a 5xx."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from stream_runtime.testing import to_api_gateway_request_v2

CONTENT = {
    "source_type": "newsapi",
    "source_url": "https://news.example/ai-act",
    "title": "Parliament passes the AI act",
    "text_snippet": "After two years of talks ...",
    "published_at": "2026-11-16T11:00:00+01:00",
    "matched_tags": ["AI", "regulation"],
}
LARGEST_ANSWER = 20_000
"""Bytes; a story and a page are larger, but no answer to these requests is."""

Sent = tuple[int, dict[str, Any]]
Send = Callable[[dict[str, Any]], Sent]
Ask = Callable[..., Sent]


@pytest.fixture
def send(table: Any, dashboard_table: Any, context: Any) -> Send:
    """Sends the event of a request; returns the status and the answer, which is JSON or nothing."""
    from rest_bff.handlers.rest import handler

    def answered(event: dict[str, Any]) -> Sent:
        answer = handler(event, context)
        body = answer.get("body") or "{}"
        assert answer["statusCode"] < 500, (event, body)
        if answer["statusCode"] >= 400:
            assert answer["headers"]["Content-Type"] == "application/problem+json", event
            assert json.loads(body)["status"] == answer["statusCode"]
            assert len(body.encode()) < LARGEST_ANSWER
        return answer["statusCode"], json.loads(body)

    return answered


@pytest.fixture
def ask(send: Send) -> Ask:
    def request(method: str = "POST", path: str = "/stories", **request: Any) -> Sent:
        return send(to_api_gateway_request_v2(method=method, path=path, **request))

    return request


def test_a_media_type_is_json_in_any_spelling_or_it_is_refused(ask: Ask) -> None:
    expected = {
        "application/json": 201,
        "APPLICATION/JSON": 201,
        "Application/Json; Charset=UTF-8": 201,
        'application/json;charset="utf-8"': 201,
        "application/json;profile=a": 201,
        "application/json;": 201,
        " application/json ": 201,
        "application/json" + " " * 10_000: 201,
        "application/vnd.x+json": 201,
        "application/problem+JSON": 201,
        "": 201,
        ";": 415,
        ";charset=utf-8": 415,
        "json": 415,
        "/json": 415,
        "+json": 415,
        "application/": 415,
        "application/+json": 415,
        "application/jsonp": 415,
        "application/json-seq": 415,
        "application/json, text/plain": 415,
        "application/json,application/json": 415,
        "application/json; charset=utf-16": 415,
        "application/json; charset=": 415,
        "application/json; charset=utf-8; charset=utf-16": 415,
        "text/plain; a=application/json": 415,
        "multipart/form-data; boundary=x": 415,
        "application/x-www-form-urlencoded": 415,
        "\u0130application/json": 415,
        "\ud800": 415,
        "application/" + "+" * 10_000: 415,
    }

    assert {one: ask(body=CONTENT, headers={"content-type": one})[0] for one in expected} == expected
    assert ask(body=CONTENT)[0] == 201


@pytest.mark.parametrize("media_type", ["text/plain", ";", "multipart/form-data; boundary=x"])
def test_a_media_type_without_a_body_is_a_missing_body(ask: Ask, media_type: str) -> None:
    status, problem = ask(headers={"content-type": media_type})

    assert (status, problem["errors"][0]["field"]) == (422, "body")


def test_a_compressed_body_is_refused(ask: Ask) -> None:
    expected = {"identity": 201, "Identity": 201, "gzip": 415, "br, gzip": 415}

    assert {one: ask(body=CONTENT, headers={"content-encoding": one})[0] for one in expected} == expected


def test_a_time_is_stored_in_utc(ask: Ask) -> None:
    expected = {
        "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999Z",
        "2026-11-16T10:00:00.123456789Z": "2026-11-16T10:00:00.123Z",
        "2026-11-16T10:00:00-23:59": "2026-11-17T09:59:00.000Z",
    }

    assert {at: ask(body={**CONTENT, "published_at": at})[1]["published_at"] for at in expected} == expected


@pytest.mark.parametrize(
    "times",
    [
        ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+00:01"],
        ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999-00:01"],
        ["2016-12-31T23:59:60Z", "2026-11-16T24:00:00Z", "0000-01-01T00:00:00Z", "+10000-01-01T00:00:00Z"],
        ["2026-W47-1T10:00:00Z", "2026-320T10:00:00Z", "٢٠٢٦-11-16T10:00:00Z"],
        ["2026-11-16T10:00:00", "2026-11-16T10:00:00+24:00", "", "9" * 5000],
        [True, {}, 1e300, -(10**20), 10**400],
    ],
    ids=["before the year 1", "after the year 9999", "out of range", "another calendar", "no time", "another type"],
)
def test_a_time_that_utc_does_not_have_is_refused(ask: Ask, times: list[Any]) -> None:
    for at in times:
        status, problem = ask(body=json.dumps({**CONTENT, "published_at": at}))

        assert (at, status, [error["field"] for error in problem["errors"]]) == (at, 422, ["body.published_at"])


def test_a_deeply_nested_body_is_a_bad_request(ask: Ask) -> None:
    """Around a thousand levels, one of two readers of the same text may reach Python's limit, and the other not."""
    for levels in (*range(101, 3000, 97), *range(970, 1000), 100_000):
        for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
            opened = (opening * levels)[:200_000]
            for body in (f"{opened}1{closing * levels}"[:250_000], opened, f'{{"title":{opened}'):
                status, problem = ask(body=body)
                assert (status, problem["detail"]) == (400, "the body is nested deeper than 100 levels")


def test_brackets_in_a_text_are_not_levels(ask: Ask) -> None:
    status, story = ask(body={**CONTENT, "title": '\\"[' * 100})

    assert (status, story["title"]) == (201, '\\"[' * 100)


def test_a_text_that_nothing_ends_is_read_once(ask: Ask) -> None:
    """A search that starts again at each of its quotes takes minutes."""
    for unfinished in ('"' + '\\"' * 120_000, '"' * 240_001, '"\\' * 120_000, "\\" * 240_000):
        assert ask(body=unfinished)[0] == 400


@pytest.mark.parametrize(
    ("status", "bodies"),
    [
        (400, ['{"title": NaN}', '{"title": -Infinity}', '{"title": ' + "9" * 5000 + "}", '{"title": "\x00"}']),
        (400, ["\ud800", "\ufeff{}", " ", "\x00", "{'title': 1}", "{a: 1}", "01", "1e", '"\\x00"']),
        (422, ["null", "[[]]", "0", '{"title": 1e999999999}', '{"title": -0.0}', '{"": 1}', '{"id": 1, "id": 2}']),
        (
            422,
            [
                '{"title": "\\ud800"}',
                '{"title": "\ud800"}',
                '{"\\ud800": 1}',
                '{"\\udfff\\ud800": 1}',
                '{"source_url": "\\ud800"}',
            ],
        ),
        (422, ['"' + "x" * 100_000 + '"', json.dumps({"x" * 100_000: 1}), json.dumps({"matched_tags": [""] * 50_000})]),
        (422, [json.dumps({f"x{number}": 1 for number in range(20_000)}), '{"title":' + "[" * 99 + "]" * 99 + "}"]),
        (413, [json.dumps({**CONTENT, "text_snippet": "x" * 1_000_000}), '"' + "é" * 140_000 + '"', " " * 300_000]),
    ],
    ids=["no number", "no text", "no story", "half a character", "large", "many fields", "too large"],
)
def test_a_body_that_is_no_story_is_refused(ask: Ask, status: int, bodies: list[str]) -> None:
    for body in bodies:
        assert (body[:100], ask(body=body)[0]) == (body[:100], status)


def test_a_body_of_the_longest_fields_in_their_longest_encoding_is_accepted(ask: Ask) -> None:
    longest = {
        **CONTENT,
        "id": "x" * 128,
        "source_type": "😀" * 64,
        "source_url": "https://news.example/" + "a" * 2000,
        "title": "😀" * 500,
        "text_snippet": "😀" * 10_000,
        "author": "😀" * 200,
        "matched_tags": [f"{number:02}" + "😀" * 62 for number in range(50)],
    }

    assert ask(body=json.dumps(longest, indent=4))[0] == 201
    assert ask("GET", f"/stories/{longest['id']}")[1]["title"] == longest["title"]


def test_text_is_stored_and_read_as_it_was_sent(ask: Ask) -> None:
    for number, text in enumerate(["a\tb\r\nc", "\u202e.", "é", "\ufffd", "\ue000", "\U0010ffff"]):
        status, created = ask(body={**CONTENT, "id": f"story-{number}", "title": text, "matched_tags": [text]})

        assert (status, created["title"], created["matched_tags"]) == (201, text, [text])
        assert ask("GET", f"/stories/story-{number}")[1] == created


def test_text_with_a_control_character_or_none_of_xml_is_refused(ask: Ask) -> None:
    """SQS takes no others (API reference, "SendMessage"), and terminals do what some of them say."""
    for character in (*map(chr, {*range(32), *range(127, 160)} - {9, 10, 13}), "\ufffe", "\uffff"):
        for name in ("source_type", "title", "text_snippet", "author", "matched_tags"):
            text = f"a{character}b"
            status, problem = ask(body={**CONTENT, name: [text] if name == "matched_tags" else text})
            assert (text, status) == (text, 422)
            assert problem["errors"][0]["field"].startswith(f"body.{name}")


def test_a_page_of_the_longest_answers_is_one_that_lambda_returns(table: Any, context: Any) -> None:
    """Lambda returns 6 MB of JSON (developer guide, "Quotas"), in which a quotation mark of a story has four bytes."""
    from rest_bff.handlers import rest

    longest = {
        **CONTENT,
        "source_type": '"' * 64,
        "title": '"' * 500,
        "text_snippet": '"' * 10_000,
        "author": '"' * 200,
        "matched_tags": [f"{number:02}" + '"' * 62 for number in range(50)],
    }
    event = to_api_gateway_request_v2(method="POST", path="/stories", body={**longest, "id": "a"})
    assert rest.handler(event, context)["statusCode"] == 201
    row = table.get_item(Key={"pk": "a", "sk": "story"})["Item"]
    with table.batch_writer() as batch:
        for number in range(100):
            batch.put_item(Item={**row, "pk": f"story-{number}"})

    event = to_api_gateway_request_v2(method="GET", path="/stories", query_string_parameters={"limit": "100"})
    answer = rest.handler(event, context)

    assert answer["statusCode"] == 200
    assert len(json.dumps(answer).encode()) < 6_000_000


def test_a_flag_that_says_base64_wrongly_is_a_bad_request(send: Send) -> None:
    event = to_api_gateway_request_v2(method="POST", path="/stories", body=CONTENT)
    encoded = base64.b64encode(json.dumps(CONTENT).encode()).decode()

    assert send({**event, "isBase64Encoded": True})[0] == 400
    assert send({**event, "body": encoded, "isBase64Encoded": False})[0] == 400
    assert send({**event, "body": "\ud800é", "isBase64Encoded": True})[0] == 400
    assert send({**event, "body": encoded, "isBase64Encoded": True})[0] == 201


def test_an_event_without_a_body_or_headers_is_answered(send: Send) -> None:
    for body in (None, ""):
        for encoded in (False, True):
            event = to_api_gateway_request_v2(method="POST", path="/stories")
            assert send({**event, "body": body, "headers": None, "isBase64Encoded": encoded})[0] == 422


def test_a_version_has_digits_between_quotes(ask: Ask) -> None:
    ask(body={**CONTENT, "id": "a"})

    for version in ("١", "１", "²", "1\n", '"1', '1"', '"1","2"', "", '""', 'W/"1"', "-1", "9" * 16, "\ud800"):
        assert (version, ask("PUT", "/stories/a", body=CONTENT, headers={"if-match": version})[0]) == (version, 422)
        assert (version, ask("DELETE", "/stories/a", headers={"if-match": version})[0]) == (version, 422)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("day", ["٢٠٢٦-١١-١٦", "2026-11-31", "0000-01-01", "2026-11-16\n", "2026-W47-1", "20261116", "", "\ud800"]),
        ("tag", ["", "x" * 65, "\ud800"]),
        ("sentiment", ["", "glad", "Positive", "positive,neutral", "\x00"]),
        ("min_score", ["nan", "-1", "0,5", "1e400", "", "٠", "\ud800", "9" * 5000]),
        ("max_score", ["inf", "-0.1", "0,5", "1e400", "", "0x1", "1.0000001"]),
        ("limit", ["0", "1e1", "٢", "9" * 5000, "1,2", ""]),
        ("cursor", ["", "é", "\ud800", "%00", "x" * 2001, base64.b64encode(b"9" * 1400).decode()]),
        ("cursor", [base64.b64encode(body).decode() for body in (b"[" * 985, b'{"pk":NaN}', b"\xff", b"1e999")]),
    ],
)
def test_a_query_that_means_nothing_is_refused(send: Send, name: str, values: list[str]) -> None:
    event = to_api_gateway_request_v2(method="GET", path="/dashboard")

    for value in values:
        query = {"tag": "AI", "sentiment": "positive", name: value}
        assert (value, send({**event, "queryStringParameters": query})[0]) == (value, 422)


def test_a_repeated_parameter_is_refused(send: Send) -> None:
    """API Gateway joins the values with commas."""
    event = to_api_gateway_request_v2(method="GET", path="/dashboard")

    for name in ("day", "tag", "limit", "cursor"):
        repeated = {"rawQueryString": f"{name}=1&{name}=2", "queryStringParameters": {name: "1,2"}}
        assert (name, send({**event, **repeated})[0]) == (name, 422)


def test_a_tag_may_have_a_comma(ask: Ask) -> None:
    assert ask("GET", "/dashboard", query_string_parameters={"tag": "R,D"}) == (200, {"stories": []})


def test_a_path_that_names_no_story_is_answered(ask: Ask) -> None:
    for path in (
        "/stories/%",
        "/stories/a%00",
        "/stories/" + "x" * 8000,
        "/stories/\ud800",
        "/\ud800",
        "/stories/",
        "//",
        "",
    ):
        for method in ("GET", "PUT", "DELETE", "POST", "PATCH", "HEAD", "BREW"):
            assert ask(method, path, body=CONTENT)[0] in (404, 422)


CASES = 1200  # the 1,028th is the first that is a conflict
ANSWERS = {200, 201, 204, 400, 404, 409, 415, 422}
WORDS = """
٢ é % %2e%2e .. # a#b null 1,2 -0.0 0.5 1e-400 0001-01-01T00:00:00+14:00 9999-12-31T23:59:59-14:00 2026-11-16T10:00:00Z
2026-11-16 tag#AI AI positive newsapi-1 application/json text/plain ; "1" * gzip http://[::1 https://xn--a \\ud800 }
"""
STRINGS = [*WORDS.split(), "", " ", "\x00", "\ud800", "\ufeff", "\uffff", "😀" * 40, "x" * 3000, "9" * 400]
NUMBERS = [True, 0, -1, -0.0, 1e308, 10**30, float("nan"), float("inf")]
VALUES = [*STRINGS, *NUMBERS, None, [], {}, [[]], {"a": {}}, ["a"] * 60, {"\ud800": "\udc00"}, {"id": "a", "pk": 1}]
HEADERS = ["content-type", "content-encoding", "if-match", "idempotency-key", "content-length", "cookie", "x-other"]
PARAMETERS = ["day", "tag", "sentiment", "min_score", "max_score", "limit", "cursor", "other"]
PATHS = ["/stories", "/stories/newsapi-1", "/stories/none", "/dashboard", "/openapi.json", "/"]


class Mutations:
    """Requests that are all right, and then are not in one to four places."""

    def __init__(self, seed: int, cursors: list[str]) -> None:
        self._random = random.Random(seed)
        self._cursors = cursors

    def event(self) -> dict[str, Any]:
        pick = self._random.choice
        method, path = pick(["GET", "GET", "POST", "PUT", "DELETE"]), pick(PATHS)
        body = json.dumps({**CONTENT, **({"id": "newsapi-1"} if method == "POST" else {})})
        event = to_api_gateway_request_v2(
            method=method, path=path, body=body, headers={"content-type": "application/json"}
        )
        event["queryStringParameters"] = {"tag": "AI", "sentiment": "positive"} if path == "/dashboard" else {}
        for _ in range(self._random.randint(1, 4)):
            pick([self._header, self._query, self._path, self._field, self._field, self._text, self._flag])(event)
        return event

    def _value(self) -> Any:
        return self._random.choice(VALUES)

    def _string(self) -> str:
        value = self._random.choice([*VALUES, *self._cursors * 3])
        return value if isinstance(value, str) else json.dumps(value)

    def _header(self, event: dict[str, Any]) -> None:
        event["headers"][self._random.choice(HEADERS)] = self._string()

    def _query(self, event: dict[str, Any]) -> None:
        name = self._random.choice(PARAMETERS)
        event["queryStringParameters"][name] = self._string()
        if self._random.random() < 0.1:
            event["rawQueryString"] = f"{name}=1&{name}=%zz&&={name}"

    def _path(self, event: dict[str, Any]) -> None:
        event["rawPath"] += self._random.choice(["", "/"]) + self._string()[:200]
        event["requestContext"]["http"]["path"] = event["rawPath"]

    def _field(self, event: dict[str, Any]) -> None:
        """Another value for a field, an unknown field, or a field less."""
        try:
            body = json.loads(event["body"])
            name = self._random.choice([*body, "id", "a", "\ud800"])
            body[name] = self._value()
            if self._random.random() < 0.2:
                del body[name]
            event["body"] = json.dumps(body, ensure_ascii=self._random.random() < 0.5)
        except (TypeError, ValueError):  # another mutation has made it something else
            event["body"] = self._string()

    def _text(self, event: dict[str, Any]) -> None:
        """Some characters of the body more, less or other."""
        text = event["body"] or ""
        start = self._random.randint(0, len(text))
        end = min(len(text), start + self._random.choice([0, 0, 1, 10]))
        event["body"] = text[:start] + self._random.choice([*'\\"{]0\x00\ud800', ""]) + text[end:]

    def _flag(self, event: dict[str, Any]) -> None:
        event["isBase64Encoded"] = True
        if self._random.random() < 0.7:
            event["body"] = base64.b64encode((event["body"] or "").encode(errors="surrogatepass")).decode()


def test_no_mutated_request_is_a_failure_of_the_service(send: Send) -> None:
    from rest_bff.logic.cursors import to_cursor

    position = {"pk": "tag#AI", "sk": "2026-11-16T10:00:00.000Z#newsapi-1"}
    cursors = [
        to_cursor(key)
        for key in (
            position,
            {**position, "sk": ""},
            {**position, "sentiment_score_combined": "positive#0.5"},
            {**position, "pk": "\ud800"},
            {"listing": "story", "created": 1, "pk": "a", "sk": "story"},
            {"listing": "story", "created": -1, "pk": "a", "sk": "story"},
        )
    ]
    mutations = Mutations(11, cursors)
    statuses = [send(mutations.event())[0] for _ in range(CASES)]

    assert set(statuses) == ANSWERS, "each way to answer is taken"
