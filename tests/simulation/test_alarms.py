"""Alarms in virtual time: when they start and end, and that they cost nothing while nothing happens."""

import json

import pytest
from simulator.kernel import MICROSECONDS, Kernel
from simulator.services.cloudwatch import MINUTE_US, CloudWatch, next_state
from simulator.services.sns import Sns
from simulator.services.sqs import Sqs
from simulator.topology import Alarm, Queue, Topic
from stream_runtime.metrics import write_metrics

TOPIC = Topic("alarms", "arn:aws:sns:us-east-1:123456789012:alarms", fifo=False, content_based=False)
DIMENSIONS = (("Stage", "prod"),)
POINTS = {"0": False, "X": True}


def alarm(**more):
    settings = {
        "name": "a", "arn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a", "namespace": "n", "metric": "M",
        "dimensions": DIMENSIONS, "statistic": "Sum", "period_s": 300, "periods": 1, "datapoints": 1,
        "threshold": 0.0, "comparison": "GreaterThanThreshold", "missing": "notBreaching", "actions": (TOPIC.arn,),
        "ok_actions": (TOPIC.arn,),
    }  # fmt: skip
    return Alarm(**{**settings, **more})


# Data points of the evaluation range, oldest first, and the state by what missing data are: missing, ignore, breaching,
# notBreaching. CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data".
THREE_OF_THREE = [
    ("0-X-X", "OK", "OK", "OK", "OK"),
    ("0----", "OK", "OK", "OK", "OK"),
    ("-----", "INSUFFICIENT_DATA", "current", "ALARM", "OK"),
    ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("--X--", "ALARM", "current", "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0-X-X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("00X0X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0-X--", "OK", "OK", "ALARM", "OK"),
    ("----0", "OK", "OK", "ALARM", "OK"),
    ("---X-", "ALARM", "current", "ALARM", "OK"),
]


@pytest.mark.parametrize("place", range(4), ids=["missing", "ignore", "breaching", "notBreaching"])
@pytest.mark.parametrize(
    ("row", "datapoints"), [*((row, 3) for row in THREE_OF_THREE), *((row, 2) for row in TWO_OF_THREE)]
)
def test_missing_data_are_treated_as_in_the_tables_of_the_user_guide(row, datapoints, place):
    points = [POINTS[each] for each in reversed(row[0]) if each != "-"]
    missing = ["missing", "ignore", "breaching", "notBreaching"][place]
    assert next_state("current", points, 3, datapoints, missing) == row[1 + place]


@pytest.fixture
def kernel():
    return Kernel(1)


def states(cloudwatch, began):
    """(minutes since the beginning, alarm, state)."""
    return [((each.at_us - began) // MINUTE_US, each.alarm, each.after) for each in cloudwatch.history]


def test_an_alarm_starts_at_the_end_of_the_period_ends_later_and_says_so_each_time(kernel):
    sns = Sns(kernel, 1, [TOPIC])
    cloudwatch = CloudWatch(kernel, 1, [alarm()], lambda _, operation, request: getattr(sns, operation)(request))
    kernel.run()
    began = kernel.now_us
    assert cloudwatch.alarms["a"].state == "OK"
    kernel.run(began + 7 * MINUTE_US)
    cloudwatch.add("n", "M", DIMENSIONS, 1.0)
    cloudwatch.add("n", "Other", DIMENSIONS, 1.0)
    kernel.run(began + 10 * MINUTE_US)
    assert cloudwatch.in_alarm() == ["a"]
    kernel.run()
    # The period with the fault is in the evaluation range, and the only one with data, for two more.
    assert states(cloudwatch, began)[1:] == [(10, "a", "ALARM"), (25, "a", "OK")]
    told = [json.loads(each.message)["NewStateValue"] for each in sns.topics[TOPIC.arn].messages]
    assert told == ["OK", "ALARM", "OK"]


def test_a_metric_that_is_late_still_starts_the_alarm_while_it_is_in_its_range(kernel):
    cloudwatch = CloudWatch(kernel, 1, [alarm()])
    kernel.run()
    for late_minutes, expected in ((8, ["a"]), (40, [])):
        kernel.run(kernel.now_us + 60 * MINUTE_US)
        at = (kernel.now_us - late_minutes * MINUTE_US) / MICROSECONDS
        datum = {"MetricName": "M", "Value": 1.0, "Timestamp": at, "Dimensions": [{"Name": "Stage", "Value": "prod"}]}
        cloudwatch.PutMetricData({"Namespace": "n", "MetricData": [datum]})
        kernel.run(kernel.now_us + 5 * MINUTE_US)
        assert cloudwatch.in_alarm() == expected


def test_a_lag_has_to_last_for_all_periods(kernel):
    lag = alarm(statistic="Maximum", period_s=60, periods=5, datapoints=5, threshold=60_000.0)
    cloudwatch = CloudWatch(kernel, 1, [lag])
    for minutes, expected in ((4, []), (5, ["a"])):
        kernel.run(kernel.now_us + 30 * MINUTE_US)
        for _ in range(minutes):
            cloudwatch.add("n", "M", DIMENSIONS, 100_000.0)
            cloudwatch.add("n", "M", DIMENSIONS, 1.0)
            kernel.run(kernel.now_us + MINUTE_US)
        assert cloudwatch.in_alarm() == expected


@pytest.mark.parametrize(
    ("statistic", "comparison", "threshold", "values", "on"),
    [
        ("Average", "GreaterThanThreshold", 1_000, [500, 1_600], True),
        ("Average", "GreaterThanThreshold", 1_050, [500, 1_600], False),
        ("Sum", "GreaterThanOrEqualToThreshold", 10, [4, 6], True),
        ("Sum", "GreaterThanThreshold", 10, [4, 6], False),
        ("Minimum", "LessThanThreshold", 5, [4, 6], True),
        ("Maximum", "LessThanOrEqualToThreshold", 6, [4, 6], True),
        ("SampleCount", "GreaterThanThreshold", 1, [0, 0], True),
    ],
)
def test_an_alarm_compares_its_statistic(kernel, statistic, comparison, threshold, values, on):
    about = alarm(statistic=statistic, comparison=comparison, threshold=float(threshold))
    cloudwatch = CloudWatch(kernel, 1, [about])
    for value in values:
        cloudwatch.add("n", "M", DIMENSIONS, float(value))
    kernel.run(kernel.now_us + 5 * MINUTE_US)
    assert (cloudwatch.in_alarm() == ["a"]) == on


def test_an_alarm_is_on_as_long_as_messages_are_in_a_queue(kernel):
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    messages = alarm(
        namespace="AWS/SQS", metric="ApproximateNumberOfMessagesVisible", dimensions=(("QueueName", "q"),),
        statistic="Maximum",
    )  # fmt: skip
    cloudwatch = CloudWatch(kernel, 1, [messages])
    queue = Queue("q", "arn:aws:sqs:us-east-1:123456789012:q", url, False, 30, 1_209_600)
    sqs = Sqs(kernel, 1, [queue], cloudwatch.gauge)
    kernel.run()
    assert cloudwatch.in_alarm() == []
    sqs.SendMessage({"QueueUrl": url, "MessageBody": "m"})
    kernel.run()
    began, steps = kernel.now_us, kernel.steps
    assert cloudwatch.in_alarm() == ["a"]
    kernel.run(began + 3 * 24 * 60 * MINUTE_US)
    assert (cloudwatch.in_alarm(), kernel.steps) == (["a"], steps)
    (message,) = sqs.ReceiveMessage({"QueueUrl": url, "VisibilityTimeout": 1_200})["Messages"]
    kernel.run(kernel.now_us + 19 * MINUTE_US)
    assert cloudwatch.in_alarm() == []  # hidden, while somebody works on it
    kernel.run()
    assert cloudwatch.in_alarm() == ["a"]
    sqs.DeleteMessage({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]})
    kernel.run()
    assert cloudwatch.in_alarm() == []


def test_a_value_that_stays_is_no_change(kernel):
    cloudwatch = CloudWatch(kernel, 1, [alarm(statistic="Maximum")])
    gauge = cloudwatch.gauge("n", "M", DIMENSIONS)
    gauge(0)
    gauge(3)
    kernel.run()
    steps = kernel.steps
    gauge(3.0)
    kernel.run()
    assert (kernel.steps, cloudwatch.in_alarm()) == (steps, ["a"])


def test_an_idle_system_costs_no_step(kernel):
    cloudwatch = CloudWatch(kernel, 1, [alarm(name=str(number)) for number in range(40)])
    kernel.run(kernel.now_us + 30 * 24 * 60 * MINUTE_US)
    assert kernel.steps == 40
    assert {each.state for each in cloudwatch.alarms.values()} == {"OK"}


def test_another_deployment_keeps_states_and_forgets_alarms_that_are_gone(kernel):
    cloudwatch = CloudWatch(kernel, 1, [alarm(), alarm(name="gone")])
    cloudwatch.add("n", "M", DIMENSIONS, 1.0)
    kernel.run(kernel.now_us + 5 * MINUTE_US)
    assert cloudwatch.in_alarm() == ["a", "gone"]
    cloudwatch.deploy([alarm(), alarm(name="new", threshold=5.0)])
    assert cloudwatch.in_alarm() == ["a"]
    kernel.run()
    assert {name: each.state for name, each in cloudwatch.alarms.items()} == {"a": "OK", "new": "OK"}


def test_metrics_in_lines_of_logs_are_taken(kernel, capsys):
    cloudwatch = CloudWatch(kernel, 1, [])
    write_metrics("n", {"Stage": "prod"}, [("M", "Count", 3), ("Other", "Count", 1)])
    write_metrics("n", {"Stage": "prod"}, [("M", "Milliseconds", {"Values": [1.0, 2.0], "Counts": [2, 1]})])
    output = capsys.readouterr().out.splitlines()
    assert [cloudwatch.put_embedded(line) for line in [*output, "plain text"]] == [True, True, False]
    assert cloudwatch.total("n", "M", DIMENSIONS) == 7.0
    assert cloudwatch.total("n", "Other", DIMENSIONS) == 1.0
    assert cloudwatch.total("n", "None", DIMENSIONS) == 0.0
