"""Function `rest`: items by HTTP."""

import uuid
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.logging import correlation_paths
from pydantic import BaseModel

from rest_bff import settings
from rest_bff.dal import items
from rest_bff.logic.cursors import from_cursor, to_cursor
from rest_bff.models.items import ID_PATTERN, Item, ItemContent, ItemPage, NewItem

from . import problems

logger = Logger()
app = APIGatewayHttpResolver(enable_validation=True)
problems.register(app)

IdInPath = Annotated[str, Path(pattern=ID_PATTERN)]
ExpectedVersion = Annotated[
    str | None,
    Header(alias="If-Match", pattern=r'^"?\d{1,15}"?$', description="the version (ETag) that the client has read"),
]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=2000)]


@app.post("/items")
def create_item(body: NewItem) -> Response[str]:
    """Create an item; 409 where its id is taken."""
    item_id = body.id or uuid.uuid4().hex
    item = items.create(item_id, body.stored())
    return _item(HTTPStatus.CREATED, item, {"Location": f"/items/{item_id}"})


@app.get("/items")
def list_items(limit: Limit = 20, cursor: Cursor = None) -> Response[str]:
    """List items, newest first."""
    after = from_cursor(cursor, items.LIST_KEY) if cursor else None
    found, last = items.list_newest(limit, after)
    page = ItemPage(items=[Item(**item) for item in found], cursor=to_cursor(last) if last else None)
    return _json(HTTPStatus.OK, page)


@app.get("/items/<id>")
def read_item(id: IdInPath) -> Response[str]:
    """Read an item."""
    return _item(HTTPStatus.OK, items.get(id))


@app.put("/items/<id>")
def replace_item(id: IdInPath, body: ItemContent, if_match: ExpectedVersion = None) -> Response[str]:
    """Replace an item; 409 where it is not at the version of ``If-Match`` any more."""
    return _item(HTTPStatus.OK, items.replace(id, body.stored(), _version(if_match)))


@app.delete("/items/<id>")
def delete_item(id: IdInPath, if_match: ExpectedVersion = None) -> Response[str]:
    """Delete an item; 409 where it is not at the version of ``If-Match`` any more."""
    items.delete(id, _version(if_match), settings.tombstone_s())
    return Response(status_code=HTTPStatus.NO_CONTENT, body="")


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP request (payload format 2.0)."""
    return problems.unreadable_body(event) or app.resolve(event, context)


def _version(if_match: str | None) -> int | None:
    return None if if_match is None else int(if_match.strip('"'))


def _item(status: HTTPStatus, item: dict[str, Any], headers: dict[str, str] | None = None) -> Response[str]:
    return _json(status, Item(**item), {"ETag": f'"{item["version"]}"', **(headers or {})})


def _json(status: HTTPStatus, body: BaseModel, headers: dict[str, str] | None = None) -> Response[str]:
    return Response(
        status_code=status,
        content_type=content_types.APPLICATION_JSON,
        body=body.model_dump_json(exclude_none=True),
        headers=headers or {},
    )
