"""The services of a simulated AWS, one file each. They agree on this:

- A class has a method for each operation, with the API's name: ``PutItem(request) -> response``. Requests and responses
  have the shape of boto3's client, without ResponseMetadata. What a request holds belongs to the service from then on,
  and what a response holds is the service's: nobody changes either in place.
- An operation is one moment: it neither waits nor fails by chance. It raises `Refusal` where AWS answers with an error.
  A parameter that is not simulated is a TypeError and no answer of AWS.
- Batch operations take ``left: frozenset[int] = frozenset()``: the places of the entries that are refused for now, and
  answer so for those. Places count through the request as it is written, over all of its tables.
- Whatever the service decides by chance, and does later, follows from the seed and from its own past alone; later means
  ``kernel.at(delay_us, act)``.
- Times are microseconds of the kernel; in answers they are what the API has.

`dynamodb.DynamoDB(kernel, seed, tables: Iterable[TableDescription])` has, beside its operations (GetItem, PutItem,
UpdateItem, DeleteItem, Query, Scan, BatchGetItem, BatchWriteItem, TransactGetItems, TransactWriteItems),

- ``items(table_name) -> list[item]``: what is in a table now, in the order of its keys, for promises;
- ``streams: Mapping[str, Stream]`` by ARN, of tables that have one (``TableDescription.stream_arn``).

``TableDescription.of(name, properties)`` makes a description of the resolved properties of an AWS::DynamoDB::Table.

A `dynamodb.Stream` is read in this way:

- ``on_change: list[Callable[[str], None]]``: each is called with the id of a shard that has got a record, has been
  closed, or is new. It is called in the midst of a write, so all it may do is ``kernel.at(...)``.
- ``shards() -> tuple[Shard, ...]``: in the order in which they began; ``Shard.id``, ``.parent`` (an id or None),
  ``.first`` and ``.last`` (sequence numbers; last is None while it is open). A shard goes 24 hours after its last
  record, as its records do; a parent that is not listed has gone.
- ``read(shard_id, after=None, limit=1000) -> Page(records, closed)``: the records behind a sequence number (None: from
  the oldest that is there), oldest first. ``closed``: the shard is closed, and there is no record behind these.
- ``latest(shard_id) -> str``: the sequence number behind which a reader that starts now begins (LATEST).

Sequence numbers of a stream are decimal texts of equal length, which grow over all of its shards. Records have the
shape of GetRecords in JSON: eventID, eventName, eventVersion, eventSource, awsRegion, dynamodb
{ApproximateCreationDateTime (s), Keys, NewImage, OldImage, SequenceNumber, SizeBytes, StreamViewType} and, of TTL,
userIdentity {PrincipalId, Type}. Images are the items themselves; binary values are base64 in them.

The other services take ``(kernel, seed, descriptions, ...)`` with the descriptions of `topology.Deployment`. What they
share:

- ``call(service, operation, request) -> response`` is how one calls another, in its own moment and without a task:
  ``("kinesis", "PutRecord", {...})``. It raises `Refusal`; what then is up to the caller: it tries again, has a
  dead-letter queue, or loses.
- ``metrics(namespace, name, dimensions, value)`` takes a value for CloudWatch (`cloudwatch.CloudWatch.add`), and
  ``gauge(namespace, name, dimensions)`` gives what takes a value that holds until it changes.
- ``told(what, *names)`` takes what happens, for stories.
- ``deploy(descriptions)`` (rules, schedules, alarms) is another deployment.

`kinesis.Kinesis.streams` has a stream by its name, which is read as one of DynamoDB is; a merged shard has two
``parents``, and ``Data`` is base64. For promises:

- `EventBridge.taken`, ``.is_busy``, ``.lost``, ``.archived(name)``; `Firehose.streams[name].is_busy`, ``.lost``;
- `S3.objects(bucket, prefix)`, ``.notifying``; `Sns.topics[arn].messages`; `Sqs.messages(name)`;
- `Scheduler.calling`, ``.lost``, and ``.stop()``, as schedules go on for ever;
- `CloudWatch.in_alarm()`, ``.history``, ``.total(...)``, and ``.put_embedded(line)`` for what functions log.
"""
