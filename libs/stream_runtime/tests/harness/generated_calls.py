"""Calls drawn from botocore's own models: parameters of an operation, right and wrong, and answers of its service."""

from __future__ import annotations

import base64
import datetime
import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

TEXTS = (
    *("", "a", "ünïcödé", "\u2028\u2029", "\U0001f600", "\x00\x1f\x7f", '"\\/', "</script>", "a\r\nX-Injected: yes"),
    *("../../etc/passwd", "%2e%2e%2f", "arn:aws:dynamodb:us-east-1:123456789012:table/t", "x" * 300, "NaN", "null"),
    "https://sqs.us-east-1.amazonaws.com/123456789012/queue",
)
INTEGERS = (0, 1, -1, 7, 255, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 10**40)
FLOATS = (0.0, -0.0, 0.1, 1.0, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 1 / 3, 3, 1e400, math.nan)
BYTES = (b"", b"\x00\xff", b"text", bytes(range(256)), bytearray(b"array"), "a text as a blob", "ünïcödé")
TIMES = (
    *(datetime.datetime(2026, 11, 22, 1, 2, 3, tzinfo=datetime.UTC), datetime.datetime(1969, 12, 31, 23, 59, 59)),
    datetime.datetime(2100, 1, 1, 0, 0, 0, 999_999, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=45))),
    *("2026-11-22T01:02:03Z", "2026-11-22", 0, 1_795_000_000, 1.5, "1795000000", datetime.date(2026, 1, 2)),
)
WRONG: tuple[Any, ...] = (
    *(None, True, 0, 1.5, "text", b"bytes", [], {}, (), set(), object, Decimal("1.1"), Decimal("NaN")),
    *(["a"], {"a": "b"}, {1: 2}, "\ud800", datetime.datetime(2026, 1, 1), [None], {"": None}),
)
DEEPEST = 5


@cache
def model_of(service: str) -> ServiceModel:
    """The model of a service, by boto3's name for it."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def json_services() -> tuple[str, ...]:
    """The services that botocore talks to with AWS's JSON protocols."""
    names = Loader().list_available_services("service-2")
    return tuple(name for name in names if model_of(name).resolved_protocol == "json")


def operations_of(service: str) -> tuple[OperationModel, ...]:
    """Its operations without streams of events."""
    model = model_of(service)
    operations = (model.operation_model(name) for name in model.operation_names)
    return tuple(each for each in operations if not (each.has_event_stream_input or each.has_event_stream_output))


