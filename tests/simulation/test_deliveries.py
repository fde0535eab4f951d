"""What services do by themselves, later: the bus and its targets, Firehose, notifications, topics, schedules."""

import base64
import gzip
import json
import random
from collections import Counter
from dataclasses import replace
from time import process_time

import pytest
from refusals import Refusal
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services import eventbridge, firehose, s3
from simulator.services.cloudwatch import CloudWatch
from simulator.services.eventbridge import EventBridge
from simulator.services.firehose import Firehose
from simulator.services.kinesis import Kinesis
from simulator.services.logs import Logs
from simulator.services.s3 import S3
from simulator.services.scheduler import Scheduler, period_s
from simulator.services.sns import Sns
from simulator.services.sqs import Sqs
from simulator.topology import (
    Archive,
    Bucket,
    Bus,
    DeliveryStream,
    Notification,
    Queue,
    RetryPolicy,
    Rule,
    Schedule,
    Stream,
    Target,
    Topic,
)
from stream_cli.local.emulator import put_events
from stream_cli.local.rule_targets import partition_key, target_input
from stream_cli.patterns import compile_pattern
from stream_runtime.events import from_s3, from_schedule

SECOND, HOUR = MICROSECONDS, 3_600 * MICROSECONDS
CALM = eventbridge.Chances(late=0, doubled=0)


def arn(service, resource):
    return f"arn:aws:{service}:us-east-1:123456789012:{resource}"


URL = "https://sqs.us-east-1.amazonaws.com/123456789012/{}"
BUS = Bus("hub", arn("events", "event-bus/hub"))
QUEUES = [
    Queue(name, arn("sqs", name), URL.format(name), name.endswith(".fifo"), visibility_s=30, retention_s=1_209_600)
    for name in ("dead", "q", "q.fifo")
]
STREAM = Stream("s", arn("kinesis", "stream/s"), 2, False, 24)
LAKE = DeliveryStream(
    "lake", arn("firehose", "deliverystream/lake"), "bucket",
    "events/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/", "errors/", 60, 1, "GZIP", "\n",
)  # fmt: skip
FOR_A_DAY = RetryPolicy()
BUCKET = Bucket("bucket", "arn:aws:s3:::bucket", True)
ARCHIVE = Archive("all", arn("events", "archive/all"), BUS.arn, {"detail-type": [{"anything-but": "fault"}]}, 30)


def rule(name, target_arn, pattern=None, *, retry=FOR_A_DAY, dead=None, **given):
    target = Target("t", target_arn, {"Id": "t", "Arn": target_arn, **given}, retry, dead)
    return Rule(name, arn("events", f"rule/hub/{name}"), "hub", pattern or {"source": [{"prefix": ""}]}, (target,))


class Account:
    """All services of an account, with what one may refuse another."""

    def __init__(self, *rules, chances=CALM, seed=1, bucket=BUCKET, **firehose_chances):
        self.kernel = kernel = Kernel(seed)
        self.refuse = lambda service, operation, request: None
        self.invoked = []
        self.told = []
        self.cloudwatch = CloudWatch(kernel, seed, [])
        self.services = {
            "kinesis": Kinesis(kernel, seed, [STREAM], self.cloudwatch.add),
            "sqs": Sqs(kernel, seed, QUEUES, self.cloudwatch.gauge),
            "s3": S3(kernel, seed, [bucket], self.call),
            "sns": Sns(kernel, seed, [], self.call),
            "logs": Logs(["/aws/events/hub"]),
            "firehose": Firehose(
                kernel, seed, [LAKE], self.call, metrics=self.cloudwatch.add,
                chances=firehose.Chances(**{"split": 0, "doubled": 0, "rewritten": 0} | firehose_chances),
            ),
        }  # fmt: skip
        self.bus = self.services["events"] = EventBridge(
            kernel, seed, [BUS], rules, [ARCHIVE], self.call, chances=chances, metrics=self.cloudwatch.add,
            told=lambda *happened: self.told.append(happened),
        )  # fmt: skip

    def call(self, service, operation, request):
        problem = self.refuse(service, operation, request)
        if problem is not None:
            raise problem
        if service == "lambda":
            self.invoked.append((self.kernel.now_us, request["FunctionName"], json.loads(request["Payload"])))
            return {"StatusCode": 202}
        return getattr(self.services[service], operation)(request)

    def publish(self, detail, detail_type="thing", **more):
        text = detail if isinstance(detail, str) else json.dumps(detail)
        entry = {"EventBusName": "hub", "Source": "custom", "DetailType": detail_type, "Detail": text, **more}
        return self.bus.PutEvents({"Entries": [entry]})

    def on_stream(self):
        stream = self.services["kinesis"].streams["s"]
        return [each for shard in stream.shards() for each in shard.records]

    def dead_letters(self):
        return self.services["sqs"].messages("dead")

    def counted(self, metric, name):
        dimensions = (("EventBusName", "hub"), ("RuleName", name))
        return self.cloudwatch.total("AWS/Events", metric, dimensions)


