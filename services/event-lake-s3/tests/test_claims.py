"""The function `claims`: bodies of large events are copied as they are, and what cannot be copied fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

FIXTURES = Path(__file__).parent / "fixtures"
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


def run(event: Any) -> dict[str, str]:
    from event_lake.handlers.claims import handler

    return handler(event, CONTEXT)


@pytest.mark.parametrize(("name", "field"), [("claims-pointer", "claim_check"), ("claims-javascript", "s3")])
def test_the_body_that_a_pointer_names_is_copied_however_often_it_comes(
    name: str, field: str, buckets: tuple[str, str], fixture: Any
) -> None:
    event, s3 = fixture(name), boto3.client("s3")
    lake, claims = buckets
    body = (FIXTURES / "body.txt").read_bytes()
    s3.put_object(Bucket=claims, Key=event["detail"][field]["key"], Body=body, ContentType="application/json")

    for _ in range(2):
        assert run(event) == fixture(f"{name}.expected")["returns"]

    copy = s3.get_object(Bucket=lake, Key=f"claims/{claims}/{event['detail'][field]['key']}")
    assert copy["Body"].read() == body
    assert copy["ContentType"] == "application/json"


def test_an_object_that_is_gone_fails_the_invocation(fixture: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        run(fixture("claims-pointer"))


def test_poison_fails_as_its_expected_file_says(fixture: Any) -> None:
    with pytest.raises(ValueError, match="the event points to no body") as raised:
        run(fixture("claims-poison"))
    assert raised.type.__name__ == fixture("claims-poison.expected")["raises"]


@pytest.mark.parametrize("detail", [{"id": "e-1"}, {"s3": "text"}, {"claim_check": {"key": 1}}, None])
def test_an_event_that_points_to_nothing_fails_the_invocation_and_says_so(detail: Any) -> None:
    from event_lake.claims import NoClaimCheck

    with pytest.raises(NoClaimCheck, match="the event points to no body"):
        run({"detail": detail})
