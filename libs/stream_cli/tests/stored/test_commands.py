"""``streamctl lake`` and ``streamctl faults`` on the command line, against an account of moto."""

import gzip
import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError
from stream_cli.cli import app
from stream_cli.lake import command as lake_command
from stream_cli.local.state import StateFolder
from stream_cli.mappings.records import to_json
from stream_cli.plan.load import from_lines
from stream_cli.stored.connection import Connection
from stream_cli.stored.options import time_of
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("aws")

BUCKET = "history"  # the one that ``store`` fills


@pytest.fixture
def streamctl(tmp_path):
    """Run a command with its own state folder and, by default, the bucket that ``store`` fills."""

    def run(*arguments, bucket=BUCKET):
        given = [] if bucket is None else ["--bucket", bucket]
        return CliRunner().invoke(app, [*arguments, "--stage", "dev", "--state", str(tmp_path), *given])

    return run


@pytest.fixture
def faults(store, envelope):
    """Two faults of a listener and one of a trigger."""

    def fault(number, function, error):
        made = envelope(number, "fault", source="orders")
        made["detail"] |= {
            "tags": {"source": "orders", "functionname": function, "pipeline": "collect"},
            "err": {"name": error, "message": f"no: email=a{number}@b", "stack": "..."},
            "uow": {"record": {"eventID": f"s:{number}", "kinesis": {"data": "e30="}}},
        }
        return made

    store(
        [fault(1, "listener", "KeyError"), fault(2, "listener", "KeyError"), fault(3, "trigger", "TypeError")],
        prefix="faults/",
    )


@pytest.fixture(autouse=True)
def stage(monkeypatch):
    """The functions of the stage. tests/system has real stacks, which moto needs more packages for."""
    monkeypatch.setattr(Connection, "functions", lambda self: {"listener", "trigger"})


@pytest.fixture
def stream():
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)

    def ids():
        shard = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(**shard)["ShardIterator"]
        return [json.loads(each["Data"])["id"] for each in kinesis.get_records(ShardIterator=iterator)["Records"]]

    return ids


def test_events_are_counted_by_day_type_and_source(store, envelope, streamctl):
    store([envelope(1), envelope(1), envelope(2, "item-ready", source="control")])
    assert json.loads(streamctl("lake", "ls", "--json").stdout) == [
        {"date": "2026-01-01", "type": "item-ready", "source": "control", "events": 1, "ids": 1},
        {"date": "2026-01-01", "type": "item-submitted", "source": "rest-bff-service", "events": 2, "ids": 1},
    ]
    assert "3 events" in streamctl("lake", "ls").stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--id", "e3", "--id", "e1", "--id", "missing"], ["e1", "e3"]),
        (["--type", "item-ready", "--type", "order-placed"], ["e2", "e3"]),
        (["--type-prefix", "item-"], ["e1", "e2"]),
        (["--type-regex", "(ready|placed)$"], ["e2", "e3"]),
        (["--source", "orders"], ["e3"]),
        (["--date", "2026-01-02"], ["e3"]),
        (["--since", "2026-01-01T12:30", "--until", "2026-01-01T13:30"], ["e2"]),
        (["--since", "1h"], []),
        (["--include-faults"], ["e1", "e2", "e3", "e4"]),
        (["--limit", "1"], ["e1"]),
    ],
)
def test_events_are_printed_by_type_source_and_time(store, envelope, streamctl, options, expected):
    store([envelope(1), envelope(2, "item-ready", hours=1)])
    store([envelope(3, "order-placed", hours=24, source="orders"), envelope(4, "fault", hours=24)], day="2026-01-02")
    printed = streamctl("lake", "cat", *options).stdout.splitlines()
    assert [json.loads(line)["id"] for line in printed] == expected


