"""S3: objects with versions, and notifications of buckets to functions.

Objects are strongly consistent (S3 user guide, "Amazon S3 data consistency model"). What deletions do to versions is in
"Working with delete markers", conditions of writes are in "How to prevent object overwrites with conditional writes",
ranges and codes of errors in the API reference ("GetObject", "Error responses"). Notifications come at least once,
typically within seconds, sometimes a minute or longer, and in no order ("Amazon S3 Event Notifications").

An object expires at the midnight (UTC) that follows its days, and there may be a delay until it is removed ("Expiring
objects"); here it is up to a day. With versions it gets a delete marker, its versions go when they were not the latest
for their days, and a marker that is left alone goes when it is as old as an object that expires ("Lifecycle
configuration elements").
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any
from urllib.parse import quote_plus

from refusals import Refusal

from simulator.chance import fractions, uuid_of
from simulator.kernel import MICROSECONDS, Kernel
from simulator.topology import Bucket as Description
from simulator.topology import Notification

Request = Mapping[str, Any]
Call = Callable[[str, str, Request], Mapping[str, Any]]

MOST_KEYS = 1_000
"""On a page (S3 API reference, "ListObjectsV2")."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_USUAL_US = (100_000, 2 * MICROSECONDS)
_DAY_US = 86_400 * MICROSECONDS
_NOTIFY_AGAIN_US = 60 * MICROSECONDS
"""AWS documents no figures."""


@dataclass(frozen=True)
class Chances:
    """How notifications go by chance; AWS gives no shares."""

    late: float = 0.02
    late_us: tuple[int, int] = (5 * MICROSECONDS, 180 * MICROSECONDS)
    doubled: float = 0.02


