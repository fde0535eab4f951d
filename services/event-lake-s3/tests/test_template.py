"""Parts of the template that have to fit together: prefixes of objects and of queries, and what is retained."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.packaging

STAGES = ("local", "dev", "prod")
README = Path(__file__).resolve().parents[1] / "README.md"
ARRIVED = datetime(2026, 3, 7, 5, 59, tzinfo=UTC)


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


@pytest.mark.parametrize("stage", STAGES)
def test_queries_look_for_objects_where_they_are_put(resources: Any, stage: str) -> None:
    made = resources(stage)

    assert looked_for_below(made["LakeTable"], ARRIVED) == f"s3://bucket/{put_below(made['Delivery'], ARRIVED)}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_hour_of_the_day_is_projected_and_every_partition_declared(resources: Any, stage: str) -> None:
    table = resources(stage)["LakeTable"]["TableInput"]

    first, last = map(int, table["Parameters"]["projection.hour.range"].split(","))
    assert list(range(first, last + 1)) == list(range(24))
    assert table["Parameters"]["projection.dt.range"].endswith(",NOW")
    assert [each["Name"] for each in table["PartitionKeys"]] == ["dt", "hour"]


@pytest.mark.parametrize("stage", STAGES)
def test_failed_records_are_not_rows_and_have_a_lifecycle_of_their_own(resources: Any, stage: str) -> None:
    made = resources(stage)
    errors = made["Delivery"]["ExtendedS3DestinationConfiguration"]["ErrorOutputPrefix"]
    by_prefix = {rule.get("Prefix") for rule in made["LakeBucket"]["LifecycleConfiguration"]["Rules"]}

    assert not put_below(made["Delivery"], ARRIVED).startswith(errors.split("!")[0])
    assert by_prefix == {"events/", "queries/", None}


def test_columns_are_fields_of_the_envelope_that_the_readme_shows(resources: Any) -> None:
    (line,) = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    storage = resources("dev")["LakeTable"]["TableInput"]["StorageDescriptor"]
    parameters = storage["SerdeInfo"]["Parameters"]
    named = {parameters.get(f"mapping.{each['Name']}", each["Name"]) for each in storage["Columns"]}

    assert named <= set(json.loads(line))


@pytest.mark.parametrize("stage", STAGES)
def test_every_event_except_faults_is_written_as_a_line_with_gzip(resources: Any, stage: str) -> None:
    made = resources(stage)
    to = made["Delivery"]["ExtendedS3DestinationConfiguration"]

    assert made["DeliveryRule"]["EventPattern"] == {"detail-type": [{"anything-but": "fault"}]}
    assert made["DeliveryRule"]["EventBusName"] == "hub-bus"
    assert to["CompressionFormat"] == "GZIP"
    assert [each["Type"] for each in to["ProcessingConfiguration"]["Processors"]] == ["AppendDelimiterToRecord"]


@pytest.mark.parametrize(("stage", "days"), [("prod", None), ("dev", 365)])
def test_prod_keeps_events_for_ever(resources: Any, stage: str, days: int | None) -> None:
    rules = {rule["Id"]: rule for rule in resources(stage)["LakeBucket"]["LifecycleConfiguration"]["Rules"]}

    assert rules["cool-down"].get("ExpirationInDays") == days
