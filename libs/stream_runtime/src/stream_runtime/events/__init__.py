"""Sources: turn the records of an invocation into units of work; one file for each AWS service."""

from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .dynamodb import from_dynamodb, to_dynamodb_records
    from .eventbridge import from_eventbridge, from_schedule, to_eventbridge_event, to_schedule_event
    from .firehose import from_firehose, to_firehose_records
    from .kinesis import from_kinesis, to_kinesis_records
    from .record_types import (
        DynamodbRecord,
        EventbridgeRecord,
        FirehoseRecord,
        KinesisRecord,
        S3Record,
        SnsRecord,
        SqsRecord,
        UnitOfWork,
    )
    from .s3 import from_s3, to_s3_records
    from .sns import from_sns, to_sns_records
    from .sqs import from_sqs, to_sqs_records
    from .triggers import from_event

__all__ = [
    "DynamodbRecord",
    "EventbridgeRecord",
    "FirehoseRecord",
    "KinesisRecord",
    "S3Record",
    "SnsRecord",
    "SqsRecord",
    "UnitOfWork",
    "from_dynamodb",
    "from_event",
    "from_eventbridge",
    "from_firehose",
    "from_kinesis",
    "from_s3",
    "from_schedule",
    "from_sns",
    "from_sqs",
    "to_dynamodb_records",
    "to_eventbridge_event",
    "to_firehose_records",
    "to_kinesis_records",
    "to_s3_records",
    "to_schedule_event",
    "to_sns_records",
    "to_sqs_records",
]

lazily(
    __name__,
    {
        "from_dynamodb": "dynamodb",
        "to_dynamodb_records": "dynamodb",
        "from_event": "triggers",
        "from_eventbridge": "eventbridge",
        "from_schedule": "eventbridge",
        "to_eventbridge_event": "eventbridge",
        "to_schedule_event": "eventbridge",
        "from_firehose": "firehose",
        "to_firehose_records": "firehose",
        "from_kinesis": "kinesis",
        "to_kinesis_records": "kinesis",
        "from_s3": "s3",
        "to_s3_records": "s3",
        "from_sns": "sns",
        "to_sns_records": "sns",
        "from_sqs": "sqs",
        "to_sqs_records": "sqs",
        "DynamodbRecord": "record_types",
        "EventbridgeRecord": "record_types",
        "FirehoseRecord": "record_types",
        "KinesisRecord": "record_types",
        "S3Record": "record_types",
        "SnsRecord": "record_types",
        "SqsRecord": "record_types",
        "UnitOfWork": "record_types",
    }.get,
)