@dataclass
class Parameters:
    """Draws parameters for a shape.

    Attributes:
        chance: what decides.
        wrong: the chance that any one value is of a wrong type, is missing, or has a member too many.
    """

    chance: random.Random
    wrong: float = 0.0

    def of(self, shape: Shape | None) -> dict[str, Any]:
        """The parameters of an operation with this input."""
        return {} if shape is None else self._structure(shape, 0)

    def _value(self, shape: Any, depth: int) -> Any:
        if self.wrong and self.chance.random() < self.wrong:
            return self.chance.choice(WRONG)
        draw: Callable[[Any, int], Any] = getattr(self, f"_{shape.type_name}")
        return draw(shape, depth)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        if getattr(shape, "is_document_type", False):
            return {"any": [self.chance.choice(TEXTS), self.chance.choice(FLOATS[:5]), None, True]}
        names = list(shape.members)
        if getattr(shape, "is_tagged_union", False) and names:
            wanted = {self.chance.choice(names)}
        else:
            likely = (0.6, 0.4, 0.3, 0.15, 0.05, 0.0)[min(depth, DEEPEST)]
            wanted = {*shape.required_members, *(name for name in names if self.chance.random() < likely)}
        if self.wrong and wanted and self.chance.random() < self.wrong:
            wanted.discard(self.chance.choice(sorted(wanted)))
        members = {name: self._value(shape.members[name], depth + 1) for name in names if name in wanted}
        if self.wrong and self.chance.random() < self.wrong:
            members[self.chance.choice(("Unknown", "", "__type"))] = self.chance.choice(WRONG)
        return members

    def _list(self, shape: Any, depth: int) -> list[Any]:
        least = int(shape.metadata.get("min", 0)) if depth <= DEEPEST + 3 else 0
        count = max(min(least, 3), 0 if depth > DEEPEST else self.chance.randrange(3))
        return [self._value(shape.member, depth + 1) for _ in range(count)]

    def _map(self, shape: Any, depth: int) -> dict[Any, Any]:
        count = 0 if depth > DEEPEST else self.chance.randrange(3)
        return {self._string(shape.key, depth): self._value(shape.value, depth + 1) for _ in range(count)}

    def _string(self, shape: Any, _: int) -> str:
        if shape.enum and self.chance.random() < 0.9:
            return str(self.chance.choice(shape.enum))
        text = self.chance.choice(TEXTS) if self.chance.random() < 0.6 else f"name-{self.chance.randrange(10)}"
        return text.ljust(min(int(shape.metadata.get("min", 0)), 64), "x")

    def _character(self, shape: Any, depth: int) -> str:
        return self._string(shape, depth)

    def _integer(self, shape: Any, _: int) -> int:
        return max(self.chance.choice(INTEGERS), int(shape.metadata.get("min", -(2**63))))

    _long = _integer

    def _float(self, _shape: Any, _: int) -> float:
        return self.chance.choice(FLOATS)

    _double = _float

    def _boolean(self, _shape: Any, _: int) -> bool:
        return bool(self.chance.randrange(2))

    def _blob(self, _shape: Any, _: int) -> Any:
        return self.chance.choice(BYTES)

    def _timestamp(self, _shape: Any, _: int) -> Any:
        return self.chance.choice(TIMES)


@dataclass
class Answers:
    """Draws what a service answers, as JSON, from the shape of its response.

    Attributes:
        chance: what decides.
        wrong: the chance that a value is of another type than the shape's.
    """

    chance: random.Random
    wrong: float = 0.0

    def of(self, shape: Shape | None) -> Any:
        """A response with this shape."""
        return {} if shape is None else self._value(shape, 0)

    def _value(self, shape: Any, depth: int) -> Any:
        if self.wrong and self.chance.random() < self.wrong:
            return self.chance.choice((None, True, 0, 1.5, "text", "", [], {}, [None], {"a": None}, "e30="))
        if self.chance.random() < 0.04:
            return None
        draw: Callable[[Any, int], Any] = getattr(self, f"_{shape.type_name}")
        return draw(shape, depth)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        if getattr(shape, "is_document_type", False):
            return {"any": [1, 1.5, "text", None]}
        names = list(shape.members)
        if getattr(shape, "is_tagged_union", False) and names:
            names = [self.chance.choice(names)]
        likely = (0.8, 0.6, 0.4, 0.3, 0.1, 0.0)[min(depth, DEEPEST)]
        members = {}
        for name in names:
            if self.chance.random() < likely:
                member = shape.members[name]
                members[member.serialization.get("name", name)] = self._value(member, depth + 1)
        if self.chance.random() < 0.1:
            members[self.chance.choice(("__type", "Unknown", "ResponseMetadata", "Error", ""))] = "unknown"
        return members

    def _list(self, shape: Any, depth: int) -> list[Any]:
        return [self._value(shape.member, depth + 1) for _ in range(0 if depth > DEEPEST else self.chance.randrange(4))]

    def _map(self, shape: Any, depth: int) -> dict[str, Any]:
        count = 0 if depth > DEEPEST else self.chance.randrange(4)
        return {self.chance.choice(TEXTS): self._value(shape.value, depth + 1) for _ in range(count)}

    def _string(self, shape: Any, _: int) -> str:
        return str(self.chance.choice(shape.enum) if shape.enum else self.chance.choice(TEXTS))

    _character = _string

    def _integer(self, _shape: Any, _: int) -> Any:
        return self.chance.choice((*INTEGERS[:-1], 1.0, 2.5))  # none has more than 64 bits

    _long = _integer

    def _float(self, _shape: Any, _: int) -> Any:
        return self.chance.choice(FLOATS)

    _double = _float

    def _boolean(self, _shape: Any, _: int) -> bool:
        return bool(self.chance.randrange(2))

    def _blob(self, _shape: Any, _: int) -> str:
        content = self.chance.choice(BYTES[:4])
        assert isinstance(content, bytes)
        return base64.b64encode(content).decode()

    def _timestamp(self, _shape: Any, _: int) -> Any:
        return self.chance.choice(
            (0, 1_795_000_000, 1.795e9, 1_795_000_000.123, -1, "2026-11-22T01:02:03Z", 253402300800)
        )


