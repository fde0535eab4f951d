"""Parts of the lake's template that have to fit together: prefixes of objects and of queries, and what is retained."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stream_cli.lake.claims import PREFIX

from tests.templates.stacks import HUB, Stack

LAKE = "event-lake-s3"
STAGES = [(LAKE, stage) for stage in ("local", "dev", "prod")]
README = Path(__file__).resolve().parents[2] / "services" / LAKE / "README.md"
each_stage = pytest.mark.parametrize("compiled", STAGES, ids="-".join)
ARRIVED = datetime(2026, 3, 7, 5, 59, tzinfo=UTC)


def properties(stack: Stack) -> dict[str, Any]:
    """The properties of the lake's resources, by logical id."""
    return {name: each.get("Properties", {}) for name, each in stack.resources.items()}


def put_below(delivery: dict[str, Any], at: datetime) -> str:
    """The prefix under which Firehose writes a record that arrives at this time."""
    formats = {"yyyy-MM-dd": "%Y-%m-%d", "HH": "%H"}
    prefix = delivery["ExtendedS3DestinationConfiguration"]["Prefix"]
    return re.sub(r"!\{timestamp:([^}]+)\}", lambda found: at.strftime(formats[found[1]]), prefix)


def looked_for_below(table: dict[str, Any], at: datetime) -> str:
    """The prefix that Athena reads for the partition of this time."""
    settings = table["TableInput"]["Parameters"]
    location = settings["storage.location.template"]["Fn::Sub"].replace("${!", "${")
    values = {
        "LakeBucket": "bucket",
        "dt": at.strftime({"yyyy-MM-dd": "%Y-%m-%d"}[settings["projection.dt.format"]]),
        "hour": str(at.hour).zfill(int(settings["projection.hour.digits"])),
    }
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], location)


@each_stage
def test_queries_look_for_objects_where_they_are_put(stack: Stack) -> None:
    made = properties(stack)

    assert looked_for_below(made["LakeTable"], ARRIVED) == f"s3://bucket/{put_below(made['Delivery'], ARRIVED)}"


@each_stage
def test_every_hour_of_the_day_is_projected_and_every_partition_declared(stack: Stack) -> None:
    table = properties(stack)["LakeTable"]["TableInput"]

    first, last = map(int, table["Parameters"]["projection.hour.range"].split(","))
    assert list(range(first, last + 1)) == list(range(24))
    assert table["Parameters"]["projection.dt.range"].endswith(",NOW")
    assert [each["Name"] for each in table["PartitionKeys"]] == ["dt", "hour"]


@each_stage
def test_failed_records_are_not_rows_and_have_a_lifecycle_of_their_own(stack: Stack) -> None:
    made = properties(stack)
    errors = made["Delivery"]["ExtendedS3DestinationConfiguration"]["ErrorOutputPrefix"]
    by_prefix = {rule.get("Prefix") for rule in made["LakeBucket"]["LifecycleConfiguration"]["Rules"]}

    assert not put_below(made["Delivery"], ARRIVED).startswith(errors.split("!")[0])
    assert by_prefix == {"claims/", "events/", "queries/", None}


@pytest.mark.parametrize("compiled", [(LAKE, "prod")], ids="-".join)
def test_columns_are_fields_of_the_envelope_that_the_readme_shows(stack: Stack) -> None:
    (line,) = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    storage = properties(stack)["LakeTable"]["TableInput"]["StorageDescriptor"]
    parameters = storage["SerdeInfo"]["Parameters"]
    named = {parameters.get(f"mapping.{each['Name']}", each["Name"]) for each in storage["Columns"]}

    assert named <= set(json.loads(line))


@each_stage
def test_every_event_except_faults_is_written_as_a_line_with_gzip(stack: Stack) -> None:
    made = properties(stack)
    to = made["Delivery"]["ExtendedS3DestinationConfiguration"]

    assert made["DeliveryRule"]["EventPattern"] == {"detail-type": [{"anything-but": "fault"}]}
    assert made["DeliveryRule"]["EventBusName"] == HUB["busName"]
    assert to["CompressionFormat"] == "GZIP"
    assert [each["Type"] for each in to["ProcessingConfiguration"]["Processors"]] == ["AppendDelimiterToRecord"]


@pytest.mark.parametrize(("compiled", "days"), [((LAKE, "prod"), None), ((LAKE, "dev"), 365)], ids=str)
def test_prod_keeps_events_for_ever(stack: Stack, days: int | None) -> None:
    rules = {rule["Id"]: rule for rule in properties(stack)["LakeBucket"]["LifecycleConfiguration"]["Rules"]}

    assert rules["cool-down"].get("ExpirationInDays") == days


@each_stage
def test_the_body_of_a_large_event_is_kept_as_the_events_are(stack: Stack) -> None:
    rules = {rule["Id"]: rule for rule in properties(stack)["LakeBucket"]["LifecycleConfiguration"]["Rules"]}

    assert rules["cool-down-claims"] == {**rules["cool-down"], "Id": "cool-down-claims", "Prefix": PREFIX}
