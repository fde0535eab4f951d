"""What batch calls take, in one table: entries and bytes of a request, and where the figures come from."""

from __future__ import annotations

from stream_runtime.engine.batching import Limits

MEBIBYTE = 1024 * 1024

PUT_EVENTS = Limits(entries=10, bytes=MEBIBYTE)
"""EventBridge API reference, "PutEvents"; user guide, "PutEvents event entry size": 1 MB, of all entries together."""

SEND_MESSAGE_BATCH = Limits(entries=10, bytes=MEBIBYTE)
"""SQS API reference, "SendMessageBatch": 10 entries; 1 MiB, for one message and for all together."""

PUBLISH_BATCH = Limits(entries=10, bytes=MEBIBYTE, usual_bytes=256 * 1024)
"""SNS API reference, "PublishBatch": 10 entries; 256 KiB together, or the topic's MaximumMessageSize, at most 1 MiB."""

PUT_RECORDS = Limits(entries=500, bytes=10 * MEBIBYTE)
"""Kinesis Data Streams API reference, "PutRecords": 500 records; 10 MiB with partition keys, for one and for all."""

PUT_RECORD_BATCH = Limits(entries=500, bytes=4 * MEBIBYTE)
"""Data Firehose API reference, "PutRecordBatch": 500 records, 4 MiB; a record has at most 1,000 KiB."""

BATCH_WRITE_ITEM = Limits(entries=25, bytes=16 * MEBIBYTE)
"""DynamoDB API reference, "BatchWriteItem": 25 puts, 16 MB; an item has at most 400 KB."""

BULK = Limits(entries=1000, bytes=100 * MEBIBYTE, usual_bytes=10 * MEBIBYTE)
"""OpenSearch Service developer guide, "Network limits": 10 MiB for the smaller instance types, else 100 MiB. The number
of writes is our choice."""