def test_an_unknown_event_is_said_with_where_it_was_looked_for_and_what_to_do(store, envelope, streamctl):
    store([envelope(1), envelope(2, "fault")])
    ran = streamctl("lake", "cat", "--id", "e1", "--id", "e2", "--id", "nope")
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == ["e1"]
    assert (ran.exit_code, ran.stderr) == (
        1,
        "There is no event e2, nope in s3://history/events/. It may come minutes after it was published; "
        "`streamctl trace e2 --stage dev` says whether the bus has got it. Fault events are looked for with "
        "--include-faults.\n",
    )
    ran = streamctl("lake", "cat", "--id", "e1", "--date", "2026-01-02", "--include-faults")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "There is no event e1 in what the other options select of s3://history/events/. It may" in ran.stderr
    assert "--include-faults" not in ran.stderr


def test_an_event_that_a_limit_has_left_out_is_not_unknown(store, envelope, streamctl):
    store([envelope(1), envelope(2)])
    assert streamctl("lake", "cat", "--id", "e1", "--id", "e2", "--limit", "1").exit_code == 0


def test_the_rates_of_a_day_are_a_load_of_the_plan(store, envelope, streamctl):
    store([envelope(1), envelope(2), envelope(3, 'a "b", c', hours=1)])
    printed = streamctl("lake", "rates").stdout
    load = from_lines(printed.splitlines(keepends=True), "rates")
    assert {name: float(each.per_second.sum()) for name, each in load.types.items()} == {
        "item-submitted": 2.0,
        'a "b", c': 1.0,
    }
    assert load.seconds == 13 * 3600 + 1
    assert load.types["item-submitted"].per_second[12 * 3600] == 2
    assert load.types["item-submitted"].bytes_mean == len(to_json(envelope(1)["detail"]))
    assert load.types["item-submitted"].keys == 1


def test_the_rates_say_how_many_keys_there_were_and_how_hot_the_hottest_was(store, envelope, streamctl):
    store([envelope(number, key=f"k{max(0, number - 2)}") for number in range(6)])
    lines = streamctl("lake", "rates").stdout.splitlines()
    assert lines[0] == "second,type,events,bytes,keys,hottest"
    assert lines[1].endswith(",4,0.5")


def test_there_are_no_rates_without_events(store, streamctl):
    store([])
    assert streamctl("lake", "rates").stdout == "second,type,events,bytes,keys,hottest\n"


def test_a_dry_run_counts_events_and_replays_nothing(store, envelope, streamctl, stream):
    store([envelope(1), envelope(2, "fault")])
    said = streamctl("lake", "replay", "--to-stream", "s", "--dry-run").stdout
    assert "Would replay 1 event to stream s; nothing was replayed." in said
    assert stream() == []


def test_external_events_are_replayed_to_a_bus_and_not_to_the_stream_which_never_has_them(
    store, envelope, streamctl, stream, aws
):
    store([envelope(1), {**envelope(2), "source": "external"}, {**envelope(3), "source": "external.orders"}])
    boto3.client("events").create_event_bus(Name="b")
    assert "Replayed 1 event to stream s." in streamctl("lake", "replay", "--to-stream", "s").stdout
    assert stream() == ["e1"]
    assert "Would replay 3 events to bus b" in streamctl("lake", "replay", "--to-bus", "b", "--dry-run").stdout


def test_an_external_event_cannot_pass_for_an_event_of_a_service(store, envelope, streamctl):
    forged = {**envelope(2, source="control-service"), "source": "external.orders", "account": "333333333333"}
    store([envelope(1, source="control-service"), forged])
    printed = streamctl("lake", "cat", "--source", "control-service").stdout.splitlines()
    assert [json.loads(line)["id"] for line in printed] == ["e1"]


def test_a_complete_replay_is_not_repeated_without_restart(store, envelope, streamctl, stream):
    store([envelope(1), envelope(2, "fault")])
    assert "Replayed 1 event to stream s." in streamctl("lake", "replay", "--to-stream", "s").stdout
    assert "All that the lake held at 20" in streamctl("lake", "replay", "--to-stream", "s").stdout
    assert stream() == ["e1"]
    streamctl("lake", "replay", "--to-stream", "s", "--restart")
    assert stream() == ["e1", "e1"]


