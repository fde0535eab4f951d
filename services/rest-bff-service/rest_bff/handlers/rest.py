"""Function `rest`: the HTTP API of stories and of the dashboard."""

import hashlib
import uuid
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.logging import correlation_paths
from pydantic import AfterValidator, BaseModel
from stream_runtime.clients import time_limit
from stream_runtime.logs import logged
from stream_runtime.settings import check

from rest_bff import settings
from rest_bff.dal import dashboard, stories
from rest_bff.logic.callers import ANYBODY, Caller, caller_of
from rest_bff.logic.cursors import from_cursor, to_cursor
from rest_bff.logic.errors import InvalidQuery, UnknownCaller
from rest_bff.models.dashboard import DAY_PATTERN, DashboardPage, DashboardStory, Sentiment, existing_day
from rest_bff.models.stories import ID_PATTERN, GatewayRefusal, NewStory, Problem, Story, StoryContent, StoryPage

from . import problems
from .bodies import UnreadableBody, with_json_body

check(settings.ACCESS, settings.DASHBOARD_TABLE_NAME, settings.ENTITY_TABLE_NAME, settings.TOMBSTONE_DAYS)
logger = Logger()

DESCRIPTION = "/openapi.json"
"""The path that needs no token."""

RETRIES_S = 5
"""How long calls to AWS are retried while a client waits."""

