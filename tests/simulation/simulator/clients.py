"""The runtime's clients of a simulated AWS.

Direct ones take and give what boto3's do, at little cost; most histories play with them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.response import StreamingBody
from refusals import Refusal
from stream_runtime import clients
from urllib3.exceptions import ProtocolError

from simulator.aws import AnswerLost, BodyBroken, SimulatedAws, Unreachable

SERVICES = ("dynamodb", "events", "s3", "sns", "sqs", "kinesis", "firehose", "lambda", "cloudwatch")
TOKENS = {("dynamodb", "TransactWriteItems"): ["ClientRequestToken"]}
"""The idempotency tokens of operations, which both real clients know from botocore's models."""


@contextmanager
def direct(aws: SimulatedAws) -> Iterator[None]:
    """Answer the runtime's calls without HTTP."""
    clients.reset()
    for service in SERVICES:
        clients.use(service, _Direct(aws, service))
    try:
        yield
    finally:
        clients.reset()


class _Exceptions:
    """``client.exceptions``: a class for each code."""

    ClientError = ClientError

    def __getattr__(self, name: str) -> type[ClientError]:
        if name.startswith("_"):
            raise AttributeError(name)
        made = type(name, (ClientError,), {})
        setattr(self, name, made)
        return made

    def of(self, refusal: Refusal, operation: str) -> ClientError:
        """The exception of an answer."""
        plain = refusal.as_client_error(operation)
        if not refusal.code.isidentifier():
            return plain
        made: ClientError = getattr(self, refusal.code)(plain.response, operation)
        return made


_exceptions = {service: _Exceptions() for service in SERVICES}  # of all worlds: a program may keep a class


class _Direct:
    """A client of a service: a method for each operation."""

    def __init__(self, aws: SimulatedAws, service: str) -> None:
        self.exceptions = _exceptions[service]
        self._aws = aws
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        aws, service, exceptions = self._aws, self._service, self.exceptions
        operation = name.title().replace("_", "")

        def method(**request: Any) -> Any:
            try:
                answer = aws.call(service, operation, request)
            except Refusal as refusal:
                raise exceptions.of(refusal, operation) from None
            except Unreachable:
                raise ConnectTimeoutError(endpoint_url=f"https://{service}/") from None
            except AnswerLost:
                raise ReadTimeoutError(endpoint_url=f"https://{service}/") from None
            except BodyBroken as broken:
                return _with_body(broken.response, broken=True)
            return _with_body(answer) if operation == "GetObject" else answer

        method.tokens = TOKENS.get((service, operation))  # type: ignore[attr-defined]
        setattr(self, name, method)
        return method


class _Broken(io.BytesIO):
    """A body that ends with a lost connection."""

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if not found or size in (None, -1):
            raise ProtocolError("Connection broken")
        return found

    def readinto(self, buffer: Any) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _with_body(answer: Mapping[str, Any], *, broken: bool = False) -> dict[str, Any]:
    """The answer of GetObject with a stream as its body."""
    content = bytes(answer["Body"])
    raw = _Broken(content[: len(content) // 2]) if broken else io.BytesIO(content)
    return {**answer, "Body": StreamingBody(raw, len(content))}


@contextmanager
def over_http(aws: SimulatedAws, kind: str) -> Iterator[None]:
    """Answer the runtime's calls beneath its real clients; CloudWatch's are answered without HTTP."""
    from simulator.over_http import served  # with moto, which most histories do not need

    with served(aws, kind) as real, direct(aws):
        for service, client in real.items():
            clients.use(service, client)
        yield


KINDS: Mapping[str, Callable[[SimulatedAws], AbstractContextManager[None]]] = {
    "direct": direct,
    "boto3": partial(over_http, kind="boto3"),
    "lean": partial(over_http, kind="lean"),
}
"""How the runtime's calls are answered, by name."""