@dataclass(frozen=True)
class Answer:
    """What a service answers to one request."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


NO_JSON = (
    *(b"", b"{", b"[]", b"null", b'"text"', b"1", b"{}garbage", b"\xff\xfe", b"<html>502 Bad Gateway</html>", b" \n"),
    *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1, "a": 2}', b'{"__type": null}', b'{"__type": 1}', b'{"message": 1}'),
    *(b"\xef\xbb\xbf{}", b'{"a": "\\ud800"}', b'{"a": ' + b"9" * 400 + b"}", b'{"a": 1e999}'),
)


def answer_to(operation: OperationModel, chance: random.Random) -> Answer:
    """An answer: mostly a response of the operation, else one of wrong types, an error, or no JSON at all."""
    kind = chance.randrange(10)
    headers = {"x-amzn-RequestId": "id", "Content-Type": f"application/x-amz-json-{chance.randrange(2)}"}
    if kind < 5:
        body = json.dumps(Answers(chance).of(operation.output_shape)).encode()
        return Answer(200, body, headers)
    if kind < 6:
        body = json.dumps(Answers(chance, 0.1).of(operation.output_shape)).encode()
        return Answer(200, body, headers)
    if kind < 7:
        return Answer(chance.choice((200, 201, 204, 301, 400, 404, 413, 500, 503)), chance.choice(NO_JSON), headers)
    return _error(operation, chance, headers)


def _error(operation: OperationModel, chance: random.Random, headers: dict[str, str]) -> Answer:
    shapes = operation.service_model.error_shapes
    shape = chance.choice([*operation.error_shapes, *shapes]) if shapes and chance.randrange(4) else None
    name = chance.choice((shape.name, str(shape.metadata.get("error", {}).get("code", shape.name)))) if shape else ""
    code = name or chance.choice(("ThrottlingException", "InternalFailure", "Unmodelled", "", "a:b", "AccessDenied"))
    typed = chance.choice(("{}", "com.amazonaws.service#{}", "{}:http://internal.amazon.com/", "aws#{}:x", "#{}"))
    body: dict[str, Any] = Answers(chance, 0.02).of(shape) if shape else {}
    body = body if isinstance(body, dict) else {}
    if chance.randrange(8):
        body["__type"] = typed.format(code)
    if chance.randrange(8) == 0:
        body["code"] = code
    if chance.randrange(4):
        body[chance.choice(("message", "Message", "errorMessage"))] = chance.choice((*TEXTS, None))
    if chance.randrange(4) == 0:
        headers["x-amzn-query-error"] = chance.choice(
            (f"AWS.SimpleQueueService.{code};Sender", f"{code};Receiver", code, ";", f"{code};Sender;more")
        )
    if chance.randrange(8) == 0:
        headers["x-amzn-ErrorType"] = f"{code}:http://internal"
    return Answer(chance.choice((400, 400, 400, 403, 404, 413, 429, 500, 503, 599)), json.dumps(body).encode(), headers)
