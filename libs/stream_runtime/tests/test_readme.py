"""The README: its examples run, and its tables match the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import rule_reference
from moto import mock_aws
from stream_runtime import clients, encryption, flavors
from stream_runtime.rules.fields import BaseRule, SharedFields, fields_of

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows_after(heading: str) -> dict[str, list[str]]:
    """The table that follows a heading, by the names in its first column."""
    table = README.split(f"\n{heading}\n", 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {name: cells(line) for line in table for name in re.findall(r"`([^`]+)`", cells(line)[0])}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, bus: Any) -> Iterator[Any]:
    monkeypatch.setenv("ENTITY_TABLE_NAME", "entities")
    monkeypatch.setenv("CLAIMCHECK_BUCKET_NAME", "claims")
    monkeypatch.setenv("ENCRYPTION_KEYS", "alias/things")
    encryption.forget()
    with mock_aws():
        kms = boto3.client("kms")
        kms.create_alias(AliasName="alias/things", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
        boto3.client("s3", "us-east-1").create_bucket(Bucket="claims")
        yield boto3.resource("dynamodb").create_table(
            TableName="entities",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
    clients.reset()


def test_the_first_example_is_the_whole_idea_in_ten_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line]) <= 10


def test_all_examples_run_one_after_the_other(table: Any, bus: Any) -> None:
    names: dict[str, Any] = {"table": table, "published": lambda: bus.events, "json": json}
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"README.md, example {number + 1}", "exec"), names)


def test_the_tables_are_those_of_the_definitions() -> None:
    """`python scripts/rule_reference.py` writes them anew."""
    assert rule_reference.with_tables(README) == README


def test_the_table_of_flavors_has_every_flavor_with_all_of_its_fields() -> None:
    documented = rows_after("## Flavors")
    assert set(documented) == {name for name in flavors.__all__ if hasattr(getattr(flavors, name), "rule_type")}
    for name, (_, _, fields) in documented.items():
        rule_type = getattr(flavors, name).rule_type
        own = fields_of(rule_type).keys() - rule_reference.SHARED.keys()
        assert set(re.findall(r"`(\w+)`", fields)) == own, name
        needed = (rule_type.__required_keys__ - BaseRule.__required_keys__) | set(getattr(flavors, name).one_of)
        assert set(re.findall(r"\*\*`(\w+)`\*\*", fields)) == needed, name


def test_the_table_of_rules_has_the_fields_that_flavors_share_and_says_which_do() -> None:
    documented = rows_after("## Rules")
    assert set(documented) == fields_of(BaseRule).keys() | fields_of(SharedFields).keys()
    assert documented["id"][1] == "all"
    assert set(re.findall(r"`(\w+)`", documented["publish"][1])) == {
        name for name in rule_reference.recipes() if "publish" in fields_of(getattr(flavors, name).rule_type)
    }


def test_every_field_of_a_flavor_says_what_it_takes_and_what_it_is() -> None:
    for _, takes, meaning, _ in map(cells, rule_reference.tables()["fields"].splitlines()[2:]):
        assert takes != "any value"
        assert meaning
