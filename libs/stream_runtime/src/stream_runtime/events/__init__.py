"""Sources: the records of an invocation as units of work, one file for each service that delivers them."""

from typing import TYPE_CHECKING

from stream_runtime.lazy import lazily

if TYPE_CHECKING:
    from .dynamodb import from_dynamodb, to_dynamodb_records
    from .kinesis import from_kinesis, to_kinesis_records
    from .s3 import from_s3, to_s3_records

__all__ = [
    "from_dynamodb",
    "from_kinesis",
    "from_s3",
    "to_dynamodb_records",
    "to_kinesis_records",
    "to_s3_records",
]

lazily(
    __name__,
    {
        "from_dynamodb": "dynamodb",
        "to_dynamodb_records": "dynamodb",
        "from_kinesis": "kinesis",
        "to_kinesis_records": "kinesis",
        "from_s3": "s3",
        "to_s3_records": "s3",
    },
)
