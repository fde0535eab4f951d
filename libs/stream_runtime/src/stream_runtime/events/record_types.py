"""The records of each source, for editors and type checkers: ``UnitOfWork[KinesisRecord]``.

Sources: Lambda developer guide, the example event of each service; DynamoDB Streams API reference, "StreamRecord".
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from stream_runtime.engine.records import UnitOfWork

__all__ = [
    "DynamodbRecord",
    "EventbridgeRecord",
    "FirehoseRecord",
    "KinesisRecord",
    "S3Record",
    "SnsRecord",
    "SqsRecord",
    "UnitOfWork",
]


class KinesisData(TypedDict):
    """The data is base64, the time in s."""

    sequenceNumber: str
    partitionKey: str
    data: str
    approximateArrivalTimestamp: float


class KinesisRecord(TypedDict):
    """A record of a Kinesis data stream."""

    eventID: str
    eventName: str
    eventSourceARN: str
    awsRegion: str
    kinesis: KinesisData


class DynamodbChange(TypedDict):
    """Images with typed values, ``{"pk": {"S": "1"}}``; the time is in s."""

    ApproximateCreationDateTime: float
    Keys: Mapping[str, Any]
    NewImage: NotRequired[Mapping[str, Any]]
    OldImage: NotRequired[Mapping[str, Any]]
    SequenceNumber: str


class DynamodbRecord(TypedDict):
    """A record of a DynamoDB stream."""

    eventID: str
    eventName: Literal["INSERT", "MODIFY", "REMOVE"]
    eventSourceARN: str
    awsRegion: str
    dynamodb: DynamodbChange
    userIdentity: NotRequired[Mapping[str, str]]


class SqsRecord(TypedDict):
    """A message of an SQS queue."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: Mapping[str, str]
    messageAttributes: Mapping[str, Any]
    eventSourceARN: str
    awsRegion: str


class SnsMessage(TypedDict):
    """The time is ISO 8601."""

    MessageId: str
    TopicArn: str
    Subject: str | None
    Message: str
    Timestamp: str
    MessageAttributes: Mapping[str, Any]


class SnsRecord(TypedDict):
    """A message of an SNS topic."""

    EventSubscriptionArn: str
    Sns: SnsMessage


class S3Record(TypedDict):
    """A record of an S3 notification; the key in ``s3`` is URL-encoded, that of the event is not."""

    eventName: str
    eventTime: str
    awsRegion: str
    s3: Mapping[str, Any]


EventbridgeRecord = TypedDict(
    "EventbridgeRecord",
    {
        "id": str,
        "detail-type": str,
        "source": str,
        "account": str,
        "time": str,
        "region": str,
        "resources": list[str],
        "detail": Any,
    },
)
"""An EventBridge event, or that of a schedule."""


class FirehoseRecord(TypedDict):
    """A record of a Firehose transformation; the data is base64, the time in ms."""

    recordId: str
    data: str
    approximateArrivalTimestamp: int
