"""The keys of KMS that resources of a template are encrypted with, and what a role needs of them.

Each service's guide says what its callers need of a key, in the chapter on encryption at rest. Keys of AWS need
nothing, and a bus uses its key itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import pydash

from .symbols import fields_of
from .template import Template

_BUCKETS = "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.KMSMasterKeyID"
_PLACES = {
    "AWS::DynamoDB::Table": "SSESpecification.KMSMasterKeyId",
    "AWS::Kinesis::Stream": "StreamEncryption.KeyId",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamEncryptionConfigurationInput.KeyARN",
    "AWS::S3::Bucket": _BUCKETS,
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
}
"""Where the properties of a type name the key."""

_DECRYPT, _MAKE = "kms:Decrypt", "kms:GenerateDataKey"
_TAKES = (
    ("dynamodb:", (_DECRYPT,)),
    ("kinesis:PutRecord", (_MAKE,)),
    ("kinesis:", (_DECRYPT,)),
    ("s3:GetObject", (_DECRYPT,)),
    ("sqs:ReceiveMessage", (_DECRYPT,)),
    ("firehose:PutRecord", (_DECRYPT, _MAKE)),
    ("s3:PutObject", (_DECRYPT, _MAKE)),
    ("sns:Publish", (_DECRYPT, _MAKE)),
    ("sqs:SendMessage", (_DECRYPT, _MAKE)),
)
"""What actions that begin like this need of the key."""

_OF_AWS = "alias/aws/"


def uses_of_key(template: Template, action: str, resource: str) -> Iterator[tuple[str, str]]:
    """Each action on a key that an action on a resource takes, with the key as the template names it."""
    key = _key_of(template, resource)
    if key is not None:
        takes = next((uses for begins, uses in _TAKES if action.startswith(begins)), ())
        yield from ((use, key) for use in takes)


def is_arn_of_key(key: str) -> bool:
    """Whether a text is the ARN of a key: one of an alias, and an id, are not what policies name."""
    fields = fields_of(key)
    return fields is not None and fields[5].startswith("key/")


def _key_of(template: Template, resource: str) -> str | None:
    """The user's own key that a resource of the template is encrypted with."""
    for logical_id, given in template.resources.items():
        place = _PLACES.get(str(given.get("Type")))
        named = pydash.get(given, f"Properties.{place}") if place else None
        arn = template.resolver.arn_of(logical_id) if named is not None else None
        if arn is not None and (resource == arn or resource.startswith(f"{arn}/")):
            key = template.resolver.text(named)
            return None if _OF_AWS in key else key
    return None