def test_after_ctrl_c_the_same_command_continues(store, envelope, streamctl, stream, monkeypatch):
    store([envelope(1), envelope(2)])

    class Interrupted(lake_command.RateLimit):
        calls = 0

        def wait_for(self, number):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(lake_command, "RateLimit", Interrupted)
        stopped = streamctl("lake", "replay", "--to-stream", "s", "--rate", "1")
    assert stopped.exit_code == 130
    assert "Stopped after 1 event; the same command goes on from there." in stopped.stderr
    going_on = streamctl("lake", "replay", "--to-stream", "s", "--rate", "1")
    assert "Going on after 1 event that" in going_on.stderr
    assert stream() == ["e1", "e2"]


def test_progress_shows_counts_and_an_estimate_in_eighty_columns(store, envelope, streamctl, stream, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    store([envelope(1), envelope(2)])
    shown = streamctl("lake", "replay", "--to-stream", "s").stderr
    assert "100% 2 events 1 of 1 objects 0:00:00 left" in shown


def test_faults_are_listed_by_what_failed_without_secrets(faults, streamctl):
    listed = json.loads(streamctl("faults", "ls", "--json").stdout)
    assert [(each["service"], each["function"], each["error"], each["ids"]) for each in listed] == [
        ("orders", "listener", "KeyError", ["e1", "e2"]),
        ("orders", "trigger", "TypeError", ["e3"]),
    ]
    said = streamctl("faults", "ls").stdout
    assert "2 x KeyError in orders" in said
    assert "no: email=[redacted]" in said
    assert "a2@b" not in said


def test_a_fault_is_shown_with_its_stack_and_without_secrets(faults, streamctl):
    for options in ([], ["--json"]):
        said = streamctl("faults", "show", "e2", *options).stdout
        assert "..." in said
        assert "s:2" in said
        assert "a2@b" not in said


def test_a_fault_that_happened_again_is_shown_with_its_last_error(faults, envelope, store, streamctl):
    once_more = envelope(2, "fault", hours=1)
    once_more["detail"] |= {"err": {"name": "KeyError", "message": "again", "stack": ""}, "uow": {}}
    store([once_more, once_more], hour=13, prefix="faults/")
    said = streamctl("faults", "show", "e2").stdout
    assert "2026-01-01T13:00:00Z, the last of 2 times" in said
    assert "KeyError: again" in said


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["e1", "e3"], 2),
        (["--error", "KeyError"], 2),
        (["--function", "trigger"], 1),
        (["--service", "orders", "--pipeline", "collect"], 3),
        (["--until", "1h"], 3),
    ],
)
def test_without_execute_the_selected_faults_are_only_listed(faults, streamctl, options, number):
    said = streamctl("faults", "resubmit", *options).stdout
    assert f"To be resubmitted: {number}; nothing was done. Add --execute." in said
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="resubmitted/")


def test_a_range_without_faults_resubmits_nothing(faults, streamctl):
    assert streamctl("faults", "resubmit", "--date", "2026-01-02", "--execute").stdout == "To be resubmitted: 0.\n"


def test_faults_of_a_missing_function_stay_due(faults, streamctl):
    said = streamctl("faults", "resubmit", "e3", "--execute")
    assert said.exit_code == 1
    assert "e3: " in said.stderr
    assert "Function not found" in said.stderr
    assert "To be resubmitted: 1" in streamctl("faults", "resubmit", "e3").stdout


