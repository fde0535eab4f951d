"""Data keys from KMS, kept by the process for a time, and the objects that are encrypted and decrypted with them.

The master keys are those of ENCRYPTION_KEYS. What a wrapped key was wrapped with is never taken from what came: KMS is
told the function's own master key, so that it refuses a key of somebody else.

Source: KMS API reference, "GenerateDataKey", "Encrypt" and "Decrypt" (KeyId, EncryptionContext, errors).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from stream_runtime import settings
from stream_runtime.aws.clients import client
from stream_runtime.clock import now_ms
from stream_runtime.engine.calls import retried
from stream_runtime.engine.retry import classify
from stream_runtime.errors import ConfigurationError, InvalidRecord, InvalidSetting
from stream_runtime.payload.encryption import (
    NAME,
    VERSION,
    DataKey,
    Header,
    check_bound,
    decrypted,
    encrypted,
    header_of,
    is_path,
    values_at,
)

CONTEXT = {"format": f"{NAME}/{VERSION}"}
"""The encryption context of every call."""

BOUND_OF_EVENT = ("id", "type", "partition_key")
"""What the encrypted fields of an event are bound to."""

_MOST_KEPT = 1000


class _Kept:
    """A data key with when it was made, and how often it has been used to encrypt."""

    __slots__ = ("key", "made_ms", "master_keys", "uses")

    def __init__(self, key: DataKey, master_keys: object) -> None:
        self.key = key
        self.made_ms = now_ms()
        self.master_keys = master_keys
        self.uses = 0

    def is_fresh(self) -> bool:
        """Whether it may be used; a clock that was set back ends it, too."""
        return 0 <= now_ms() - self.made_ms < settings.DATA_KEY_SECONDS.read() * 1000

    def may_encrypt(self) -> bool:
        return self.is_fresh() and self.uses < settings.DATA_KEY_USES.read()


_lock = threading.Lock()
_making = threading.Lock()
_current: list[_Kept] = []
_opened: OrderedDict[tuple[object, bytes], _Kept] = OrderedDict()


def forget() -> None:
    """Forget all data keys, as a new process has none."""
    with _lock:
        _current.clear()
        _opened.clear()


def to_encrypt() -> DataKey:
    """A data key to encrypt one event or row with: that of the ones before, for DATA_KEY_SECONDS and DATA_KEY_USES.

    Raises:
        InvalidSetting: ENCRYPTION_KEYS is not set.
        Exception: what KMS answered at the last attempt.
    """
    master_keys = _master_keys()
    with _making:  # several threads make one key, not several
        with _lock:
            kept = _current[0] if _current else None
            if kept is not None and kept.master_keys == master_keys and kept.may_encrypt():
                kept.uses += 1
                return kept.key
        kept = _Kept(_made(master_keys), master_keys)
        kept.uses = 1
        with _lock:
            _current[:] = [kept]
        return kept.key


def _made(master_keys: Mapping[str, str]) -> DataKey:
    """A new data key: the first region makes it, the others wrap it, too."""
    (first, key), *others = master_keys.items()
    made = retried(lambda: _kms(first).generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT))
    plaintext = bytes(made["Plaintext"])
    wrapped = {first: bytes(made["CiphertextBlob"])}
    for region, other in others:
        answer = retried(
            lambda region=region, other=other: _kms(region).encrypt(  # type: ignore[misc]
                KeyId=other, Plaintext=plaintext, EncryptionContext=CONTEXT
            )
        )
        wrapped[region] = bytes(answer["CiphertextBlob"])
    return DataKey(plaintext, wrapped)


def to_decrypt(wrapped: Mapping[str, bytes]) -> bytes:
    """The data key that was wrapped, by the master key of the function's own region where it can be; kept for a time.

    Args:
        wrapped: the same data key, as the master keys of some regions have wrapped it.

    Raises:
        ConfigurationError: ENCRYPTION_KEYS has no key of these regions.
        InvalidRecord: KMS says that it is no data key that was wrapped so.
        Exception: what KMS answered at the last attempt; IncorrectKeyException for a key of another master key.
    """
    master_keys = _master_keys()
    regions = [region for region in master_keys if region in wrapped]
    if not regions:
        raise ConfigurationError(
            f"the data key was wrapped in {', '.join(map(repr, sorted(wrapped))):.200}; ENCRYPTION_KEYS has keys of "
            f"{', '.join(sorted(master_keys))}"
        )
    for region in regions:
        known = _known((master_keys[region], wrapped[region]))
        if known is not None:
            return known
    *others, last = regions
    for region in others:
        try:
            return _unwrapped(region, master_keys[region], wrapped[region])
        except Exception as error:
            if classify(error) != "transient":  # else another region may answer
                raise
    return _unwrapped(last, master_keys[last], wrapped[last])


def _known(name: tuple[str, bytes]) -> bytes | None:
    with _lock:
        kept = _opened.get(name)
        if kept is not None and not kept.is_fresh():
            del _opened[name]
            return None
    return None if kept is None else kept.key.plaintext


def _unwrapped(region: str, master_key: str, wrapped: bytes) -> bytes:
    try:
        answer = retried(
            lambda: _kms(region).decrypt(KeyId=master_key, CiphertextBlob=wrapped, EncryptionContext=CONTEXT)
        )
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code != "InvalidCiphertextException":
            raise
        raise InvalidRecord("the wrapped data key is damaged, or was made for something else") from None
    kept = _Kept(DataKey(bytes(answer["Plaintext"]), {}), None)
    with _lock:
        _opened[master_key, wrapped] = kept
        while len(_opened) > _MOST_KEPT:
            _opened.popitem(last=False)
    return kept.key.plaintext


def _kms(region: str) -> Any:
    own = settings.AWS_REGION.read()
    return client("kms") if region == own else client("kms", region)


def _master_keys() -> dict[str, str]:
    """The master keys by region, that of the function's own first."""
    given = settings.ENCRYPTION_KEYS.read()
    if not given:
        raise InvalidSetting(f"environment variable ENCRYPTION_KEYS is not set: {settings.ENCRYPTION_KEYS.meaning}")
    own = settings.AWS_REGION.read()
    named = {region or own: key for region, key in given}
    return dict(sorted(named.items(), key=lambda pair: pair[0] != own))


