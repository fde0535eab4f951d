"""Failures of the REST API as problem details (RFC 9457), with the status that tells the client what to do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from botocore.exceptions import BotoCoreError, ClientError
from stream_runtime.errors import ConfigurationError, TransientError

from rest_bff.logic.errors import (
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidQuery,
    NotOwner,
    StaleVersion,
    StoryBusy,
    StoryExists,
    StoryNotFound,
    UnknownCaller,
)
from rest_bff.models.stories import FieldProblem, Problem

from .bodies import UnreadableBody

logger = Logger()

CONTENT_TYPE = "application/problem+json"

MOST_ERRORS = 20
"""Invalid fields that a response names; a body may have as many as it has bytes."""

LONGEST_NAME = 200
"""Characters of a field's name in a response."""

RENAMED = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
"""Phrases of RFC 9110 that Python has since 3.13."""

ANSWERS: dict[type[Exception], HTTPStatus] = {
    StoryNotFound: HTTPStatus.NOT_FOUND,
    StoryBusy: HTTPStatus.CONFLICT,
    StoryExists: HTTPStatus.CONFLICT,
    StaleVersion: HTTPStatus.CONFLICT,
    NotOwner: HTTPStatus.FORBIDDEN,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidCursor: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidQuery: HTTPStatus.UNPROCESSABLE_ENTITY,
}

LATER = {"Retry-After": "1"}
"""For what may succeed after a second."""


def register(app: APIGatewayHttpResolver) -> None:
    """Register a response for every exception that a route may raise."""
    app.exception_handler(list(ANSWERS))(
        lambda error: respond(
            app, ANSWERS[type(error)], str(error), headers=LATER if type(error) is StoryBusy else None
        )
    )
    app.exception_handler(RequestValidationError)(lambda error: _invalid(app, error))
    app.exception_handler([ClientError, BotoCoreError, ConfigurationError, TransientError, TimeoutError])(
        lambda error: _unavailable(app, error)
    )
    app.exception_handler(Exception)(lambda error: _unexpected(app, error))
    app.not_found(lambda error: _no_route(app, error))


def unreadable(error: UnreadableBody) -> dict[str, Any]:
    """The response to a body that is no JSON; no route is asked."""
    return _unrouted(error.status, str(error))


def unauthorized(error: UnknownCaller) -> dict[str, Any]:
    """The response to a token that names nobody; no route is asked."""
    return _unrouted(HTTPStatus.UNAUTHORIZED, str(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _unrouted(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": int(status),
        "headers": {"Content-Type": CONTENT_TYPE, **(headers or {})},
        "body": _body(status, detail),
    }


def phrase_of(status: HTTPStatus) -> str:
    """The phrase of a status as RFC 9110 has it."""
    return RENAMED.get(status, status.phrase)


def respond(
    app: APIGatewayHttpResolver,
    status: HTTPStatus,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """A response with problem details."""
    return Response(
        status_code=status,
        content_type=CONTENT_TYPE,
        body=_body(status, detail, app.current_event.path, errors),
        headers=dict(headers or {}),
    )


def _invalid(app: APIGatewayHttpResolver, error: RequestValidationError) -> Response[str]:
    errors = [
        FieldProblem(field=_name(one["loc"]), message=one["msg"], type=one["type"])
        for one in error.errors()[:MOST_ERRORS]
    ]
    return respond(app, HTTPStatus.UNPROCESSABLE_ENTITY, "the request breaks its schema", errors)


def _name(place: Sequence[str | int]) -> str:
    return _encodable(".".join(map(str, place)))[:LONGEST_NAME]


def _unavailable(app: APIGatewayHttpResolver, error: Exception) -> Response[str]:
    logger.exception("a service behind the API failed", exc_info=error)
    return respond(app, HTTPStatus.SERVICE_UNAVAILABLE, "the service cannot answer now; try again", headers=LATER)


def _unexpected(app: APIGatewayHttpResolver, error: Exception) -> Response[str]:
    logger.exception("a request failed that should not", exc_info=error)
    return respond(app, HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; the failure is logged")


def _no_route(app: APIGatewayHttpResolver, _: NotFoundError) -> Response[str]:
    return respond(app, HTTPStatus.NOT_FOUND, f"there is nothing at {app.current_event.path}")


def _body(
    status: HTTPStatus, detail: str, instance: str | None = None, errors: list[FieldProblem] | None = None
) -> str:
    problem = Problem(
        title=phrase_of(status),
        status=status,
        detail=_encodable(detail),
        instance=instance and _encodable(instance),
        errors=errors,
    )
    return problem.model_dump_json(exclude_none=True)


def _encodable(text: str) -> str:
    """Text of a client with halves of surrogate pairs, which UTF-8 does not have, as escapes."""
    return text.encode(errors="backslashreplace").decode()