def test_no_forged_fault_stops_a_command(faults, envelope, store, streamctl):
    forged = [
        *({"timestamp": each} for each in (float("inf"), float("nan"), 1e30, -1e30, 10**30, "1", None)),
        *({"err": each} for each in ("text", ["x"], 5, True, {"name": {"a": 1}, "message": ["m"], "stack": {}})),
        *({"id": each} for each in ("\ud800", 5, None, {})),
        *({"tags": each} for each in ("text", {"source": {}, "functionname": "\ud800"})),
        *({"uow": each} for each in ("text", {"batch": {}}, {"batch": [1]}, {"record": "\ud800"})),
        {"redacted": True},
    ]
    found = [envelope(number, "fault") for number in range(10, 10 + len(forged))]
    for each, what in zip(found, forged, strict=True):
        each["detail"] |= {"tags": {"functionname": "trigger"}, "err": {"name": "E"}, **what}
    store(found, hour=13, prefix="faults/")

    assert f"{len(forged) + 3} faults" in streamctl("faults", "ls", "--since", "2026-01-01T11:00").stdout
    assert len(json.loads(streamctl("faults", "ls", "--json").stdout)) > 2
    resubmitted = streamctl("faults", "resubmit", "--until", "1h")
    assert resubmitted.exit_code == 0
    assert "KeyError" in resubmitted.stdout
    shown = [streamctl("faults", "show", f"e{10 + number}") for number in (0, 1, 2, 4, 7, 8, 11, 18)]
    assert [each.exit_code for each in shown] == [0] * len(shown)
    assert "None: text" in shown[4].stdout


def test_refused_faults_are_counted_and_shown_and_stay_unresolved(faults, streamctl, monkeypatch):
    monkeypatch.setattr(Connection, "functions", lambda self: {"trigger-of-another-stage"})
    for _ in range(2):
        refused = streamctl("faults", "resubmit", "--service", "orders", "--execute")
        assert refused.exit_code == 1
        assert "To be resubmitted: 0." in refused.stdout
        assert "e1 is refused: listener is not a function of the stacks of this stage\n" in refused.stderr
        assert "Refused: 3. They stay unresolved." in refused.stderr


@pytest.mark.parametrize(
    "command", [["faults", "resubmit", "e1", "--execute"], ["lake", "replay", "--to-stream", "s"]], ids=lambda it: it[0]
)
def test_a_production_stage_is_not_touched_without_a_yes(faults, store, envelope, stream, tmp_path, command):
    store([envelope(1)], name="b")
    line = [*command, "--stage", "prod", "--bucket", BUCKET, "--state", str(tmp_path)]
    refused = CliRunner().invoke(app, line)
    assert refused.exit_code == 1
    assert "in the production stage prod, account 123456789012, us-east-1, needs a yes. Add --yes" in refused.stderr
    assert stream() == []
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="resubmitted/")
    agreed = CliRunner().invoke(app, [*line, "--yes"])
    assert "needs a yes" not in agreed.stderr
    assert stream() == ["e1"] or "Function not found" in agreed.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lake", "ls", "--date", "01.02.2026"], "no date like"),
        (["lake", "ls", "--since", "yesterday"], "neither a time like"),
        (["lake", "cat", "--type-regex", "("], "--type-regex"),
        (["lake", "replay"], "give one of"),
        (["lake", "replay", "--to-stream", "s", "--to-bus", "b"], "give one of"),
        (["lake", "replay", "--to-stream", "s", "--rate", "0"], "--rate"),
        (["faults", "resubmit"], "say which"),
        (["faults", "resubmit", "e1", "--rate", "0"], "--rate"),
        (["faults", "show"], "ID"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_reason(store, streamctl, arguments, said):
    refused = streamctl(*arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lake", "replay", "--to-function", "nothing"], "Function not found"),
        (["lake", "replay", "--to-stream", "nothing", "--dry-run"], "Stream nothing"),
        (["lake", "replay", "--to-bus", "nothing"], "nothing does not exist"),
        (["faults", "show", "nothing"], "There is no fault nothing"),
        (["faults", "resubmit", "e1", "nothing", "--execute"], "There is no fault nothing."),
    ],
)
def test_a_missing_resource_is_named_in_one_line(faults, streamctl, arguments, said):
    refused = streamctl(*arguments)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.fixture
