"""The engine's ports on an endpoint: the public AWS APIs over HTTP.

Streams are read and functions invoked with signed requests of the JSON protocols instead of boto3's clients: functions
receive the responses as JSON anyway, and a poll takes a fraction of the CPU time. Rare calls go through boto3.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stream_cli.mappings.failures import object_key
from stream_cli.mappings.outcomes import Invocation
from stream_cli.mappings.ports import (
    Arrivals,
    AwsApi,
    EndpointUnavailable,
    NotAllowed,
    NotFound,
    Page,
    PositionLost,
    Refused,
    Shard,
    StartAt,
)
from stream_cli.mappings.records import to_json
from stream_cli.mappings.role_keys import Keys, RoleKeys, RoleRefused
from stream_cli.mappings.settings import MappingSettings, Source

_CONNECT_TIMEOUT = 3.0
_READ_TIMEOUT = 10.0
_INVOKE_TIMEOUT = 930.0
"""Seconds: the longest that a function may run (900), and time to start it."""

_ARRIVALS_PATH = "/_streamctl/arrivals"
_ARRIVALS_TIMEOUT = 30.0
"""Seconds: the emulator answers after 20."""

_TARGETS = {"kinesis": "Kinesis_20131202", "dynamodb": "DynamoDBStreams_20120810"}
_CONTENT_TYPES = {"kinesis": "application/x-amz-json-1.1", "dynamodb": "application/x-amz-json-1.0"}

_BUSY = {
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "KMSThrottlingException",
}
_NOT_ALLOWED = frozenset(
    {"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "UnrecognizedClientException"}
)
_LOST = {"ExpiredIteratorException": False, "TrimmedDataAccessException": True}


DEFAULT_REGION = "us-east-1"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def session_for(url: str) -> boto3.Session:
    """A session with the credentials and region that boto3 finds; an emulator on loopback needs none."""
    session = boto3.Session()
    if session.get_credentials() is None and urlsplit(url).hostname in _LOOPBACK:
        return boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=session.region_name or DEFAULT_REGION
        )
    return session


class AwsEndpoint:
    """The AWS APIs at `url`, for the engine, with the credentials and the region of a session. Thread-safe."""

    def __init__(self, url: str, session: boto3.Session | None = None, *, connections: int = 64) -> None:
        self.url = url.rstrip("/")
        self._host = urlsplit(self.url).netloc
        self._session = session or session_for(self.url)
        self._region = self._session.region_name or DEFAULT_REGION
        self._credentials = self._session.get_credentials()
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=connections, block=False, retries=False)
        self._clients: dict[str, Any] = {}
        self._may_announce = urlsplit(self.url).hostname in _LOOPBACK
        self._lock = threading.Lock()
        self._roles = RoleKeys(self._get) if self._may_announce else None

    def with_keys(self, keys: Keys) -> AwsEndpoint:
        """The same endpoint, called with other keys over the same connections."""
        session = boto3.Session(keys.access_key, keys.secret_key, keys.token, self._region)
        other = AwsEndpoint(self.url, session)
        other._pool = self._pool
        return other

    # --- mappings and functions ---

    def mappings(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        marker = ""
        while True:
            path = "/2015-03-31/event-source-mappings/?MaxItems=100" + (f"&Marker={quote(marker)}" if marker else "")
            status, _, body = self._request("GET", "lambda", self._region, path, b"", {}, _READ_TIMEOUT)
            answer = self._decoded(status, body)
            listed.extend(answer.get("EventSourceMappings", []))
            marker = answer.get("NextMarker") or ""
            if not marker:
                return listed

    def role_of(self, function_arn: str) -> str:
        with _errors_of_ports():
            answer = self._client("lambda").get_function_configuration(FunctionName=function_arn)
        return str(answer.get("Role", ""))

    def in_role(self, role_arn: str, function_arn: str) -> AwsApi:
        return self if self._roles is None else InRole(self, self._roles, role_arn, function_arn)

    def invoke(self, function_arn: str, event: bytes, *, with_log: bool = False) -> Invocation:
        path = f"/2015-03-31/functions/{quote(function_arn, safe='')}/invocations"
        headers = {"X-Amz-Invocation-Type": "RequestResponse", "Content-Type": "application/json"}
        headers |= {"X-Amz-Log-Type": "Tail"} if with_log else {}
        region = function_arn.split(":")[3] if function_arn.startswith("arn:") else self._region
        status, answered, body = self._request("POST", "lambda", region, path, event, headers, _INVOKE_TIMEOUT)
        request_id = answered.get("x-amzn-requestid", "")
        if status == 429:
            return Invocation(payload=body, request_id=request_id, throttled=True)
        if status in {404, 409}:
            raise NotFound(f"{_message(body)}")
        if status >= 500:
            raise EndpointUnavailable(f"Invoke answered {status}: {_message(body)}")
        if status >= 400:
            return Invocation(payload=body, function_error="Unhandled", request_id=request_id)
        return Invocation(
            payload=body,
            function_error=answered.get("x-amz-function-error") or None,
            request_id=request_id,
            executed_version=answered.get("x-amz-executed-version", "$LATEST"),
            log=base64.b64decode(answered.get("x-amz-log-result", "")).decode(errors="replace"),
        )

    # --- streams ---

    def shards(self, source: Source) -> list[Shard]:
        """All shards of a stream, from ListShards (Kinesis) or DescribeStream (DynamoDB)."""
        return [
            Shard(
                id=shard["ShardId"],
                parents=tuple(shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)),
                starting_sequence_number=shard.get("SequenceNumberRange", {}).get("StartingSequenceNumber", ""),
                closed=bool(shard.get("SequenceNumberRange", {}).get("EndingSequenceNumber")),
            )
            for shard in self._listed_shards(source)
        ]

    def _listed_shards(self, source: Source) -> Iterator[dict[str, Any]]:
        if source.kind != "kinesis":
            yield from self._described_shards(source, {"StreamArn": source.stream_arn})
            return
        request: dict[str, Any] = {"StreamARN": source.stream_arn}
        while request:
            try:
                page = self._stream_call(source, "ListShards", request)
            except NotAllowed:
                if "NextToken" in request:
                    raise
                yield from self._described_shards(source, request)  # which is enough for Lambda, too
                return
            yield from page.get("Shards", [])
            request = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}

    def _described_shards(self, source: Source, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            page = self._stream_call(source, "DescribeStream", request)["StreamDescription"]
            shards = page.get("Shards", [])
            yield from shards
            last = page.get("LastEvaluatedShardId") or (shards[-1]["ShardId"] if page.get("HasMoreShards") else None)
            if not last:
                return
            request = {**request, "ExclusiveStartShardId": last}

    def iterator(self, source: Source, shard_id: str, start: StartAt) -> str:
        kinesis = source.kind == "kinesis"
        request: dict[str, Any] = {"ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
        request["StreamARN" if kinesis else "StreamArn"] = source.stream_arn
        if start.after is not None:
            request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            request["StartingSequenceNumber" if kinesis else "SequenceNumber"] = start.after
        elif start.timestamp is not None and kinesis:
            request["ShardIteratorType"] = "AT_TIMESTAMP"
            request["Timestamp"] = start.timestamp
        return str(self._stream_call(source, "GetShardIterator", request)["ShardIterator"])

    def records(self, source: Source, iterator: str, limit: int) -> Page:
        """Read a page.

        The stream of an enhanced fan-out consumer is read this way too, not through SubscribeToShard: what a consumer
        changes on AWS is throughput and latency, not the records or their order, and the emulator's subscription looks
        for records no more often than this engine does.
        """
        limit = min(limit, 10_000 if source.kind == "kinesis" else 1_000)
        answer = self._stream_call(source, "GetRecords", {"ShardIterator": iterator, "Limit": limit})
        records = answer.get("Records")
        if not isinstance(records, list):
            raise EndpointUnavailable("GetRecords answered without Records")
        return Page(records, answer.get("NextShardIterator") or None, answer.get("MillisBehindLatest"))

    def arrivals(self, after: int) -> Arrivals | None:
        """Wait for records, where the endpoint is the local cloud's emulator."""
        if not self._may_announce:
            return None
        path = f"{_ARRIVALS_PATH}?after={after}"
        status, _, body = self._request("GET", "kinesis", self._region, path, b"", {}, _ARRIVALS_TIMEOUT)
        try:
            answer = json.loads(body) if status == 200 else {}
            return Arrivals(int(answer["count"]), frozenset(answer["streams"]), frozenset(answer["functions"]))
        except (ValueError, TypeError, KeyError):
            self._may_announce = False
            return None

    def _stream_call(self, source: Source, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        headers = {
            "X-Amz-Target": f"{_TARGETS[source.kind]}.{action}",
            "Content-Type": _CONTENT_TYPES[source.kind],
        }
        status, _, body = self._request(
            "POST", source.kind, source.region, "/", to_json(request), headers, _READ_TIMEOUT
        )
        return self._decoded(status, body)

    # --- destinations ---

    def send_on_failure(
        self, settings: MappingSettings, shard_id: str, record: Mapping[str, Any], event: bytes, now: float
    ) -> None:
        """Send to the SQS queue or SNS topic, or write to the S3 bucket, that the mapping names."""
        arn = settings.destination_arn or ""
        service, _, resource = arn.partition(":")[2].partition(":")[2].partition(":")
        name = resource.rpartition(":")[2]
        body = json.dumps(record)
        with _errors_of_ports():
            if service == "sqs":
                # The URL is not asked for: a role need not allow that.
                url = f"{self.url}/{arn.split(':')[4]}/{name}"
                self._client("sqs", arn.split(":")[3]).send_message(QueueUrl=url, MessageBody=body)
            elif service == "sns":
                self._client("sns", arn.split(":")[3]).publish(TopicArn=arn, Message=body)
            elif service == "s3":
                self._client("s3").put_object(
                    Bucket=name,
                    Key=object_key(settings.uuid, shard_id, now),
                    Body=json.dumps({**record, "payload": event.decode("utf-8", "replace")}).encode(),
                    ContentType="application/json",
                )
            else:
                raise Refused(f"{arn} is not an SQS queue, SNS topic or S3 bucket")

    # --- requests ---

    def _client(self, service: str, region: str = "") -> Any:
        name = f"{service}/{region or self._region}"
        with self._lock:
            if name not in self._clients:
                self._clients[name] = self._session.client(  # type: ignore[call-overload, unused-ignore]
                    service,
                    endpoint_url=self.url,
                    region_name=region or self._region,
                    config=Config(
                        connect_timeout=_CONNECT_TIMEOUT,
                        read_timeout=_READ_TIMEOUT,
                        retries={"total_max_attempts": 1, "mode": "standard"},
                        s3={"addressing_style": "path"},
                        proxies={},
                    ),
                )
            return self._clients[name]

    def _get(self, path: str) -> tuple[int, bytes]:
        status, _, body = self._request("GET", "sts", self._region, path, b"", {}, _READ_TIMEOUT)
        return status, body

    def _request(
        self, method: str, service: str, region: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        request = AWSRequest(method=method, url=self.url + path, data=body, headers={**headers, "Host": self._host})
        if self._credentials is not None:
            SigV4Auth(self._credentials.get_frozen_credentials(), service, region).add_auth(request)
        try:
            response = self._pool.urlopen(
                method,
                self.url + path,
                body=body,
                headers=dict(request.headers.items()),
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=timeout),
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise EndpointUnavailable(_reason(error), connected=False) from error
        return response.status, response.headers, response.data

    @staticmethod
    def _decoded(status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body) if body else {}
        except ValueError as error:
            raise EndpointUnavailable(f"answered {status} with what is not JSON") from error
        if not isinstance(answer, dict):
            raise EndpointUnavailable(f"answered {status} with no JSON object")
        if status < 300:
            return answer
        code = str(answer.get("__type") or answer.get("Type") or answer.get("code") or "").rpartition("#")[2]
        message = f"{code}: {_message(body)}"
        if status >= 500 or status == 429 or code in _BUSY:
            raise EndpointUnavailable(f"answered {status} {message}")
        if code in _NOT_ALLOWED:
            raise NotAllowed(message)
        if code in _LOST:
            raise PositionLost(message, trimmed=_LOST[code])
        if code == "ResourceNotFoundException" or status == 404:
            raise NotFound(message)
        raise Refused(message)


class InRole:
    """The APIs at an endpoint as Lambda calls them for a function: what the function's role may not do is refused.

    Without enforcement, the calls are those of the endpoint itself.
    """

    def __init__(self, endpoint: AwsEndpoint, roles: RoleKeys, role_arn: str, function_arn: str) -> None:
        self._endpoint = endpoint
        self._roles = roles
        self._role_arn = role_arn
        self._function_arn = function_arn
        self._acting: dict[Keys, AwsEndpoint] = {}
        self._may_have_changed = False
        self.mappings, self.arrivals, self.invoke = endpoint.mappings, endpoint.arrivals, endpoint.invoke

    def role_of(self, function_arn: str) -> str:
        return self._endpoint.role_of(function_arn)

    def in_role(self, role_arn: str, function_arn: str) -> AwsApi:
        return self._endpoint.in_role(role_arn, function_arn)

    def shards(self, source: Source) -> list[Shard]:
        if self._may_have_changed:
            self._role_arn = self._endpoint.role_of(self._function_arn)
            self._may_have_changed = False
        with self._as_function() as endpoint:
            return endpoint.shards(source)

    def iterator(self, source: Source, shard_id: str, start: StartAt) -> str:
        with self._as_function() as endpoint:
            return endpoint.iterator(source, shard_id, start)

    def records(self, source: Source, iterator: str, limit: int) -> Page:
        with self._as_function() as endpoint:
            return endpoint.records(source, iterator, limit)

    def send_on_failure(
        self, settings: MappingSettings, shard_id: str, record: Mapping[str, Any], event: bytes, now: float
    ) -> None:
        with self._as_function() as endpoint:
            endpoint.send_on_failure(settings, shard_id, record, event, now)

    @contextmanager
    def _as_function(self) -> Iterator[AwsEndpoint]:
        name = self._function_arn.rpartition(":function:")[2].partition(":")[0]
        try:
            keys = self._roles.of(self._role_arn, "lambda.amazonaws.com", name, self._function_arn)
        except RoleRefused as problem:
            self._may_have_changed = True
            raise NotAllowed(str(problem)) from problem
        try:
            yield self._endpoint if keys is None else self._with(keys)
        except NotAllowed:
            self._may_have_changed = True  # the role, and its keys
            self._roles.forget()
            raise

    def _with(self, keys: Keys) -> AwsEndpoint:
        if keys not in self._acting:
            self._acting = {keys: self._endpoint.with_keys(keys)}
        return self._acting[keys]


@contextmanager
def _errors_of_ports() -> Iterator[None]:
    """Raise botocore's errors as those of `ports`."""
    try:
        yield
    except ClientError as error:
        raise _translated(error) from error
    except BotoCoreError as error:
        raise EndpointUnavailable(str(error)) from error


def _translated(error: ClientError) -> Exception:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code", "")
    if status >= 500 or status == 429 or code in _BUSY:
        return EndpointUnavailable(str(error))
    if status == 404 or "NonExistent" in code or "NotFound" in code or code == "NoSuchBucket":
        return NotFound(str(error))
    return Refused(str(error))


def _message(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace")
    if isinstance(answer, dict):
        return str(answer.get("message") or answer.get("Message") or answer)[:300]
    return str(answer)[:300]


def _reason(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection"
    return f"{type(error).__name__}: {str(error)[:200]}"
