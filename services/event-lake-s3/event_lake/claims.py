"""Where the bodies of large events are, and where their copies go."""

from collections.abc import Mapping
from typing import Any

PREFIX = "claims/"
"""What a copy's key begins with; bucket and key of its object follow, and `streamctl lake` looks for it there."""


class NoClaimCheck(ValueError):
    """The event is not the pointer to a body."""


def claim_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Bucket and key of the body of an event; those of aws-lambda-stream have them in the field ``s3``.

    Raises:
        NoClaimCheck: it has none.
    """
    detail = event.get("detail")
    claim = detail.get("claim_check", detail.get("s3")) if isinstance(detail, Mapping) else None
    if not isinstance(claim, Mapping) or not all(isinstance(claim.get(name), str) for name in ("bucket", "key")):
        raise NoClaimCheck(f"the event points to no body: its claim check is {claim!r:.200}")
    return {"Bucket": claim["bucket"], "Key": claim["key"]}