def stacks(monkeypatch):
    """The outputs of the existing stacks, by name."""
    found = {}

    class CloudFormation:
        def describe_stacks(self, StackName):
            if StackName not in found:
                error = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
                raise ClientError({"Error": error}, "DescribeStacks")
            outputs = [{"OutputKey": key, "OutputValue": value} for key, value in found[StackName].items()]
            return {"Stacks": [{"Outputs": outputs}]}

    monkeypatch.setattr(
        Connection, "client", lambda _, name: CloudFormation() if name == "cloudformation" else boto3.client(name)
    )
    return found


@pytest.mark.parametrize(("name", "service"), [("lake", "event-lake-s3"), ("faults", "event-fault-monitor")])
def test_the_error_for_a_missing_stack_mentions_the_bucket_option(stacks, streamctl, name, service):
    expected = "A service of another name is found with --bucket, its stack's output bucketName."
    for said in (f"Stack {service}-dev cannot be read", f"Stack {service}-dev has no output bucketName"):
        refused = streamctl(name, "ls", bucket=None)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(said)
        assert refused.stderr.endswith(f"{expected}\n")
        stacks[f"{service}-dev"] = {}
    assert "There is no bucket none-such in stage dev." in streamctl(name, "ls", bucket="none-such").stderr


def test_a_local_cloud_without_the_stack_says_how_to_deploy_it(stacks, monkeypatch, tmp_path):
    monkeypatch.setattr("stream_cli.stored.connection.attach", lambda state: None)
    refused = CliRunner().invoke(app, ["faults", "ls", "--state", str(tmp_path)])
    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        "The local cloud has no stack event-fault-monitor-local: `streamctl deploy event-fault-monitor` deploys it, "
        "and what is published from then on is kept. A service of another name"
    )


def test_the_bucket_is_the_one_that_the_stack_names(stacks, store, envelope, streamctl):
    store([envelope(1)])
    stacks["event-lake-s3-dev"] = {"bucketName": BUCKET}
    assert "1 event\n" in streamctl("lake", "ls", bucket=None).stdout


def test_a_client_never_repeats_an_invocation_after_a_timeout(tmp_path):
    config = Connection("dev", StateFolder(tmp_path)).invoking().meta.config
    assert config.read_timeout > 15 * 60
    assert config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize(("variable", "region"), [("AWS_REGION", "eu-west-1"), (None, "us-east-1")])
def test_the_region_of_another_stage_is_that_of_its_services(tmp_path, monkeypatch, variable, region):
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    if variable:
        monkeypatch.setenv(variable, region)
    connection = Connection("dev", StateFolder(tmp_path))
    assert {connection.client("s3").meta.region_name, connection.invoking().meta.region_name} == {region}


def test_a_local_stage_without_a_cloud_says_how_to_start_one(tmp_path):
    refused = CliRunner().invoke(app, ["lake", "ls", "--state", str(tmp_path)])
    assert refused.exit_code == 1
    assert "Start one with `streamctl up`" in refused.stderr


def test_a_truncated_object_ends_a_replay_with_one_line(store, streamctl, stream):
    store([])
    body = gzip.compress(b"x" * 1000)[:-5]
    boto3.client("s3").put_object(Bucket=BUCKET, Key="events/dt=2026-01-01/hour=12/cut", Body=body)
    refused = streamctl("lake", "replay", "--to-stream", "s")
    assert refused.exit_code == 1
    assert "cut cannot be read to its end" in refused.stderr


@pytest.mark.parametrize("text", ["99999d", "1969-12-31T23:59", "0001-01-01T00:00"])
def test_a_time_before_all_times_of_aws_is_the_first_one(text: str) -> None:
    assert time_of(text, "--since") == datetime(1970, 1, 1, tzinfo=UTC)