def busy(times=10**9, code="ProvisionedThroughputExceededException", service="kinesis"):
    """Refuses so many calls of a service."""
    left = [times]

    def refuse(called, operation, request):
        if called == service and left[0] > 0:
            left[0] -= 1
            return Refusal(400, code, "not now")
        return None

    return refuse


# --- what a bus takes ---

TEXTS = ["", "x", "thing", None]
DETAILS = ["", "{}", '{"id": "1"}', "detail", '"detail"', "[1]", "null", '{"n": NaN}', '{"id": "1"', None, "{" * 2_000]


@pytest.mark.parametrize("seed", range(3))
def test_entries_are_refused_as_aws_has_been_recorded_to(seed):
    """The local cloud's rules, which pass LocalStack's recorded cases (`test_refused_events`), say the same."""
    account, chance = Account(), random.Random(seed)
    for _ in range(80):
        entries = []
        for _ in range(chance.choice([0, 1, 1, 2, 10, 11])):
            fields = {
                "Source": chance.choice(TEXTS),
                "DetailType": chance.choice(TEXTS),
                "Detail": chance.choice(DETAILS),
            }
            entry = {name: value for name, value in fields.items() if value is not None}
            if chance.random() < 0.05:
                entry["Detail"] = json.dumps({"é": "x" * chance.choice([600_000, 1_048_540])})
            entries.append(entry)
        problem = put_events._refused_request(entries)
        if problem is not None or len(entries) > 10:
            with pytest.raises(Refusal) as refused:
                account.bus.PutEvents({"Entries": entries})
            assert refused.value.code == "ValidationException"
            assert problem is None or str(refused.value) == problem
            continue
        answer = account.bus.PutEvents({"Entries": entries})
        expected = [put_events._refused_entry(entry) for entry in entries]
        assert [each if "ErrorCode" in each else None for each in answer["Entries"]] == expected
        assert answer["FailedEntryCount"] == sum(each is not None for each in expected)


def test_entries_that_are_left_and_sources_of_aws_fail_alone():
    account = Account()
    entries = [
        {"EventBusName": "hub", "Source": source, "DetailType": "t", "Detail": "{}"} for source in ("a", "b", "aws.s3")
    ]
    answer = account.bus.PutEvents({"Entries": entries}, left=frozenset({0}))
    codes = [each.get("ErrorCode") for each in answer["Entries"]]
    assert codes == ["ThrottlingException", None, "NotAuthorizedForSourceException"]
    assert (answer["FailedEntryCount"], account.bus.taken["hub"]) == (2, 1)


def test_an_event_for_a_bus_that_is_not_there_is_taken_and_goes_nowhere():
    """LocalStack, `test_events.snapshot.json`: `test_put_events_nonexistent_event_bus`."""
    account = Account(rule("r", STREAM.arn))
    assert account.publish({}, EventBusName="no")["FailedEntryCount"] == 0
    account.kernel.run()
    assert account.on_stream() == []


# --- what a target gets ---

PATHS = ["$.detail", "$.detail.id", "$.detail.none", "$.source"]
INPUTS = [
    {}, {"Input": '{"a": 1}'}, *({"InputPath": path} for path in PATHS),
    {"InputTransformer": {"InputPathsMap": {"id": "$.detail.id"}, "InputTemplate": '{"id": <id>}'}},
]  # fmt: skip
KEYS = [{}, *({"KinesisParameters": {"PartitionKeyPath": path}} for path in
        ("$.detail.partition_key", "$.detail.a.b", "$.source", "$.detail['partition_key']"))]  # fmt: skip
EVENTS = [
    '{"id": "1", "partition_key": "k"}', '{"id":"ü","partition_key":7,"a":{"b":"deep"}}', "{}",
    '{"partition_key": "", "id": null}', '{\n "id": "lines",\n "partition_key": {"x": 1.50}\n}',
    '{"partition_key":null}',
]  # fmt: skip