REFUSED_BY_GATEWAY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""To a token that API Gateway does not take, to one without the scope of the route, and when it throttles."""

Day = Annotated[str | None, Query(pattern=DAY_PATTERN, description="YYYY-MM-DD, UTC"), AfterValidator(existing_day)]
Score = Annotated[float | None, Query(ge=0, le=1)]


def answers(status: int, model: type[BaseModel] | None, *problem_statuses: int) -> dict[int, Any]:
    """The responses of a route, for the OpenAPI description; API Gateway refuses requests for every route."""
    contents: dict[int, dict[str, type[BaseModel]]] = {
        status: {content_types.APPLICATION_JSON: model} if model else {},
        **{each: {content_types.APPLICATION_JSON: GatewayRefusal} for each in REFUSED_BY_GATEWAY},
    }
    for problem in (HTTPStatus.UNAUTHORIZED, *problem_statuses):
        contents.setdefault(problem, {})[problems.CONTENT_TYPE] = Problem
    return {
        each: {
            "description": problems.phrase_of(HTTPStatus(each)),
            "content": {kind: {"model": described} for kind, described in kinds.items()},
        }
        for each, kinds in contents.items()
    }


app = APIGatewayHttpResolver(enable_validation=True)
problems.register(app)

IdInPath = Annotated[str, Path(pattern=ID_PATTERN)]
ExpectedVersion = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^("[0-9]{1,15}"|[0-9]{1,15})$',
        description="the version (ETag) that the client has read",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", pattern=r"^[!-~]{1,255}$", description="chosen by the client for this request"),
]
Limit = Annotated[int, Query(ge=1, le=100, description="rows that are read for a page, at the most")]
Cursor = Annotated[str | None, Query(min_length=1, max_length=2000)]


@app.post("/stories", tags=["stories"], responses=answers(201, Story, 400, 409, 413, 415, 422, 503))
def create_story(body: NewStory, idempotency_key: IdempotencyKey = None) -> Response[str]:
    """Create a story of the caller; 409 if its id is taken.

    With an Idempotency-Key the request can be repeated for a day.
    """
    story_id = body.id or uuid.uuid4().hex
    headers = {}
    if idempotency_key is None:
        story = stories.create(story_id, body.stored(), _caller())
    else:
        fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        idempotency = stories.Idempotency(_caller().id, idempotency_key, fingerprint)
        story, replayed = stories.create_once(story_id, body.stored(), _caller(), idempotency)
        headers = {"Idempotency-Replayed": str(replayed).lower()}
    return _story(HTTPStatus.CREATED, story, {"Location": f"/stories/{story['id']}", **headers})


@app.get("/stories", tags=["stories"], responses=answers(200, StoryPage, 422, 503))
def list_stories(limit: Limit = 20, cursor: Cursor = None) -> Response[str]:
    """List stories, newest first."""
    after = from_cursor(cursor, stories.LIST_KEY) if cursor else None
    found, last = stories.list_newest(limit, after)
    page = StoryPage(stories=[Story(**story) for story in found], cursor=to_cursor(last) if last else None)
    return _json(HTTPStatus.OK, page)


@app.get("/stories/<id>", tags=["stories"], responses=answers(200, Story, 404, 422, 503))
def read_story(id: IdInPath) -> Response[str]:
    """Read a story; those who may change it see its personal fields, too."""
    return _story(HTTPStatus.OK, stories.get(id, _caller()))


@app.put("/stories/<id>", tags=["stories"], responses=answers(200, Story, 400, 403, 404, 409, 413, 415, 422, 503))
def replace_story(id: IdInPath, body: StoryContent, if_match: ExpectedVersion = None) -> Response[str]:
    """Replace a story of the caller; 409 if it has changed since the version of ``If-Match``.

    Writes of others at the same time are waited for. 409 with ``Retry-After`` says that they did not end soon enough:
    nothing was written, and the same request may succeed later.
    """
    return _story(HTTPStatus.OK, stories.replace(id, body.stored(), _caller(), _version(if_match)))


@app.delete("/stories/<id>", tags=["stories"], responses=answers(204, None, 403, 404, 409, 422, 503))
def delete_story(id: IdInPath, if_match: ExpectedVersion = None) -> Response[str]:
    """Delete a story of the caller; 409 if it has changed since the version of ``If-Match``."""
    stories.delete(id, _caller(), _version(if_match), settings.TOMBSTONE_DAYS.read() * 24 * 3600)
    return Response(status_code=HTTPStatus.NO_CONTENT, body="")


@app.get("/dashboard", tags=["dashboard"], responses=answers(200, DashboardPage, 422, 503))
def read_dashboard(
    day: Day = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    sentiment: Annotated[Sentiment | None, Query()] = None,
    min_score: Score = None,
    max_score: Score = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[str]:
    """Analyzed stories of a day, a tag, or both: newest first, or highest score first if a sentiment is given."""
    if day is None and tag is None:
        raise InvalidQuery("give a day, a tag, or both")
    if sentiment:
        least, most = _exact(min_score or 0), _exact(1 if max_score is None else max_score)
        if least > most:
            raise InvalidQuery(f"min_score {least} is above max_score {most}")
        rows = dashboard.by_score(tag, day, sentiment, (least, most))
    elif min_score is None and max_score is None:
        rows = dashboard.newest(tag, day)
    else:
        raise InvalidQuery("scores are compared within one sentiment; give it, too")
    found, last = dashboard.page(rows, limit, from_cursor(cursor, rows.position) if cursor else None)
    stories_found = [DashboardStory(**{**row, "matched_tags": sorted(row.get("matched_tags", ()))}) for row in found]
    return _json(HTTPStatus.OK, DashboardPage(stories=stories_found, cursor=to_cursor(last) if last else None))


@app.get(DESCRIPTION, include_in_schema=False)
def read_openapi() -> Response[str]:
    """Describe the API in OpenAPI 3.1."""
    from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer  # takes as long as all other imports

    needs_token = settings.ACCESS.read() == "jwt"
    schema = app.get_openapi_json_schema(
        title="Stories",
        version="1.0.0",
        description="Stories, and what events added.",
        security_schemes={"token": HTTPBearer(bearerFormat="JWT")} if needs_token else None,
        security=[{"token": []}] if needs_token else None,
    )
    return Response(status_code=HTTPStatus.OK, content_type=content_types.APPLICATION_JSON, body=schema)


@logged
@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP request (payload format 2.0)."""
    with time_limit(RETRIES_S):
        try:
            app.context["caller"] = _caller_of(event)
            readable = with_json_body(event)
        except UnknownCaller as error:
            return problems.unauthorized(error)
        except UnreadableBody as error:
            return problems.unreadable(error)
        return app.resolve(readable, context)


def _caller_of(event: dict[str, Any]) -> Caller:
    """Who sends a request: anybody where access is open, or where the route has no authorizer.

    Raises:
        UnknownCaller: the token names nobody.
    """
    if settings.ACCESS.read() == "open" or event["rawPath"] == DESCRIPTION:
        return ANYBODY
    authorizer = event["requestContext"].get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    return caller_of(claims, settings.ADMIN_SCOPE.read())


def _caller() -> Caller:
    caller: Caller = app.context["caller"]
    return caller


def _exact(score: float) -> Decimal:
    """A score as it was written; the float itself differs from that in the last digits."""
    return Decimal(str(score))


def _version(if_match: str | None) -> int | None:
    return None if if_match is None else int(if_match.strip('"'))


def _story(status: HTTPStatus, story: dict[str, Any], headers: dict[str, str] | None = None) -> Response[str]:
    return _json(status, Story(**story), {"ETag": f'"{story["version"]}"', **(headers or {})})


def _json(status: HTTPStatus, body: BaseModel, headers: dict[str, str] | None = None) -> Response[str]:
    return Response(
        status_code=status,
        content_type=content_types.APPLICATION_JSON,
        body=body.model_dump_json(exclude_none=True),
        headers=headers or {},
    )
