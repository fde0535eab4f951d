"""`streamctl plan` on templates: what it prints, its JSON, its exit codes, and what it says of wrong input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from stream_cli.cli import app
from stream_cli.plan.command import _without_params
from stream_cli.plan.content import POINTS
from stream_cli.plan.times_file import read_times
from typer.testing import CliRunner

HUB = """
Resources:
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: hub-prod-bus}}
  Stream1:
    Type: AWS::Kinesis::Stream
    Properties: {Name: hub-prod-s1, ShardCount: 2}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: all
      EventBusName: !Ref Bus
      EventPattern: {detail-type: [{anything-but: fault}]}
      Targets: [{Id: one, Arn: !GetAtt Stream1.Arn}]
Outputs:
  stream1Arn: {Value: !GetAtt Stream1.Arn}
"""
SERVICE = """
Resources:
  ListenerLambdaFunction:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: a-service-prod-listener, MemorySize: 1769, Timeout: 60, Architectures: [arm64]}
  OfStream:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !GetAtt ListenerLambdaFunction.Arn
      EventSourceArn: arn:aws:streamctl:us-east-1:000000000000:import/stream1Arn
      BatchSize: 100
      FunctionResponseTypes: [ReportBatchItemFailures]
"""
TIMES = {
    "functions": {
        "a-service/listener": {
            "batch_wait_ms": 10,
            "work": {"thing-made": {"wait_ms": 1, "emits": {"thing-done": 1}}, "thing-done": {}},
        }
    },
    "events": {"thing-made": {"bytes": 800}},
    "journeys": [{"name": "made to done", "begin": "thing-made", "end": "thing-done"}],
}


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    for name, text in (("hub.yml", HUB), ("service.yml", SERVICE), ("times.json", json.dumps(TIMES))):
        (tmp_path / name).write_text(text)
    templates = ("hub", "hub.yml"), ("a-service", "service.yml")
    named = [each for name, file in templates for each in ("--template", f"{name}={tmp_path / file}")]
    return [*named, "--times", str(tmp_path / "times.json")]


def run(given, *more):
    return CliRunner().invoke(app, ["plan", *given, *more])


def test_a_load_that_holds_exits_with_0_and_one_that_does_not_with_3(given):
    assert run(given, "--rate", "10", "--hours", "0.1", "--brief").exit_code == 0
    too_much = run(given, "--rate", "5000", "--hours", "0.1", "--brief")
    assert too_much.exit_code == 3
    assert "It does not hold:" in too_much.stdout


def test_everything_is_told_in_words_a_stranger_reads(given):
    result = run(given, "--rate", "600", "--hours", "0.1")
    for each in (
        "prod with 600 events/s from outside, for 6 min",
        "It holds: nothing is refused for long, and nothing falls behind.",
        "How long it takes",
        "made to done",
        "Event source mappings",
        "a-service/listener",
        "hub/Stream1",
        "The nearest limits",
        "What gives first: at ",
        "A month of this load, after 12 months of it (us-east-1, list prices of ",
        "for a million events from outside",
        "What to change",
    ):
        assert each in result.stdout, each
    assert "Double the load until something gives" in result.stderr


def test_json_has_figures_and_series_and_nothing_else_is_on_stdout(given):
    content = json.loads(run(given, "--type", "thing-made=600", "--hours", "1", "--json").stdout)
    assert content["holds"] is True
    assert content["load"]["types"]["thing-made"]["mean"] == 600
    assert content["streams"]["hub/Stream1"]["records_per_second"]["max"] == pytest.approx(1_200, rel=0.02)
    assert content["doubling"]["gives"]["passed"]
    assert content["cost"]["total"] == pytest.approx(sum(content["cost"]["services"].values()), rel=1e-4)
    assert content["cost"]["events"] == pytest.approx(600 * 730 * 3600, rel=1e-5)
    series = content["series"]
    lengths = {len(values) for plot in series["plots"] for values in plot["of"].values()}
    assert lengths == {POINTS}
    assert series["step_s"] * POINTS == 3_600


def test_what_makes_it_hold_is_what_can_be_given(given):
    content = json.loads(run(given, "--rate", "5000", "--hours", "0.1", "--json").stdout)
    changes = [each for change in content["remedy"]["changes"] for each in ("--set", change)]
    limits = [each for limit in content["remedy"]["limits"] for each in ("--limit", limit)]
    assert changes
    again = run(given, "--rate", "5000", "--hours", "0.1", "--brief", *changes, *limits)
    assert again.exit_code == 0, again.stdout


def test_a_peak_a_burst_and_a_file_shape_the_load(given, tmp_path):
    def rates(*more):
        return json.loads(run(given, *more, "--brief", "--json").stdout)["load"]["events_per_second"]

    assert rates("--rate", "10", "--hours", "1", "--peak", "1.5")["max"] == pytest.approx(15, rel=0.01)
    assert rates("--rate", "10", "--hours", "1", "--burst", "4x30@00:10")["max"] == 40
    (tmp_path / "day.csv").write_text("second,type,events,bytes\n0,thing-made,5,4000\n59,thing-made,5,4000\n")
    assert rates("--load", str(tmp_path / "day.csv"), "--factor", "2")["max"] == 10


def test_of_a_day_of_the_lake_what_functions_publish_is_not_counted_twice(given, tmp_path):
    (tmp_path / "day.csv").write_text("second,type,events,bytes\n0,thing-made,5,4000\n2,thing-done,5,4000\n")
    content = json.loads(run(given, "--load", str(tmp_path / "day.csv"), "--brief", "--json").stdout)
    assert list(content["load"]["types"]) == ["thing-made"]
    assert content["notes"] == ["thing-done is left out of the load, since it follows from what else is in it."]
    (tmp_path / "day.csv").write_text("second,type,events,bytes\n2,thing-done,5,4000\n")
    content = json.loads(run(given, "--load", str(tmp_path / "day.csv"), "--brief", "--json").stdout)
    assert list(content["load"]["types"]) == ["thing-done"]
    assert content["notes"][0].startswith("thing-done is published by a-service/listener: what leads to that, ")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "Give one of --rate, --type and --load: how many events come from outside."),
        (("--rate", "1", "--type", "a=1"), "Give one of --rate, --type and --load"),
        (("--type", "a"), "--type a is not NAME=NUMBER, a number of 0 or more."),
        (("--rate", "1", "--limit", "concurrency=-1"), "--limit concurrency=-1 is not NAME=NUMBER"),
        (("--rate", "1", "--limit", "speed=1"), "There is no limit speed.\n  The limits are "),
        (("--rate", "1", "--set", "a.BatchSize"), "a.BatchSize is not PART.PROPERTY=VALUE"),
        (("--rate", "1", "--set", "a.BatchSize=1"), "a.BatchSize=1: there is no a.\n  There are a-service/listener"),
        (("--rate", "1", "--burst", "5"), "--burst 5 is not FACTORxSECONDS@HH:MM, such as 10x60@12:00."),
        (("--rate", "1", "--burst", "5x9@23:00", "--hours", "1"), "does not fit into 3600 s; begin earlier"),
        (("--rate", "1", "--prices", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("--rate", "1", "--times", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("--load", "nowhere.csv"), "nowhere.csv: No such file or directory"),
        (("--load", __file__, "--hours", "1"), "--hours, --peak and --burst shape a --rate or a --type"),
        (("--rate", "1e30"), "the rate of thing-made is not a number from 0 to 100,000,000"),
        (("--type", "a=9e7", "--type", "b=9e7", "--hours", "0.01"), "1.8e+08 events/s; a plan is of 100,000,000"),
        (("--rate", "1", "--skew", "1"), "--skew 1 needs --keys"),
        (("--rate", "1", "--bytes", "1e12"), "--bytes 1e+12: an entry of the bus has at most 1,048,576 bytes"),
        (("--rate", "1", "--set", "hub/Stream1.ShardCount=9999999"), "a plan is of 1,000,000 shards at most"),
        (("--type", "POST /things=1"), "No API of prod has the route POST /things.\n  The routes are none."),
        (("--rate", "1", "--template", f"a={__file__}"), "is no template of CloudFormation"),
        (("--rate", "100", "--exact"), "this load has 8,640,000 events: give 200,000 at most, by a lower rate or by"),
        (("--rate", "1", "--template", "hub"), "--template hub is not SERVICE=FILE"),
    ],
)
def test_wrong_input_is_told_with_what_and_where_and_what_to_do(given, more, says):
    result = run(given, *more)
    assert result.exit_code == 1
    assert says in result.stderr


@pytest.mark.parametrize("more", [(), ("--load", "nonsense")])
def test_the_forms_of_a_load_are_told_where_none_is_given(given, more):
    says = run(given, *more).stderr
    for form in ("constant", "a curve", "a burst", "a CSV file", "--rate 100 --burst 5x300@18:00", "lake rates"):
        assert form in says, form


def test_a_type_that_no_function_has_work_for_is_said_with_the_one_that_may_be_meant(given, tmp_path):
    def words():
        return " ".join(run(given, "--type", "thing-mad=5", "--hours", "0.1", "--brief").stdout.split())

    those = "Is thing-made meant? Types with known work are thing-done, thing-made."
    assert f"what a-service/listener does for thing-mad: that counts as nothing. {those}" in words()
    pattern = json.dumps({"data": {"type": ["thing-made", "thing-done"]}})
    filtered = f"{SERVICE}      FilterCriteria: {{Filters: [{{Pattern: '{pattern}'}}]}}\n"
    (tmp_path / "service.yml").write_text(filtered)
    assert f"No function takes thing-mad: it goes no further than bus, stream and lake. {those}" in words()


def test_a_stage_without_params_of_its_own_is_said(tmp_path):
    service = tmp_path / "a"
    service.mkdir()
    (service / "serverless.yml").write_text("service: a\nparams:\n  default: {x: 1}\n  prod: {x: 2}\n")
    (said,) = _without_params([service], "prodd")
    assert said.startswith("No service has params of its own for the stage prodd")
    assert said.endswith("There are some for prod.")
    assert not list(_without_params([service], "prod"))


def test_record_by_record_it_is_about_the_same(given):
    def made(*more):
        return json.loads(run(given, "--rate", "20", "--hours", "0.1", "--brief", "--json", *more).stdout)

    aggregated, exact = made(), made("--exact")
    assert (aggregated["simulated_by"], exact["simulated_by"]) == ("fluid", "exact")
    assert exact["holds"]
    of = "made to done"
    latency = aggregated["journeys"][of]["latency_s"]["mean"]
    assert exact["journeys"][of]["latency_s"]["mean"] == pytest.approx(latency, rel=0.15)


def test_what_the_plan_does_not_know_is_said(given, tmp_path):
    (tmp_path / "times.json").write_text(json.dumps({**TIMES, "functions": {}}))
    result = run(given, "--type", "thing-made=5", "--type", "fault=1", "--hours", "0.1", "--brief")
    words = " ".join(result.stdout.split())
    assert "It is not known how long a-service/listener take, nor what they do" in words
    assert "No rule takes fault: it goes nowhere behind the bus." in words


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "has no times."),
        (json.dumps({"functions": {"a": {"batch_wait_ms": "x"}}}), "functions.a.batch_wait_ms: "),
        (json.dumps({"functions": {"a": {"work": {"b": {"waits_ms": 1}}}}}), "no field functions.a.work.b.waits_ms"),
        (json.dumps({"functions": {"a": {"batch_cpu_ms": -1}}}), "functions.a.batch_cpu_ms: -1 is not a number of 0"),
        ('{"functions": {"a": {"cold_cpu_ms": NaN}}}', "functions.a.cold_cpu_ms: nan is not a number of 0 or more"),
        (
            json.dumps({**TIMES, "functions": {"a-service/listner": {}}}),
            "there is no function a-service/listner in a-service.\n  It has a-service/listener.",
        ),
        (
            json.dumps(
                {**TIMES, "functions": {"a-service/listener": {"work": {"b": {"reads": [{"table": "a-service/T"}]}}}}}
            ),
            "a-service/listener uses the table a-service/T, which is not there.",
        ),
    ],
)
def test_a_wrong_file_of_times_says_where(given, tmp_path, content, says):
    (tmp_path / "times.json").write_text(content)
    result = run(given, "--rate", "1")
    assert result.exit_code == 1
    assert says in result.stderr


def test_help_has_examples_that_work(given):
    text = CliRunner().invoke(app, ["plan", "--help"]).stdout
    assert "streamctl plan --rate 100" in text
    assert "Exit code 3" in text
    assert re.search(r"--set +PART\.PROPERTY=VALUE", text)


def test_the_times_that_are_shipped_are_of_a_day_and_a_command():
    times = read_times()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", times.measured)
    assert times.command
    assert times.journeys