@pytest.mark.parametrize("given", [{**given, **key} for given in INPUTS for key in KEYS])
def test_a_stream_gets_what_the_input_says_under_the_key_that_the_path_says(given):
    """`rule_targets` is what LocalStack recorded on AWS (`test_rule_targets`)."""
    account = Account(rule("r", STREAM.arn, **given))
    for event in EVENTS:
        account.publish(event)
    account.kernel.run()
    envelopes = [each.envelope for each in account.bus.archived("all")]
    about = {"Name": "r", "Arn": arn("events", "rule/hub/r")}
    expected = [
        (partition_key(given, each), target_input({"Arn": STREAM.arn, **given}, each, about, received_at=each["time"]))
        for each in envelopes
    ]
    found = [(each["PartitionKey"], base64.b64decode(each["Data"]).decode()) for each in account.on_stream()]

    def decoded(pairs):
        return sorted((key, json.dumps(json.loads(text), sort_keys=True)) for key, text in pairs)

    assert decoded(found) == decoded(expected)
    assert not any("\n" in text for _, text in found)


def test_every_kind_of_target_that_templates_use_gets_the_event():
    log = arn("logs", "log-group:/aws/events/hub")
    account = Account(*(rule(name, target) for name, target in [
        ("stream", STREAM.arn), ("lake", LAKE.arn), ("queue", QUEUES[1].arn), ("function", arn("lambda", "function:f")),
        ("log", log),
    ]))  # fmt: skip
    account.publish({"id": "1"})
    account.kernel.run()
    (queued,) = account.services["sqs"].messages("q")
    (line,) = account.services["logs"].groups["/aws/events/hub"]
    (written,) = account.services["s3"].objects("bucket").values()
    ((_, name, payload),) = account.invoked
    assert name == arn("lambda", "function:f")
    assert json.loads(queued.body) == json.loads(line["message"]) == payload == json.loads(gzip.decompress(written))
    assert payload["detail"] == {"id": "1"}
    assert payload.keys() == {
        *("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"),
    }


def test_what_a_pattern_remembers_is_what_it_would_say():
    patterns = [
        {"account": ["123456789012"], "source": [{"anything-but": {"prefix": "external"}}]},
        {"detail-type": [{"anything-but": "fault"}]},
        {"detail-type": ["fault"], "detail": {"id": [{"exists": True}]}},
        {"$or": [{"source": ["a"]}, {"detail-type": [{"suffix": "ed"}]}]},
        {"replay-name": [{"exists": False}]},
    ]
    remembering = [eventbridge._Pattern(each) for each in patterns]
    compiled = [compile_pattern(each) for each in patterns]
    chance = random.Random(1)
    for _ in range(300):
        envelope = {
            "account": chance.choice(["123456789012", "1"]), "source": chance.choice(["a", "external.x", "b"]),
            "detail-type": chance.choice(["fault", "changed", "x"]), "detail": chance.choice([{}, {"id": 1}]),
            **chance.choice([{}, {"replay-name": "r"}]),
        }  # fmt: skip
        assert [each(envelope) for each in remembering] == [each(envelope) for each in compiled]


def test_a_rule_that_is_off_or_gone_gets_nothing_and_another_one_begins_at_once():
    on, off = rule("on", STREAM.arn), rule("off", QUEUES[1].arn)
    account = Account(on, replace(off, enabled=False))
    account.publish({"id": "1"})
    account.bus.deploy([off])
    account.publish({"id": "2"})
    account.kernel.run()
    assert len(account.on_stream()) == 1  # what is on its way arrives
    (queued,) = account.services["sqs"].messages("q")
    assert json.loads(queued.body)["detail"] == {"id": "2"}


def test_an_event_goes_on_to_another_bus_as_it_is():
    other = Bus("other", arn("events", "event-bus/other"))
    account = Account(rule("egress", other.arn))
    account.bus.buses["other"] = other
    account.bus.taken["other"] = 0
    account.bus.deploy([rule("egress", other.arn), replace(rule("in", STREAM.arn), bus="other")])
    account.publish({"id": "1"})
    account.kernel.run()
    (record,) = account.on_stream()
    assert account.bus.taken == {"hub": 1, "other": 1}
    assert record["PartitionKey"] == account.bus.archived("all")[0].id


# --- at least once ---


def test_deliveries_come_doubled_late_and_in_another_order():
    account = Account(rule("r", STREAM.arn, InputPath="$.detail"), chances=eventbridge.Chances(doubled=0.05, late=0.05))
    for number in range(400):
        account.publish({"id": str(number), "partition_key": "k"})
    began = account.kernel.now_us
    account.kernel.run()
    found = [json.loads(base64.b64decode(each["Data"]))["id"] for each in account.on_stream()]
    counts = Counter(found)
    assert set(counts) == {str(number) for number in range(400)}
    assert 5 <= sum(count == 2 for count in counts.values()) <= 40
    assert found != sorted(found, key=int)
    assert account.kernel.now_us - began > 30 * SECOND
    assert Counter(what for what, *_ in account.told) == {"delivered": 400, "delivered again": len(found) - 400}


