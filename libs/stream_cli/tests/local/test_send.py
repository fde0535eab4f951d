"""`streamctl send` publishes every event, or says why not."""

from __future__ import annotations

import pytest
from stream_cli.errors import CommandError
from stream_cli.local.endpoint import LocalEndpoint, stack_output
from stream_cli.send import publish


def test_every_event_is_published_however_many_there_are(endpoint: LocalEndpoint, name: str) -> None:
    endpoint.client("events").create_event_bus(Name=name)
    endpoint.client("events").create_archive(
        ArchiveName=name, EventSourceArn=f"arn:aws:events:us-east-1:000000000000:event-bus/{name}"
    )
    publish(endpoint.client("events"), name, [{"id": str(n), "type": "thing"} for n in range(23)])
    assert endpoint.client("events").describe_archive(ArchiveName=name)["EventCount"] == 23


def test_an_event_that_the_bus_refuses_is_an_error(
    endpoint: LocalEndpoint, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_SRC", "aws.ec2")
    endpoint.client("events").create_event_bus(Name=name)
    with pytest.raises(CommandError, match="NotAuthorizedForSource"):
        publish(endpoint.client("events"), name, [{"id": "1", "type": "thing"}])


def test_a_stack_that_is_not_deployed_is_named(endpoint: LocalEndpoint) -> None:
    with pytest.raises(CommandError, match="nowhere-local is not deployed"):
        stack_output(endpoint, "nowhere-local", "busName")
