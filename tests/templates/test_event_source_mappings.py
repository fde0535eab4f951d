"""Required properties of the event source mappings of every stream function, in every stage."""

import json

import pytest
from stream_cli.patterns import compile_pattern, parse_pattern

STREAM_READS = {
    "kinesis": ("kinesis:DescribeStream", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"),
    "dynamodb": ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
}
# Events for which each function is invoked, and events for which it must not be.
WANTED = {
    ("rest-bff-service", "listener"): (
        {"story-ready"},
        {"fault", "story-submitted", "story-analyzed", "something-else"},
    ),
    ("control-service", "listener"): (
        {"story-submitted", "story-analyzed", "story-ready"},
        {"fault", "something-else"},
    ),
}
REST = [("rest-bff-service", stage) for stage in ("local", "dev", "prod", "full")]
STREAM_FUNCTIONS = {
    "control-service": {("listener", "kinesis"), ("trigger", "dynamodb")},
    "rest-bff-service": {
        ("listener", "kinesis"),
        ("trigger", "dynamodb"),
        ("dashboard", "dynamodb"),
        ("outbox", "dynamodb"),
    },
}


def patterns(mapping):
    """The compiled filter patterns of a mapping."""
    filters = mapping.get("FilterCriteria", {}).get("Filters", [])
    return [compile_pattern(parse_pattern(each["Pattern"])) for each in filters]


def consumer(stack, mapping):
    """The properties of the enhanced fan-out consumer of a mapping; None if it has none."""
    source = mapping["EventSourceArn"]
    return stack.of_type("AWS::Kinesis::StreamConsumer").get(source["Ref"]) if "Ref" in source else None


def stream(stack, mapping):
    """The ARN of the stream that a mapping reads, directly or through a consumer."""
    through = consumer(stack, mapping)
    return stack.resolve(through["StreamARN"] if through else mapping["EventSourceArn"])


def kind(stack, mapping):
    """The service of the stream: kinesis or dynamodb."""
    return stream(stack, mapping).split(":")[2]


def test_every_stream_function_of_the_design_has_its_mapping(stack):
    found = {(stack.function_of(mapping), kind(stack, mapping)) for mapping in stack.mappings().values()}
    assert found >= STREAM_FUNCTIONS.get(stack.service, set())


def test_a_listener_has_its_own_consumer_if_the_stage_sets_one(stack):
    for mapping in stack.mappings("listener").values():
        through = consumer(stack, mapping)
        assert bool(through) == (stack.stage == "full")
        if through:
            # Functions of other services that read the same stream may have the same name (serviceSpecific).
            assert f"{stack.service}{stack.stage}" in through["ConsumerName"]


def test_only_the_failed_records_of_a_batch_are_retried(stack):
    types = {name: mapping.get("FunctionResponseTypes") for name, mapping in stack.mappings().items()}
    assert [name for name, each in types.items() if each != ["ReportBatchItemFailures"]] == []


def test_batch_size_and_window_are_chosen_for_every_mapping(stack):
    missing = [
        f"{name} lacks {setting}"
        for name, mapping in stack.mappings().items()
        for setting in ("BatchSize", "MaximumBatchingWindowInSeconds")
        if not isinstance(mapping.get(setting), int)
    ]
    assert missing == []


def test_retries_of_a_batch_are_limited(stack):
    limits = {name: mapping.get("MaximumRetryAttempts", -1) for name, mapping in stack.mappings().items()}
    assert [name for name, limit in limits.items() if not 0 < limit <= 10_000] == []


def test_a_failing_batch_is_bisected(stack):
    bisecting = {name: mapping.get("BisectBatchOnFunctionError") for name, mapping in stack.mappings().items()}
    assert bisecting == dict.fromkeys(bisecting, True)


def test_a_new_mapping_starts_with_the_oldest_record(stack):
    positions = {name: mapping.get("StartingPosition") for name, mapping in stack.mappings().items()}
    assert positions == dict.fromkeys(positions, "TRIM_HORIZON")


def test_a_batch_without_retries_left_goes_to_a_queue_that_the_function_may_send_to(stack):
    for name, mapping in stack.mappings().items():
        destination = stack.resolve(mapping["DestinationConfig"]["OnFailure"]["Destination"])
        queue = stack.resource_with(destination)
        assert queue is not None, f"{name} sends to {destination}, which is not of this stack"
        assert stack.resources[queue]["Type"] == "AWS::SQS::Queue"
        role = stack.functions[stack.function_of(mapping)]["Role"]
        assert stack.role_may(role, "sqs:SendMessage", destination), f"{name}: no sqs:SendMessage to {destination}"


def test_each_mapping_has_its_own_on_failure_queue(stack):
    destinations = [
        stack.resolve(mapping["DestinationConfig"]["OnFailure"]["Destination"]) for mapping in stack.mappings().values()
    ]
    assert len(destinations) == len(set(destinations))


def test_on_failure_queues_have_the_longest_retention(stack):
    queues = stack.of_type("AWS::SQS::Queue")
    assert {name: queue.get("MessageRetentionPeriod") for name, queue in queues.items()} == dict.fromkeys(
        queues, 14 * 24 * 60 * 60
    )


def test_the_function_may_read_its_stream(stack):
    missing = []
    for name, mapping in stack.mappings().items():
        source, through = stream(stack, mapping), consumer(stack, mapping)
        role = stack.functions[stack.function_of(mapping)]["Role"]
        actions = STREAM_READS[kind(stack, mapping)]
        missing += [f"{name}: {action}" for action in actions if not stack.role_may(role, action, source)]
        if through and not stack.role_may(
            role, "kinesis:SubscribeToShard", f"{source}/consumer/{through['ConsumerName']}:1"
        ):
            missing.append(f"{name}: kinesis:SubscribeToShard")
    assert missing == []


def test_filter_patterns_are_valid_json_objects_of_at_most_4096_characters(stack):
    for name, mapping in stack.mappings().items():
        for each in mapping.get("FilterCriteria", {}).get("Filters", []):
            assert isinstance(json.loads(each["Pattern"]), dict), name
            assert len(each["Pattern"]) <= 4096, name


def test_a_listener_is_invoked_only_for_the_events_of_its_rules(stack):
    for (service, function), (wanted, unwanted) in WANTED.items():
        if service != stack.service:
            continue
        (mapping,) = stack.mappings(function).values()

        def passes(event_type, of=mapping):
            record = {"partitionKey": "1", "data": {"id": "e1", "type": event_type, "story": {"id": "1"}}}
            return any(pattern(record) for pattern in patterns(of))

        assert {each for each in wanted | unwanted if passes(each)} == wanted


def test_a_poison_event_reaches_the_function_that_reports_it(stack):
    if stack.service != "control-service":
        return
    (mapping,) = stack.mappings("listener").values()
    without_id = {"partitionKey": "1", "data": {"id": "e1", "type": "story-analyzed", "story": ["not", "an", "object"]}}
    assert any(pattern(without_id) for pattern in patterns(mapping))


READY = {"discriminator": {"S": "story"}, "status": {"S": "ready"}}
SUBMITTED = {"discriminator": {"S": "story"}, "status": {"S": "submitted"}}
LATCHED = {**READY, "latched": {"BOOL": True}}
TOMBSTONE = {**READY, "deleted": {"BOOL": True}}
MESSAGE = {"discriminator": {"S": "outbox"}, "topic": {"S": "stories.fifo"}}
DISPATCHED = {**MESSAGE, "dispatched": {"BOOL": True}}
IDEMPOTENCY = {"discriminator": {"S": "idempotency"}}


@pytest.mark.parametrize(
    ("function", "passing", "kept_out"),
    [
        ("trigger", [READY, SUBMITTED, TOMBSTONE], [LATCHED, MESSAGE, DISPATCHED, IDEMPOTENCY]),
        ("dashboard", [READY, LATCHED, TOMBSTONE], [SUBMITTED, MESSAGE, DISPATCHED, IDEMPOTENCY]),
        ("outbox", [MESSAGE], [DISPATCHED, READY, LATCHED, SUBMITTED, TOMBSTONE, IDEMPOTENCY]),
    ],
    ids=["trigger", "dashboard", "outbox"],
)
@pytest.mark.parametrize("compiled", REST, ids="-".join)
def test_a_reader_of_the_table_is_invoked_only_for_its_own_rows(stack, function, passing, kept_out):
    (mapping,) = stack.mappings(function).values()

    def passes(image):
        keys = {"pk": {"S": "1"}, "sk": {"S": "1"}}
        records = [
            {"eventName": name, "dynamodb": {"Keys": keys, "NewImage": {**keys, **image}, "OldImage": old}}
            for name, old in (("INSERT", {}), ("MODIFY", {**keys, **image}))
        ]
        return [any(pattern(record) for pattern in patterns(mapping)) for record in records]

    assert [passes(image) for image in passing] == [[True, True]] * len(passing)
    assert [passes(image) for image in kept_out] == [[False, False]] * len(kept_out)


@pytest.mark.parametrize("compiled", [("control-service", "local")], ids="-".join)
def test_the_trigger_is_invoked_for_events_and_not_for_the_rows_that_its_rules_keep(stack):
    (mapping,) = stack.mappings("trigger").values()

    def passes(discriminator):
        row = {"pk": {"S": "1"}, "sk": {"S": "1"}, "discriminator": {"S": discriminator}, "ttl": {"N": "1"}}
        records = [
            {"eventName": "INSERT", "dynamodb": {"NewImage": row}},
            {"eventName": "MODIFY", "dynamodb": {"NewImage": row, "OldImage": row}},
            {"eventName": "REMOVE", "dynamodb": {"OldImage": row}},
            {"eventName": "REMOVE", "dynamodb": {"OldImage": {**row, "expire": {"S": "story-expired"}}}},
        ]
        return [any(pattern(record) for pattern in patterns(mapping)) for record in records]

    assert {each: passes(each) for each in ("EVENT", "CORREL", "ONCE", "FILED")} == {
        "EVENT": [True, False, False, True],
        "CORREL": [True, False, False, True],
        "ONCE": [False, False, False, True],
        "FILED": [False, False, False, True],
    }
