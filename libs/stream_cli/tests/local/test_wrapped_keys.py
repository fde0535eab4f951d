"""Fields that the runtime encrypts with the local cloud's KMS, through either of its clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from stream_cli.local.endpoint import LocalEndpoint
from stream_runtime import InvalidRecord, clients, encryption
from stream_runtime.aws.lean import LeanClient

EVENT = {"id": "e1", "type": "order-placed", "partition_key": "o1", "order": {"email": "ada@example.org"}}


@pytest.fixture
def kms(endpoint: LocalEndpoint) -> Any:
    return endpoint.client("kms")


@pytest.fixture(params=["boto3", "lean"])
def keys(request: Any, endpoint: LocalEndpoint, kms: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two keys of KMS; the runtime has the first one, and no data key yet."""
    for name in os.environ:
        if name.startswith("AWS_") or name.lower().endswith(("_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_CLIENT", request.param)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    monkeypatch.setenv("ENCRYPTION_KEYS", keys[0])
    clients.reset()
    encryption.forget()
    assert isinstance(clients.client("kms"), LeanClient) is (request.param == "lean")
    yield keys
    clients.reset()
    encryption.forget()


def sealed() -> dict[str, Any]:
    made = encryption.encrypt(EVENT, ["order.email"])
    encryption.forget()
    assert made["order"]["email"].startswith("ENCRYPTED")
    return made


def test_what_is_encrypted_is_decrypted(keys: list[str]) -> None:
    assert encryption.decrypt(sealed()) == EVENT


def test_an_alias_names_a_key(keys: list[str], kms: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=keys[0])
    monkeypatch.setenv("ENCRYPTION_KEYS", f"alias/{name}")
    assert encryption.decrypt(sealed()) == EVENT


def test_another_key_is_refused_as_on_aws(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = sealed()
    monkeypatch.setenv("ENCRYPTION_KEYS", keys[1])
    with pytest.raises(ClientError, match="IncorrectKeyException"):
        encryption.decrypt(made)


def test_a_disabled_key_is_refused_as_on_aws(keys: list[str], kms: Any) -> None:
    made = sealed()
    kms.disable_key(KeyId=keys[0])
    with pytest.raises(ClientError, match="DisabledException"):
        encryption.decrypt(made)


@pytest.mark.parametrize("wrapped", ["AAAA", "A" * 400])
def test_what_no_key_has_wrapped_is_damaged(keys: list[str], wrapped: str) -> None:
    made = sealed()
    made["encryption"]["keys"] = {"us-east-1": wrapped}
    with pytest.raises(InvalidRecord, match="the wrapped data key is damaged"):
        encryption.decrypt(made)


def test_a_data_key_is_opened_for_its_purpose_alone(keys: list[str], kms: Any) -> None:
    made = kms.generate_data_key(KeyId=keys[0], KeySpec="AES_256", EncryptionContext={"format": "other"})
    with pytest.raises(ClientError, match="InvalidCiphertextException"):
        kms.decrypt(KeyId=keys[0], CiphertextBlob=made["CiphertextBlob"])


def test_without_the_name_of_a_key_the_one_is_found_that_was_used(keys: list[str], kms: Any) -> None:
    made = kms.encrypt(KeyId=keys[1], Plaintext=b"text")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == b"text"