def test_the_same_seed_gives_the_same_deliveries():
    def played(seed):
        account = Account(rule("r", STREAM.arn), chances=eventbridge.Chances(doubled=0.1, late=0.1), seed=seed)
        for number in range(50):
            account.publish({"id": str(number)})
        account.kernel.run()
        return [(each["SequenceNumber"], each["Data"]) for each in account.on_stream()], account.kernel.now_us

    assert played(1) == played(1) != played(2)


def test_what_becomes_of_an_event_by_chance_does_not_depend_on_the_others():
    """So that a history that is made smaller goes on as it did."""

    def played(wanted):
        account = Account(rule("r", LAKE.arn), chances=eventbridge.Chances(doubled=0.2, late=0.2), bucket=NOTIFYING)
        calls = []
        account.refuse = lambda service, operation, request: calls.append((account.kernel.now_us, service, operation))
        for number in wanted:
            account.kernel.at(number, lambda number=number: account.publish({"id": str(number)}))
            key = f"faults/{number}.gz"
            put_object = {"Bucket": "bucket", "Key": key, "Body": b"x"}
            account.kernel.at(number, lambda request=put_object: account.services["s3"].PutObject(request))
        account.kernel.run()
        return {each for each in calls if each[1] != "s3"}

    whole = played(range(60))
    for each in (range(0, 60, 2), [7]):
        part = played(each)
        assert len(part) >= 2 * len(each)
        assert part <= whole


# --- what a target does not take ---


def test_a_target_that_is_busy_for_a_while_gets_the_event_in_the_end():
    account = Account(rule("r", STREAM.arn, dead=QUEUES[0].arn))
    account.refuse = busy(30)
    account.publish({"id": "1"})
    assert account.bus.is_busy
    account.kernel.run()
    assert not account.bus.is_busy
    assert len(account.on_stream()) == 1
    assert account.dead_letters() == []
    assert sum(what == "not delivered" for what, *_ in account.told) == 30


