"""A KMS that answers as AWS documents it, for tests of data keys: master keys, encryption contexts, errors.

Sources: KMS API reference, "GenerateDataKey", "Encrypt", "Decrypt", errors of each.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError


class SimulatedKms:
    """The KMS of a region.

    Attributes:
        region: that a blob was wrapped in shows in it.
        names: master keys by the names under which they are known.
        denied: names that may not be used.
        fails: errors that the next calls raise.
        calls: operations that were asked for, with the key's name.
    """

    def __init__(self, region: str = "us-west-2", names: Mapping[str, str] | None = None) -> None:
        self.region = region
        self.names = dict(names or {"alias/fields": "one"})
        self.denied: set[str] = set()
        self.fails: list[BaseException] = []
        self.calls: list[tuple[str, str]] = []
        self._made = 0

    def generate_data_key(self, *, KeyId: str, KeySpec: str, EncryptionContext: Mapping[str, str]) -> dict[str, Any]:
        """A new data key."""
        assert KeySpec == "AES_256"
        master = self._master("GenerateDataKey", KeyId)
        self._made += 1
        plaintext = hashlib.sha256(f"{self.region} {id(self)} {self._made}".encode()).digest()
        return {
            "KeyId": master,
            "Plaintext": plaintext,
            "CiphertextBlob": self._blob(master, plaintext, EncryptionContext),
        }

    def encrypt(self, *, KeyId: str, Plaintext: bytes, EncryptionContext: Mapping[str, str]) -> dict[str, Any]:
        """What Decrypt takes."""
        master = self._master("Encrypt", KeyId)
        return {"KeyId": master, "CiphertextBlob": self._blob(master, Plaintext, EncryptionContext)}

    def decrypt(self, *, KeyId: str, CiphertextBlob: bytes, EncryptionContext: Mapping[str, str]) -> dict[str, Any]:
        """What was wrapped."""
        master = self._master("Decrypt", KeyId)
        try:
            wrapped = json.loads(CiphertextBlob)
        except ValueError:
            raise client_error("InvalidCiphertextException") from None
        if wrapped["region"] != self.region or wrapped["context"] != dict(EncryptionContext):
            raise client_error("InvalidCiphertextException")
        if wrapped["master"] != master:
            raise client_error("IncorrectKeyException")
        return {"KeyId": master, "Plaintext": bytes.fromhex(wrapped["key"])}

    def _master(self, operation: str, name: str) -> str:
        self.calls.append((operation, name))
        if self.fails:
            raise self.fails.pop(0)
        if name in self.denied:
            raise client_error("AccessDeniedException")
        if name not in self.names:
            raise client_error("NotFoundException")
        return self.names[name]

    def _blob(self, master: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        wrapped = {"region": self.region, "master": master, "context": dict(context), "key": plaintext.hex()}
        return json.dumps(wrapped).encode()


def client_error(code: str) -> ClientError:
    """An error as botocore raises it."""
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "Call")