def encrypted_object(value: Mapping[str, Any], fields: Sequence[str], bound: Sequence[str]) -> dict[str, Any]:
    """An object with some of its fields encrypted; see `stream_runtime.encryption.encrypt`."""
    ways = [path for path in fields if path.partition(".")[0] in value]
    if all(map(is_path, ways)) and not values_at(value, ways):
        return dict(value)  # and KMS is asked for nothing
    _check_package()
    return encrypted(value, ways, bound, to_encrypt())


def decrypted_object(value: Mapping[str, Any], *, copies: bool = False) -> tuple[dict[str, Any], Header]:
    """An encrypted object as it was, and its header.

    Args:
        value: the object.
        copies: whether others may have copied fields and header from another object.

    Raises:
        InvalidRecord: it is damaged, or not what was encrypted.
        Exception: see `to_decrypt`.
    """
    _check_package()
    try:
        header = header_of(value)
        if not copies:
            check_bound(value, header)
    except ValueError as error:
        raise InvalidRecord(str(error)) from None
    key = to_decrypt(header.wrapped)
    try:
        return decrypted(value, header, key, settings.MAX_EXPANDED_SIZE.read()), header
    except ValueError as error:
        reason = str(error)
    raise InvalidRecord(reason)  # without the frames that hold what was decrypted


def _check_package() -> None:
    """Tell what to add to the package before anything is asked of KMS."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is not in this package: require stream-runtime[encryption], and leave it out of noDeploy"
        ) from error
