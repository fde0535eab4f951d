"""Function `claims`: copies the body of a large event into the lake, before the hub removes it."""

from collections.abc import Mapping
from typing import Any

from stream_runtime.clients import call, time_limit
from stream_runtime.logs import logged
from stream_runtime.settings import check

from event_lake.claims import PREFIX, claim_of
from event_lake.settings import BUCKET_NAME

check(BUCKET_NAME)


@logged
def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """Copy the object that an event of the bus points to; the same event again copies the same object again.

    Returns:
        ``{"bucket", "key"}`` of the copy.

    Raises:
        NoClaimCheck: the event points to nothing.
        botocore.exceptions.ClientError: the object is gone, or S3 refuses. Lambda tries again, then keeps the event in
            the queue of failures.
    """
    claim = claim_of(event)
    copy = {"Bucket": BUCKET_NAME.read(), "Key": f"{PREFIX}{claim['Bucket']}/{claim['Key']}"}
    with time_limit(context.get_remaining_time_in_millis() / 1000):
        call("s3", "copy_object", **copy, CopySource=claim)
    return {"bucket": copy["Bucket"], "key": copy["Key"]}