@pytest.mark.parametrize(
    ("retry", "condition"),
    [
        (RetryPolicy(age_s=86_400, retries=3), "MaximumRetryAttempts"),
        (RetryPolicy(age_s=60, retries=185), "MaximumEventAgeInSeconds"),
        (RetryPolicy(age_s=3_600, retries=185), "MaximumEventAgeInSeconds"),
        (RetryPolicy(), None),
    ],
)
def test_a_target_that_stays_busy_makes_a_dead_letter_when_retries_are_spent(retry, condition):
    """EventBridge user guide, "Using dead-letter queues to process undelivered events"."""
    account = Account(rule("r", STREAM.arn, retry=retry, dead=QUEUES[0].arn))
    account.refuse = busy()
    account.publish({"id": "1"})
    began = account.kernel.now_us
    account.kernel.run()
    (message,) = account.dead_letters()
    assert not account.bus.is_busy
    attributes = {name: each["StringValue"] for name, each in message.attributes.items()}
    retries = int(attributes.pop("RETRY_ATTEMPTS"))
    assert attributes.pop("EXHAUSTED_RETRY_CONDITION") in ({condition} if condition else {
        "MaximumRetryAttempts", "MaximumEventAgeInSeconds"
    })  # fmt: skip
    assert attributes == {
        "RULE_ARN": arn("events", "rule/hub/r"), "TARGET_ARN": STREAM.arn, "ERROR_CODE": "THROTTLING",
        "ERROR_MESSAGE": "not now",
    }  # fmt: skip
    assert json.loads(message.body)["detail"] == {"id": "1"}
    assert retries <= retry.retries
    assert account.kernel.now_us - began <= retry.age_s * SECOND
    assert condition != "MaximumRetryAttempts" or retries == retry.retries
    assert account.counted("InvocationsSentToDlq", "r") == 1
    assert account.counted("FailedInvocations", "r") == 0


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (arn("kinesis", "stream/gone"), "NO_RESOURCE"),
        (arn("firehose", "deliverystream/gone"), "NO_RESOURCE"),
        (arn("sqs", "gone"), "NO_RESOURCE"),
        (arn("sns", "gone"), "NO_RESOURCE"),
        (arn("logs", "log-group:gone"), "NO_RESOURCE"),
        (arn("events", "event-bus/gone"), "NO_RESOURCE"),
    ],
)
def test_a_target_that_is_not_there_makes_a_dead_letter_at_once(target, code):
    account = Account(rule("r", target, dead=QUEUES[0].arn))
    account.publish({"id": "1"})
    account.kernel.run()
    (message,) = account.dead_letters()
    assert message.attributes["ERROR_CODE"]["StringValue"] == code
    assert message.attributes["RETRY_ATTEMPTS"]["StringValue"] == "0"
    assert "EXHAUSTED_RETRY_CONDITION" not in message.attributes


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_a_queue_that_the_rule_may_not_use_makes_a_dead_letter_at_once(code):
    account = Account(rule("r", QUEUES[1].arn, dead=QUEUES[0].arn))
    account.refuse = busy(1, code, "sqs")
    account.publish({"id": "1"})
    account.kernel.run()
    (message,) = account.dead_letters()
    assert message.attributes["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def test_access_denied_and_a_template_that_gives_no_json_are_not_tried_again():
    template = {"InputTransformer": {"InputPathsMap": {"d": "$.detail"}, "InputTemplate": '{"a": "<d>"}'}}
    account = Account(
        rule("denied", LAKE.arn, dead=QUEUES[0].arn), rule("broken", STREAM.arn, dead=QUEUES[0].arn, **template)
    )
    account.refuse = busy(code="AccessDeniedException", service="firehose")
    account.publish({"id": "1"})
    account.kernel.run()
    codes = {each.attributes["ERROR_CODE"]["StringValue"] for each in account.dead_letters()}
    assert codes == {"NO_PERMISSIONS", "INVALID_PARAMETER"}


@pytest.mark.parametrize("dead", [None, QUEUES[0].arn])
def test_an_event_that_no_queue_takes_is_lost_and_counted(dead):
    account = Account(rule("r", arn("kinesis", "stream/gone"), dead=dead))
    account.refuse = busy(code="AccessDenied", service="sqs")
    account.publish({"id": "1"})
    account.kernel.run()
    (lost,) = account.bus.lost
    assert (lost.event.about, account.bus.is_busy) == ("1", False)
    assert account.counted("FailedInvocations", "r") == 1
    assert account.counted("InvocationsFailedToBeSentToDlq", "r") == (dead is not None)


def test_a_dead_letter_queue_that_is_busy_gets_the_event_later():
    account = Account(rule("r", arn("kinesis", "stream/gone"), dead=QUEUES[0].arn))
    account.refuse = busy(3, "RequestThrottled", "sqs")
    account.publish({"id": "1"})
    account.kernel.run()
    assert (len(account.dead_letters()), account.bus.lost) == (1, [])


# --- archive and replay ---


def replay(account, first_us, last_us, **destination):
    request = {
        "ReplayName": "again", "EventSourceArn": ARCHIVE.arn, "EventStartTime": first_us / SECOND,
        "EventEndTime": last_us / SECOND, "Destination": {"Arn": BUS.arn, **destination},
    }  # fmt: skip
    return account.bus.StartReplay(request)


def test_a_replay_sends_the_events_of_its_time_again_minute_after_minute():
    account = Account(rule("r", STREAM.arn), rule("other", QUEUES[1].arn))
    kernel = account.kernel
    for number in range(40):
        account.publish({"id": str(number)}, "fault" if number == 7 else "thing")
        kernel.run(kernel.now_us + 15 * SECOND)
    last = kernel.now_us
    kernel.run(last + HOUR)
    before = len(account.on_stream())
    first = last - 25 * 15 * SECOND
    assert replay(account, first, last, FilterArns=[arn("events", "rule/hub/r")])["State"] == "STARTING"
    assert account.bus.is_busy
    kernel.run()
    assert not account.bus.is_busy
    assert account.bus.DescribeReplay({"ReplayName": "again"})["State"] == "COMPLETED"
    again = [json.loads(base64.b64decode(each["Data"])) for each in account.on_stream()]
    again = [each for each in again if "replay-name" in each]
    assert sorted(int(each["detail"]["id"]) for each in again) == list(range(15, 40))
    assert len(account.on_stream()) == before + 25
    assert len(account.services["sqs"].messages("q")) == 40  # not in FilterArns
    assert len(account.bus.archived("all")) == 39  # faults are not archived, nor are replays
    times = [each["time"] for each in again]
    assert len({each["id"] for each in again} & {each.id for each in account.bus.archived("all")}) == 25
    assert min(times) < max(times)


def test_what_has_just_come_may_not_be_in_the_archive_yet():
    account = Account(rule("r", STREAM.arn))
    for number in range(50):
        account.publish({"id": str(number)})
    account.kernel.run(account.kernel.now_us + 300 * SECOND)
    replay(account, account.kernel.now_us - HOUR, account.kernel.now_us)
    account.kernel.run()
    assert 50 < len(account.on_stream()) < 100


def test_a_replay_is_refused_where_aws_refuses_it():
    """EventBridge API reference, "StartReplay"."""
    account = Account()
    now = account.kernel.now_us
    good = {
        "ReplayName": "again", "EventSourceArn": ARCHIVE.arn, "EventStartTime": now / SECOND - 60,
        "EventEndTime": now / SECOND, "Destination": {"Arn": BUS.arn},
    }  # fmt: skip
    wrong = [
        {"EventSourceArn": arn("events", "archive/no")},
        {"Destination": {"Arn": arn("events", "event-bus/other")}},
        {"EventEndTime": now / SECOND - 120},
    ]
    for each in wrong:
        with pytest.raises(Refusal, match="is not valid"):
            account.bus.StartReplay({**good, **each})
    account.bus.StartReplay(good)
    with pytest.raises(Refusal, match="already exists"):
        account.bus.StartReplay(good)
    assert account.bus.CancelReplay({"ReplayName": "again"}) == {"State": "CANCELLING"}
    account.kernel.run()
    assert account.bus.DescribeReplay({"ReplayName": "again"})["State"] == "CANCELLED"
    with pytest.raises(Refusal, match="not in a valid state"):
        account.bus.CancelReplay({"ReplayName": "again"})


# --- Firehose ---


def put(account, *texts):
    for text in texts:
        account.services["firehose"].PutRecord({"DeliveryStreamName": "lake", "Record": {"Data": text.encode()}})


def lines(account):
    return [
        line
        for body in account.services["s3"].objects("bucket", "events/").values()
        for line in gzip.decompress(body).decode().splitlines()
    ]


def test_a_buffer_is_written_when_its_seconds_are_over_under_the_hour_of_its_oldest_record():
    account = Account()
    kernel = account.kernel
    kernel.run(kernel.now_us + HOUR - 30 * SECOND - kernel.now_us % HOUR)
    put(account, "one")
    kernel.run(kernel.now_us + 50 * SECOND)
    put(account, "two")
    assert account.services["firehose"].streams["lake"].is_busy
    kernel.run(kernel.now_us + 9 * SECOND)
    assert lines(account) == []
    kernel.run()
    assert lines(account) == ["one", "two"]
    (key,) = account.services["s3"].objects("bucket")
    assert key.startswith("events/dt=2027-01-15/hour=08/lake-1-2027-01-15-08-59-30-")
    assert key.endswith(".gz")
    assert gzip.decompress(account.services["s3"].objects("bucket")[key]) == b"one\ntwo\n"
    assert not account.services["firehose"].streams["lake"].is_busy


def test_a_buffer_is_written_when_it_is_full():
    account = Account()
    put(account, *("x" * 500_000 for _ in range(5)))
    account.kernel.run(account.kernel.now_us + 5 * SECOND)
    assert [len(line) for line in lines(account)] == [500_000] * 3
    account.kernel.run(account.kernel.now_us + 50 * SECOND)
    put(account, *("x" * 500_000 for _ in range(2)), "last")
    account.kernel.run(account.kernel.now_us + 20 * SECOND)
    assert len(lines(account)) == 6  # the seconds of the first buffer are over, and those of the last are not
    account.kernel.run()
    assert len(lines(account)) == 8


def test_records_may_be_in_two_objects_and_twice():
    account = Account(split=0.5, doubled=0.5, rewritten=0.3)
    for number in range(40):
        put(account, f"{number}/a", f"{number}/b", f"{number}/c")
        account.kernel.run(account.kernel.now_us + 100 * SECOND)
    counts = Counter(lines(account))
    assert set(counts) == {f"{number}/{part}" for number in range(40) for part in "abc"}
    assert max(counts.values()) > 1
    assert len(account.services["s3"].objects("bucket")) > 50


def test_a_write_is_tried_again_for_a_day_and_its_age_is_measured():
    account = Account()
    account.refuse = busy(20, "SlowDown", "s3")
    put(account, "one")
    account.kernel.run()
    assert lines(account) == ["one"]
    points = account.cloudwatch._series["AWS/Firehose", "DeliveryToS3.DataFreshness", (("DeliveryStreamName", "lake"),)]
    assert 600 < max(each.largest for each in points.minutes.values()) < 86_400


def test_what_cannot_be_written_for_a_day_is_lost():
    account = Account()
    account.refuse = busy(service="s3", code="AccessDenied")
    put(account, "one", "two")
    began = account.kernel.now_us
    account.kernel.run()
    stream = account.services["firehose"].streams["lake"]
    assert (stream.lost, stream.is_busy, lines(account)) == ([b"one", b"two"], False, [])
    assert 23 * HOUR < account.kernel.now_us - began <= 24 * HOUR


def test_an_answer_that_is_lost_makes_a_second_object():
    account = Account()
    left = [1]

    def after(service, operation, request):
        if service == "s3" and left.pop() if left else False:
            account.services["s3"].PutObject(request)
            return Refusal(500, "InternalError", "We encountered an internal error.")
        return None

    account.refuse = after
    put(account, "one")
    account.kernel.run()
    assert lines(account) == ["one", "one"]


def test_without_buffering_a_record_is_there_within_seconds():
    """Firehose developer guide, "Configure buffering hints": an interval of 0 delivers within 5 seconds."""
    account = Account()
    account.services["firehose"].streams["lake"].description = replace(LAKE, interval_s=0)
    put(account, "one")
    account.kernel.run(account.kernel.now_us + 8 * SECOND)
    assert lines(account) == ["one"]


# --- notifications of S3 ---

NOTIFYING = replace(
    BUCKET, notifications=(Notification(arn("lambda", "function:f"), ("s3:ObjectCreated:*",), "faults/", ".gz", "0"),)
)


def test_a_function_is_told_of_objects_that_the_filter_takes():
    account = Account(bucket=NOTIFYING)
    for key in ("faults/a b+ü.gz", "faults/b", "other/c.gz"):
        account.services["s3"].PutObject({"Bucket": "bucket", "Key": key, "Body": b"xyz"})
    account.services["s3"].DeleteObject({"Bucket": "bucket", "Key": "faults/a b+ü.gz"})
    account.kernel.run()
    ((_, name, payload),) = account.invoked
    assert name == arn("lambda", "function:f")
    (uow,) = from_s3(payload)
    version = account.services["s3"].buckets["bucket"].versions["faults/a b+ü.gz"][0]
    assert uow["event"]["type"] == "object-created"
    assert uow["event"]["s3"]["object"] == {
        "key": "faults/a b+ü.gz", "size": 3, "eTag": version.etag, "versionId": version.id,
        "sequencer": uow["event"]["s3"]["object"]["sequencer"],
    }  # fmt: skip
    assert uow["event"]["timestamp"] == version.at_us // 1_000


def test_notifications_come_at_least_once_late_and_in_any_order():
    account = Account(bucket=NOTIFYING)
    account.services["s3"]._chances = s3.Chances(late=0.05, doubled=0.05)
    account.refuse = busy(25, "ServiceException", "lambda")
    keys = [f"faults/{number:03d}.gz" for number in range(200)]
    began = account.kernel.now_us
    for key in keys:
        account.services["s3"].PutObject({"Bucket": "bucket", "Key": key, "Body": b""})
    assert account.services["s3"].notifying >= 200
    account.kernel.run()
    told = [payload["Records"][0]["s3"]["object"]["key"] for _, _, payload in account.invoked]
    assert set(told) == set(keys)
    assert told != sorted(told)
    assert 200 < len(told) < 230
    assert max(at for at, _, _ in account.invoked) - began > 30 * SECOND
    assert account.services["s3"].notifying == 0


def test_sequencers_of_a_key_grow():
    """S3 user guide, "Event ordering and duplicate events"."""
    account = Account(bucket=NOTIFYING)
    for number in range(300):
        account.services["s3"].PutObject({"Bucket": "bucket", "Key": "faults/a.gz", "Body": b"%d" % number})
        account.kernel.run(account.kernel.now_us + (number % 3))
    account.kernel.run()
    entities = {
        payload["Records"][0]["s3"]["object"]["versionId"]: payload["Records"][0]["s3"]["object"]["sequencer"]
        for _, _, payload in account.invoked
    }
    order = [each.id for each in account.services["s3"].buckets["bucket"].versions["faults/a.gz"]]
    assert [entities[each] for each in order] == sorted(set(entities.values()))


# --- topics ---


def test_a_queue_of_a_fifo_topic_gets_each_group_in_order_while_it_fails_now_and_then():
    topic = Topic("t.fifo", arn("sns", "t.fifo"), fifo=True, content_based=False, subscriptions=(QUEUES[2].arn,))
    account = Account()
    account.services["sns"] = Sns(account.kernel, 1, [topic], account.call)
    chance = random.Random(1)
    account.refuse = lambda service, *_: (
        Refusal(500, "InternalError", "x") if service == "sqs" and chance.random() < 0.3 else None
    )
    for number in range(60):
        account.services["sns"].Publish(
            {"TopicArn": topic.arn, "Message": str(number), "MessageGroupId": f"g{number % 4}",
             "MessageDeduplicationId": str(number)}
        )  # fmt: skip
    account.kernel.run()
    groups = {}
    for each in account.services["sqs"].messages("q.fifo"):
        groups.setdefault(each.group, []).append(int(json.loads(each.body)["Message"]))
    assert groups == {f"g{group}": list(range(group, 60, 4)) for group in range(4)}


# --- schedules ---

JOB = Schedule(
    "job", arn("scheduler", "schedule/default/job"), "rate(15 minutes)", arn("lambda", "function:job"), None, 300,
    RetryPolicy(3_600, 3), QUEUES[0].arn,
)  # fmt: skip


def test_a_schedule_calls_its_function_within_the_window_of_each_period():
    account = Account()
    scheduler = Scheduler(account.kernel, 1, [JOB], account.call)
    began = account.kernel.now_us
    account.kernel.run(began + 24 * HOUR - 1)
    scheduler.stop()
    account.kernel.run()
    offsets = sorted((at - began) / SECOND for at, _, _ in account.invoked)
    assert {int(each // 900) for each in offsets} == set(range(96))
    assert all(each % 900 <= 300 for each in offsets)
    assert 96 <= len(offsets) <= 100
    (uow,) = from_schedule(account.invoked[0][2])
    assert uow["event"]["type"] == "Scheduled Event"
    assert account.invoked[0][2]["resources"] == [JOB.arn]
    assert scheduler.calling == 0


def test_a_schedule_may_call_its_function_twice(monkeypatch):
    """EventBridge Scheduler user guide, "What is Amazon EventBridge Scheduler?": delivery is at least once."""
    monkeypatch.setattr("simulator.services.scheduler.DOUBLED", 0.3)
    account = Account()
    Scheduler(account.kernel, 1, [JOB], account.call)
    account.kernel.run(account.kernel.now_us + 24 * HOUR - 1)
    calls = Counter(payload["id"] for _, _, payload in account.invoked)
    assert 10 < sum(count == 2 for count in calls.values()) < 50


def test_a_function_that_is_busy_is_called_again_and_then_there_is_a_dead_letter():
    account = Account()
    account.refuse = busy(code="TooManyRequestsException", service="lambda")
    scheduler = Scheduler(account.kernel, 5, [replace(JOB, input='{"a": 1}')], account.call)
    account.kernel.run(account.kernel.now_us + 1)
    scheduler.stop()
    account.kernel.run()
    (message,) = account.dead_letters()
    attributes = {name: each["StringValue"] for name, each in message.attributes.items()}
    assert (message.body, attributes["RETRY_ATTEMPTS"], attributes["EXHAUSTED_RETRY_CONDITION"]) == (
        '{"a": 1}', "3", "MaximumRetryAttempts",
    )  # fmt: skip
    assert (attributes["ERROR_CODE"], attributes["SCHEDULE_ARN"]) == ("TooManyRequestsException", JOB.arn)


def test_a_changed_schedule_begins_anew_and_one_of_another_kind_is_not_simulated():
    account = Account()
    scheduler = Scheduler(account.kernel, 1, [replace(JOB, flexible_s=0)], account.call)
    account.kernel.run(account.kernel.now_us + HOUR)
    before = len(account.invoked)
    scheduler.deploy([replace(JOB, flexible_s=0, expression="rate(1 hour)")])
    account.kernel.run(account.kernel.now_us + 2 * HOUR + SECOND)
    assert len(account.invoked) - before in (3, 4)
    assert [period_s(f"rate({text})") for text in ("1 minute", "2 hours", "3 days")] == [60, 7_200, 259_200]
    with pytest.raises(TypeError, match="not simulated"):
        period_s("cron(0 12 * * ? *)")


# --- cost ---


def test_an_event_for_the_stream_and_the_lake_costs_at_most_150_microseconds():
    detail = json.dumps({"id": "1", "partition_key": "k", "thing": {"text": "x" * 800}}, separators=(",", ":"))
    costs = []
    for _ in range(5):
        account = Account(
            rule("s1", STREAM.arn, {"account": ["123456789012"], "source": [{"anything-but": {"prefix": "external"}}],
                                    "detail-type": [{"anything-but": "fault"}]},
                 InputPath="$.detail", KinesisParameters={"PartitionKeyPath": "$.detail.partition_key"}),
            rule("lake", LAKE.arn, {"detail-type": [{"anything-but": "fault"}]}),
            rule("faults", LAKE.arn, {"detail-type": ["fault"]}),
            chances=eventbridge.Chances(),
        )  # fmt: skip
        began = process_time()
        for _ in range(1_000):
            account.publish(detail)
            account.kernel.run(account.kernel.now_us + 20_000)
        account.kernel.run()
        costs.append((process_time() - began) / 1_000)
        assert len(account.on_stream()) >= 1_000
        assert len(lines(account)) >= 1_000
    assert min(costs) < 150e-6
