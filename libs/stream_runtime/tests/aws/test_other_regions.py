"""A client of another region than the environment's: where its calls go, whichever client it is."""

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from stream_runtime import clients
from stream_runtime.aws.lean import LeanClient


@pytest.fixture(autouse=True)
def function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's proxies, files and certificates, and no session of boto3."""
    for name in os.environ:
        if name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def no_boto3() -> Any:
    raise AssertionError("boto3 is not asked")


@pytest.mark.parametrize(
    ("region", "host"), [(None, "us-west-2.amazonaws.com"), ("cn-north-1", "cn-north-1.amazonaws.com.cn")]
)
def test_calls_of_the_lean_client_go_to_its_region(region: str | None, host: str) -> None:
    client = LeanClient("kms", no_boto3, region=region)
    assert client.address({}) == f"https://kms.{host}"


@pytest.mark.parametrize("kind", ["boto3", "lean"])
def test_each_region_has_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("AWS_CLIENT", kind)
    own, other = clients.client("kms"), clients.client("kms", "eu-west-1")
    assert own is clients.client("kms")
    assert other is clients.client("kms", "eu-west-1")
    regions = [each.region if isinstance(each, LeanClient) else each.meta.region_name for each in (own, other)]
    assert regions == ["us-west-2", "eu-west-1"]
    assert isinstance(own, LeanClient) is (kind == "lean")