@dataclass(frozen=True, eq=False)
class Version:
    """A version of an object; without a body it is a delete marker. Chances of its notifications follow from `fate`."""

    id: str
    body: bytes | None
    etag: str
    at_us: int
    kind: str
    fate: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Bucket:
    """A bucket: the versions of each key, the latest last, and its keys in order; `due` is a heap of the moments at
    which something of a key may expire."""

    description: Description
    versions: dict[str, list[Version]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    writes: dict[str, int] = field(default_factory=dict)
    due: list[tuple[int, str]] = field(default_factory=list)

    def latest(self, key: str) -> Version | None:
        """The object under a key."""
        versions = self.versions.get(key)
        return versions[-1] if versions and versions[-1].body is not None else None


class S3:
    """The buckets of a deployment, by name in `buckets`.

    Args:
        call: calls a function for a notification: ``("lambda", "Invoke", request)``; raises `Refusal`.
        told: takes what happens, for stories: what, bucket, key, and more.
    """

    def __init__(
        self,
        kernel: Kernel,
        seed: object,
        descriptions: Iterable[Description],
        call: Call,
        *,
        region: str = "us-east-1",
        chances: Chances = Chances(),
        told: Callable[..., None] = lambda *happened: None,
    ) -> None:
        self._kernel = kernel
        self._seed = f"{seed}/s3"
        self._call = call
        self._region = region
        self._chances = chances
        self._told = told
        self._number = 0
        self.buckets = {each.name: Bucket(each) for each in descriptions}
        self.notifying = 0

    def objects(self, bucket: str, prefix: str = "") -> Mapping[str, bytes]:
        """What is in a bucket, by key in order, for promises."""
        found = self._as_it_is(self.buckets[bucket])
        latest = ((key, found.latest(key)) for key in found.keys if key.startswith(prefix))
        return {key: version.body for key, version in latest if version is not None and version.body is not None}

    def versions(self, bucket: str) -> int:
        """How many versions of objects a bucket holds, for promises; markers are none."""
        found = self._as_it_is(self.buckets[bucket]).versions.values()
        return sum(version.body is not None for versions in found for version in versions)

    # --- operations ---

    def PutObject(self, request: Request) -> dict[str, Any]:
        bucket, key = self._bucket(request), request["Key"]
        earlier = bucket.latest(key)
        if request.get("IfNoneMatch") == "*" and earlier is not None:
            raise _precondition("If-None-Match")
        if "IfMatch" in request:
            if earlier is None:
                raise _no_key(key)
            if request["IfMatch"].strip('"') != earlier.etag:
                raise _precondition("If-Match")
        body = request.get("Body", b"")
        if hasattr(body, "read"):
            body = body.read()
        if isinstance(body, str):
            body = body.encode()
        content_type = request.get("ContentType", "binary/octet-stream")
        version = self._add(bucket, key, bytes(body), content_type, request.get("Metadata", {}))
        self._notify(bucket, key, version, "ObjectCreated:Put")
        return {"ETag": f'"{version.etag}"', **_version_id(bucket, version)}

    def CopyObject(self, request: Request) -> dict[str, Any]:
        source = request["CopySource"]
        if isinstance(source, str):
            name, _, key = source.lstrip("/").partition("/")
            source = {"Bucket": name, "Key": key}
        bucket = self._bucket(request)
        copied = self._version(self._bucket(source), source["Key"], source.get("VersionId"))
        if (source["Bucket"], source["Key"]) == (request["Bucket"], request["Key"]) and "VersionId" not in source:
            reason = (
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes."
            )
            raise Refusal(400, "InvalidRequest", reason)
        version = self._add(bucket, request["Key"], copied.body or b"", copied.kind, copied.metadata)
        self._notify(bucket, request["Key"], version, "ObjectCreated:Copy")
        result = {"ETag": f'"{version.etag}"', "LastModified": _moment(version.at_us)}
        of = {"CopySourceVersionId": copied.id} if copied.id != "null" else {}
        return {"CopyObjectResult": result, **of, **_version_id(bucket, version)}

    def GetObject(self, request: Request) -> dict[str, Any]:
        answer, body = self._found(request)
        part = _RANGE.fullmatch(request["Range"]) if "Range" in request else None
        if part is not None and (part[1] or part[2]):
            size = len(body)
            first = int(part[1]) if part[1] else max(0, size - int(part[2]))
            last = min(size - 1, int(part[2])) if part[1] and part[2] else size - 1
            if first >= size or (not part[1] and int(part[2]) == 0):
                raise Refusal(416, "InvalidRange", "The requested range is not satisfiable")
            if last >= first:
                body = body[first : last + 1]
                answer |= {"ContentRange": f"bytes {first}-{last}/{size}", "ContentLength": len(body)}
        return {**answer, "Body": body}

    def HeadObject(self, request: Request) -> dict[str, Any]:
        """As GetObject, but errors have no body, hence the status as their code (S3 API reference, "HeadObject")."""
        try:
            return self._found(request)[0]
        except Refusal as refusal:
            words = {404: "Not Found", 412: "Precondition Failed", 405: "Method Not Allowed", 304: "Not Modified"}
            raise Refusal(refusal.status, str(refusal.status), words[refusal.status]) from refusal

    def DeleteObject(self, request: Request) -> dict[str, Any]:
        bucket, key = self._bucket(request), request["Key"]
        versions = bucket.versions.get(key, [])
        if "VersionId" in request:
            gone = next((each for each in versions if each.id == request["VersionId"]), None)
            if gone is None:
                return {"VersionId": request["VersionId"]}
            versions.remove(gone)
            if not versions:
                self._forget(bucket, key)
            self._will_expire(bucket, key)
            self._notify(bucket, key, gone, "ObjectRemoved:Delete")
            return {"VersionId": gone.id, **({"DeleteMarker": True} if gone.body is None else {})}
        if bucket.description.versioned:
            marker = self._add(bucket, key, None, "", {})
            self._notify(bucket, key, marker, "ObjectRemoved:DeleteMarkerCreated")
            return {"DeleteMarker": True, "VersionId": marker.id}
        if versions:
            self._forget(bucket, key)
            self._notify(bucket, key, versions[-1], "ObjectRemoved:Delete")
        return {}

    def DeleteObjects(self, request: Request, left: frozenset[int] = frozenset()) -> dict[str, Any]:
        done, failed = [], []
        for place, each in enumerate(request["Delete"]["Objects"]):
            if place in left:
                failed.append({"Key": each["Key"], "Code": "SlowDown", "Message": "Please reduce your request rate."})
            else:
                answer = self.DeleteObject({"Bucket": request["Bucket"], **each})
                marker = {"DeleteMarkerVersionId": answer["VersionId"]} if "DeleteMarker" in answer else {}
                done.append({"Key": each["Key"], **marker, **({"DeleteMarker": True} if marker else {})})
        return {**({"Deleted": done} if done else {}), **({"Errors": failed} if failed else {})}

    def ListObjectsV2(self, request: Request) -> dict[str, Any]:
        if "Delimiter" in request:
            raise TypeError("Delimiter is not simulated")
        bucket, prefix = self._bucket(request), request.get("Prefix", "")
        after = request.get("ContinuationToken", request.get("StartAfter", ""))
        most = min(MOST_KEYS, int(request.get("MaxKeys", MOST_KEYS)))
        found: list[dict[str, Any]] = []
        truncated = False
        for key in bucket.keys[bisect_right(bucket.keys, after) if after else 0 :]:
            version = bucket.latest(key)
            if version is None or version.body is None or not key.startswith(prefix):
                continue
            if len(found) == most:
                truncated = most > 0
                break
            found.append(
                {
                    "Key": key,
                    "LastModified": _moment(version.at_us),
                    "ETag": f'"{version.etag}"',
                    "Size": len(version.body),
                    "StorageClass": "STANDARD",
                }
            )
        answer = {
            "IsTruncated": truncated,
            **({"Contents": found} if found else {}),
            "Name": bucket.description.name,
            "Prefix": prefix,
            "MaxKeys": most,
            "KeyCount": len(found),
        }
        return answer | ({"NextContinuationToken": found[-1]["Key"]} if truncated else {})

    # --- within ---

    def _bucket(self, request: Request) -> Bucket:
        bucket = self.buckets.get(request["Bucket"])
        if bucket is None:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=request["Bucket"])
        return self._as_it_is(bucket)

    def _version(self, bucket: Bucket, key: str, version_id: str | None) -> Version:
        versions = bucket.versions.get(key, [])
        if version_id is None:
            latest = bucket.latest(key)
            if latest is None:
                raise _no_key(key)
            return latest
        found = next((each for each in versions if each.id == version_id), None)
        if found is None:
            raise Refusal(404, "NoSuchVersion", "The specified version does not exist.", Key=key, VersionId=version_id)
        if found.body is None:
            raise Refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        return found

    def _found(self, request: Request) -> tuple[dict[str, Any], bytes]:
        bucket = self._bucket(request)
        version = self._version(bucket, request["Key"], request.get("VersionId"))
        if "IfMatch" in request and request["IfMatch"].strip('"') not in ("*", version.etag):
            raise _precondition("If-Match")
        if "IfNoneMatch" in request and request["IfNoneMatch"].strip('"') in ("*", version.etag):
            raise Refusal(304, "304", "Not Modified")
        body = version.body or b""
        answer = {
            "AcceptRanges": "bytes",
            "LastModified": _moment(version.at_us),
            "ContentLength": len(body),
            "ETag": f'"{version.etag}"',
            "ContentType": version.kind,
            "Metadata": dict(version.metadata),
            **_version_id(bucket, version),
        }
        return answer, body

    def _add(self, bucket: Bucket, key: str, body: bytes | None, kind: str, metadata: Mapping[str, str]) -> Version:
        self._number += 1
        count = bucket.writes[key] = bucket.writes.get(key, 0) + 1
        fate = f"{self._seed}/{bucket.description.name}/{key}/{count}"
        version_id = uuid_of(fate).replace("-", "") if bucket.description.versioned else "null"
        etag = hashlib.md5(body).hexdigest() if body is not None else ""
        version = Version(version_id, body, etag, self._kernel.now_us, kind, fate, metadata)
        versions = bucket.versions.get(key)
        if versions is None:
            bucket.versions[key] = [version]
            insort(bucket.keys, key)
        elif bucket.description.versioned:
            versions.append(version)
        else:
            versions[:] = [version]
        self._will_expire(bucket, key)
        return version

    def _forget(self, bucket: Bucket, key: str) -> None:
        del bucket.versions[key]
        bucket.keys.remove(key)

    # --- lifecycle ---

    def _as_it_is(self, bucket: Bucket) -> Bucket:
        """The bucket without what has expired by now: nobody sees a moment between."""
        while bucket.due and bucket.due[0][0] <= self._kernel.now_us:
            at_us, key = heapq.heappop(bucket.due)
            if self._next_expiry(bucket, key) == at_us:
                self._expire(bucket, key, at_us)
                self._will_expire(bucket, key)
        return bucket

    def _will_expire(self, bucket: Bucket, key: str) -> None:
        at_us = self._next_expiry(bucket, key)
        if at_us is not None:
            heapq.heappush(bucket.due, (at_us, key))

    def _next_expiry(self, bucket: Bucket, key: str) -> int | None:
        """When something of a key expires next."""
        return min((at_us for at_us, _ in self._expiries(bucket, key)), default=None)

    def _expire(self, bucket: Bucket, key: str, at_us: int) -> None:
        versions, last = bucket.versions[key], bucket.versions[key][-1]
        gone = [version for due_us, version in self._expiries(bucket, key) if due_us <= at_us]
        if last in gone and last.body is not None and bucket.description.versioned:
            gone.remove(last)
            versions.append(Version(uuid_of(f"{last.fate}/gone"), None, "", at_us, "", f"{last.fate}/gone"))
        versions[:] = [version for version in versions if version not in gone]
        if not versions:
            self._forget(bucket, key)

    def _expiries(self, bucket: Bucket, key: str) -> Iterator[tuple[int, Version]]:
        """When which version of a key expires."""
        versions = bucket.versions.get(key, [])
        for rule in bucket.description.lifecycle:
            if not key.startswith(rule.prefix):
                continue
            if rule.noncurrent_days is not None:
                for version, later in pairwise(versions):
                    yield _expiry(version, later.at_us, rule.noncurrent_days), version
            if rule.days is not None and versions and (versions[-1].body is not None or len(versions) == 1):
                yield _expiry(versions[-1], versions[-1].at_us, rule.days), versions[-1]

    # --- notifications ---

    def _notify(self, bucket: Bucket, key: str, version: Version, name: str) -> None:
        for each in bucket.description.notifications:
            if _is_wanted(each, key, name):
                payload = self._message(bucket, key, version, name, each)
                doubled = self._start(each, bucket, key, payload, f"{version.fate}/{name}/{each.id}")
                if doubled < self._chances.doubled:
                    self._start(each, bucket, key, payload, f"{version.fate}/{name}/{each.id}/again")

    def _start(self, to: Notification, bucket: Bucket, key: str, payload: bytes, fate: str) -> float:
        """Send after a latency; returns a draw that is still free."""
        late, when, doubled, _ = fractions(fate)
        first, last = self._chances.late_us if late < self._chances.late else _USUAL_US
        self.notifying += 1
        self._send_later(to, bucket.description.name, key, payload, first + int((last - first) * when))
        return doubled

    def _send_later(self, to: Notification, bucket: str, key: str, payload: bytes, wait_us: int) -> None:
        self._kernel.at(wait_us, lambda: self._send(to, bucket, key, payload))

    def _send(self, to: Notification, bucket: str, key: str, payload: bytes) -> None:
        """Invoke the function; S3 tries again where it cannot."""
        request = {"FunctionName": to.function_arn, "InvocationType": "Event", "Payload": payload}
        try:
            self._call("lambda", "Invoke", request)
        except Refusal as refusal:
            self._told("not notified", bucket, key, refusal.code)
            self._send_later(to, bucket, key, payload, _NOTIFY_AGAIN_US)
        else:
            self.notifying -= 1
            self._told("notified", bucket, key)

    def _message(self, bucket: Bucket, key: str, version: Version, name: str, to: Notification) -> bytes:
        """S3 user guide, "Event message structure"."""
        entity: dict[str, Any] = {"key": quote_plus(key, safe="/")}
        if version.body is not None:
            entity |= {"size": len(version.body), "eTag": version.etag}
        if bucket.description.versioned:
            entity["versionId"] = version.id
        entity["sequencer"] = f"{version.at_us:016X}{self._number:08X}"
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self._region,
            "eventTime": datetime.fromtimestamp(version.at_us // 1_000 / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{version.at_us // 1_000 % 1_000:03d}Z",
            "eventName": name,
            "userIdentity": {"principalId": "AWS:AIDAINPONIXQXHT3IKHL2"},
            "requestParameters": {"sourceIPAddress": "205.255.255.255"},
            "responseElements": {"x-amz-request-id": uuid_of(version.fate)[:18], "x-amz-id-2": "x"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": to.id,
                "bucket": {
                    "name": bucket.description.name,
                    "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                    "arn": bucket.description.arn,
                },
                "object": entity,
            },
        }
        return json.dumps({"Records": [record]}, separators=(",", ":")).encode()


def _expiry(version: Version, since_us: int, days: int) -> int:
    midnight_us = -(-(since_us + days * _DAY_US) // _DAY_US) * _DAY_US
    return midnight_us + int(_DAY_US * fractions(f"{version.fate}/expiry")[0])


def _is_wanted(to: Notification, key: str, name: str) -> bool:
    if not key.startswith(to.prefix) or not key.endswith(to.suffix):
        return False
    return any(fnmatchcase(f"s3:{name}", each) for each in to.events)


def _version_id(bucket: Bucket, version: Version) -> dict[str, str]:
    return {"VersionId": version.id} if bucket.description.versioned else {}


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // MICROSECONDS, UTC)


def _no_key(key: str) -> Refusal:
    return Refusal(404, "NoSuchKey", "The specified key does not exist.", Key=key)


def _precondition(condition: str) -> Refusal:
    reason = "At least one of the pre-conditions you specified did not hold"
    return Refusal(412, "PreconditionFailed", reason, Condition=condition)
