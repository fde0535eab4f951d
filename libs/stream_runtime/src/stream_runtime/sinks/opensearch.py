"""OpenSearch documents, in as few bulk requests as number and size allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws import signed_requests as opensearch
from stream_runtime.engine.batching import BatchCall, rx_batched
from stream_runtime.engine.flow import GatherStep, Operator, compose, extend
from stream_runtime.engine.retry import RequestFailed
from stream_runtime.engine.run import Run
from stream_runtime.errors import ConfigurationError, TransientError
from stream_runtime.payload import codec

from .dynamodb import CONDITION_FAILED
from .limits import BULK

_METADATA = ("routing", "version", "version_type", "if_seq_no", "if_primary_term", "pipeline", "retry_on_conflict")


def update_elasticsearch(
    host: str | None = None,
    update_request_field: str = "update_request",
    update_response_field: str = "update_response",
    batch_size: int | None = None,
    max_request_size: int | None = None,
    parallel: int | None = None,
    rate: float | None = None,
) -> Operator:
    """An operator that makes the write in a field of each unit of work; units without one pass.

    A write is ``{"index", "id", "data", "action"?, "version"?, "version_type"?, "routing"?, ...}``; the action is
    ``index`` (the default), ``create``, ``update`` (data is ``{"doc": ...}``) or ``delete`` (without data). A version
    conflict and the deletion of a missing document are outcomes: the response is ``{}``.

    Args:
        host: host or URL of the domain; ES_DOMAIN_HOST by default.
        update_request_field: where the write is.
        update_response_field: where the item of the response is put.
        batch_size: writes in a request, at most 1000.
        max_request_size: bytes of a request; 10 MiB by default, the limit of the smaller instance types, at most 100.
        parallel: requests at once, in order for each partition key and document.
        rate: writes a second.

    Sources: OpenSearch documentation, "Bulk API" (each item has a status of its own); OpenSearch Service developer
    guide, "Network limits".
    """

    def to_entry(uow: Any) -> Any:
        write = uow.get(update_request_field)
        if not write:
            return None
        action = write.get("action", "index")
        metadata = {"_index": write["index"], "_id": str(write["id"])}
        metadata |= {name: write[name] for name in _METADATA if write.get(name) is not None}
        lines = codec.encode({action: metadata}) + "\n"
        if action != "delete":
            lines += codec.encode(write["data"]) + "\n"
        return (write["index"], str(write["id"])), lines.encode()

    def bulk(bodies: Sequence[Any]) -> Sequence[Any]:
        domain = host or settings.required(settings.ES_DOMAIN_HOST)
        answer = codec.decode(
            opensearch.request(domain, "POST", "/_bulk", b"".join(lines for _, lines in bodies), "application/x-ndjson")
        )
        items = answer.get("items") or []
        if len(items) != len(bodies):
            raise TransientError(f"the bulk request answered for {len(items)} of {len(bodies)} items")
        return [outcome_of(item) for item in items]

    def count_conflicts(run: Run, uows: Sequence[Any]) -> Iterable[Any]:
        conflicts = sum(uow.get(update_response_field) == {} for uow in uows)
        if conflicts:
            run.count(CONDITION_FAILED, conflicts)
        return uows

    return compose(
        rx_batched(
            BatchCall(
                entry=to_entry,
                send=bulk,
                response_field=update_response_field,
                limits=BULK,
                size=lambda body: len(body[1]),
                identity=lambda body: body[0],
            ),
            batch_size=batch_size,
            max_request_size=max_request_size,
            parallel=parallel,
            rate=rate,
        ),
        extend(GatherStep(count_conflicts)),
    )


def outcome_of(item: Mapping[str, Any]) -> Any:
    """The result of one item of a bulk request, ``{}`` if there was nothing to do, or the error it failed with."""
    ((action, result),) = item.items()
    status = int(result.get("status", 500))
    if status < 300:
        return result
    error = result.get("error") or {}
    kind = str(error.get("type", status)) if isinstance(error, Mapping) else str(error)
    if status == 409 or (action == "delete" and status == 404 and not error):
        return {}
    message = f"{action} of {result.get('_index')}/{result.get('_id')}: {status}: {codec.encode(error):.500}"
    if status == 429 or status >= 500:
        return TransientError(message)
    if status in (401, 403, 404) and kind != "document_missing_exception":
        return ConfigurationError(message)
    return RequestFailed(kind, message)
