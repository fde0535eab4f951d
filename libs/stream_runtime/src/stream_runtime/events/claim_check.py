"""Claim check: an event too large for the bus travels as a pointer to its body in S3.

The pointer keeps what routing needs: id, type, timestamp, partition key and tags.
Source: Hohpe and Woolf, "Enterprise Integration Patterns", Claim Check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.engine.calls import call, retried
from stream_runtime.engine.records import Uow
from stream_runtime.engine.run import Run
from stream_runtime.engine.scheduling import in_key_order
from stream_runtime.errors import InvalidRecord
from stream_runtime.payload import codec
from stream_runtime.payload.compression import decompressed

FIELD = "claim_check"
_KEPT = ("id", "type", "timestamp", "partition_key", "tags")


def check_in(event: Mapping[str, Any], body: str) -> dict[str, Any]:
    """Store an event's body in the claim-check bucket and return the pointer to publish instead.

    The key is derived from the event's id and timestamp, so an event that is published again is stored once.

    Raises:
        InvalidSetting: CLAIMCHECK_BUCKET_NAME is not set.
        Exception: what S3 answered at the last attempt.
    """
    bucket = settings.required(settings.CLAIMCHECK_BUCKET_NAME)
    day = datetime.fromtimestamp(int(event.get("timestamp") or 0) / 1000, UTC)
    service = settings.SERVICE.read()
    key = f"claimchecks/{service}/{day:%Y/%m/%d/%H}/{event['id']}"
    call("s3", "put_object", Bucket=bucket, Key=key, Body=body.encode(), ContentType="application/json")
    return {**{name: event[name] for name in _KEPT if name in event}, FIELD: {"bucket": bucket, "key": key}}


def redeemed(run: Run, uows: Sequence[Uow]) -> list[Uow]:
    """Replace claim checks by the events they stand for, in the same order.

    A claim check that cannot be redeemed is reported to the run and left out.
    """
    claims = [index for index, uow in enumerate(uows) if FIELD in (uow.get("event") or ())]
    result: list[Uow | None] = list(uows)

    def one(number: int) -> None:
        index = claims[number]
        uow = uows[index]
        result[index] = None
        if not run.may_start(uow):
            return
        try:
            result[index] = {**uow, "event": retried(_reader(uow["event"][FIELD]))}
        except Exception as error:
            run.fail(error, uow)

    in_key_order([(number,) for number in range(len(claims))], one, settings.PARALLEL.read())
    return [uow for uow in result if uow is not None]


def _reader(claim: Mapping[str, str]) -> Callable[[], Any]:
    def read() -> Any:
        bucket, key = claim["bucket"], claim["key"]
        event = codec.decode(client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        if not isinstance(event, dict) or FIELD in event:
            raise InvalidRecord(f"the claim check s3://{bucket}/{key} does not stand for an event")
        return decompressed(event)

    return read
