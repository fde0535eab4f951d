"""Failures of the REST API as problem details (RFC 9457), with the status that tells the client what to do."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from botocore.exceptions import BotoCoreError, ClientError
from pydantic_core import from_json
from stream_runtime.errors import ConfigurationError, TransientError

from rest_bff.logic.errors import (
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidQuery,
    ItemExists,
    ItemNotFound,
    StaleVersion,
)
from rest_bff.models.items import FieldProblem, Problem

logger = Logger()

CONTENT_TYPE = "application/problem+json"

DEEPEST = 100
"""Levels of lists and objects in a body."""

STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BRACKET = re.compile(r"[\[\]{}]")

RENAMED = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
"""Phrases of RFC 9110 that Python has since 3.13."""

ANSWERS: dict[type[Exception], HTTPStatus] = {
    ItemNotFound: HTTPStatus.NOT_FOUND,
    ItemExists: HTTPStatus.CONFLICT,
    StaleVersion: HTTPStatus.CONFLICT,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidCursor: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidQuery: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def register(app: APIGatewayHttpResolver) -> None:
    """Register a response for every exception that a route may raise."""
    app.exception_handler(list(ANSWERS))(lambda error: respond(app, ANSWERS[type(error)], str(error)))
    app.exception_handler(RequestValidationError)(lambda error: _invalid(app, error))
    app.exception_handler([ClientError, BotoCoreError, ConfigurationError, TransientError, TimeoutError])(
        lambda error: _unavailable(app, error)
    )
    app.exception_handler(Exception)(lambda error: _unexpected(app, error))
    app.not_found(lambda error: _no_route(app, error))


def unreadable_body(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The response to a body that is not JSON; None if it is.

    This runs before routing, because models do not see every way in which a body may be broken: invalid base64, bytes
    that are not UTF-8, nesting deeper than the parser allows. Python's own limits and messages differ between versions.
    """
    body = event.get("body")
    if not body:
        return None
    content_type = str(
        {name.lower(): value for name, value in event.get("headers", {}).items()}.get("content-type", "")
    )
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        return _raw(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected application/json, found {media_type}")
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True).decode()
        except UnicodeDecodeError:
            return _raw(HTTPStatus.BAD_REQUEST, "the body is not UTF-8")
        except binascii.Error:
            return _raw(HTTPStatus.BAD_REQUEST, "the body is not base64")
    if _nesting(body) > DEEPEST:
        return _raw(HTTPStatus.BAD_REQUEST, f"the body is nested deeper than {DEEPEST} levels")
    try:
        json.loads(body)
    except ValueError:
        return _raw(HTTPStatus.BAD_REQUEST, f"the body is not JSON{_where(body)}")
    return None


def _nesting(text: str) -> int:
    """How deep lists and objects of a JSON text are nested."""
    depth = deepest = 0
    for bracket in BRACKET.findall(STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _where(text: str) -> str:
    """What is wrong with a text that is not JSON, and where."""
    try:
        from_json(text)
    except ValueError as error:
        return f": {error}"
    return ""


def phrase_of(status: HTTPStatus) -> str:
    """The phrase of a status as RFC 9110 has it."""
    return RENAMED.get(status, status.phrase)


def respond(
    app: APIGatewayHttpResolver,
    status: HTTPStatus,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[str]:
    """A response with problem details."""
    return Response(
        status_code=status,
        content_type=CONTENT_TYPE,
        body=_body(status, detail, app.current_event.path, errors),
        headers=headers or {},
    )


def _invalid(app: APIGatewayHttpResolver, error: RequestValidationError) -> Response[str]:
    errors = [
        FieldProblem(field=".".join(map(str, one["loc"])), message=one["msg"], type=one["type"])
        for one in error.errors()
    ]
    return respond(app, HTTPStatus.UNPROCESSABLE_ENTITY, "the request breaks its schema", errors)


def _unavailable(app: APIGatewayHttpResolver, error: Exception) -> Response[str]:
    logger.exception("a service behind the API failed", exc_info=error)
    return respond(
        app, HTTPStatus.SERVICE_UNAVAILABLE, "the service cannot answer now; try again", headers={"Retry-After": "1"}
    )


def _unexpected(app: APIGatewayHttpResolver, error: Exception) -> Response[str]:
    logger.exception("a request failed that should not", exc_info=error)
    return respond(app, HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; the failure is logged")


def _no_route(app: APIGatewayHttpResolver, _: NotFoundError) -> Response[str]:
    return respond(app, HTTPStatus.NOT_FOUND, f"there is nothing at {app.current_event.path}")


def _raw(status: HTTPStatus, detail: str) -> dict[str, Any]:
    return {"statusCode": int(status), "headers": {"Content-Type": CONTENT_TYPE}, "body": _body(status, detail)}


def _body(
    status: HTTPStatus, detail: str, instance: str | None = None, errors: list[FieldProblem] | None = None
) -> str:
    problem = Problem(title=phrase_of(status), status=status, detail=detail, instance=instance, errors=errors)
    return problem.model_dump_json(exclude_none=True)
