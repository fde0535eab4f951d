"""Events that Firehose stored in S3: listed by hour, read line by line, selected by type, source and time."""
