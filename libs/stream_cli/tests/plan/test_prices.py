"""The price table has a source for each price; a file of the user's replaces what it names, or says what is wrong."""

from __future__ import annotations

import json
import re
from math import inf
from pathlib import Path

import pytest
from stream_cli.errors import CommandError
from stream_cli.plan.prices import TABLE, Price, prices

CAPACITY = Path(__file__).resolve().parents[4] / "docs/capacity.md"


def _file(tmp_path, content):
    file = tmp_path / "mine.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_each_price_has_a_page_of_aws_and_the_table_a_month_and_a_region():
    table = prices()
    assert re.fullmatch(r"20\d\d-\d\d", table.as_of)
    assert table.region == "us-east-1"
    for each in table.prices.values():
        assert each.source.startswith("https://aws.amazon.com/"), each.id
        assert each.tiers[-1][0] == inf
    content = json.loads(TABLE.read_text())
    compared = {id: each["confirmed"] for id, each in content["prices"].items()}
    assert all(page is None or page.startswith("https://") for page in compared.values())
    unconfirmed = sorted(id for id, page in compared.items() if page is None)
    assert all(f"`{id}`" in CAPACITY.read_text() for id in unconfirmed)
    assumed = content["assumptions"]
    assert all(each["what"] and each["source"] for each in assumed.values())


@pytest.mark.parametrize(("units", "cost"), [(0, 0), (10, 20), (15, 25), (25, 30)])
def test_each_tier_has_its_price(units, cost):
    assert Price("a", "A", "a", "thing", ((10, 2.0), (20, 1.0), (inf, 0.0))).of(units) == cost


def test_a_file_replaces_prices_and_assumptions_and_the_rest_stays(tmp_path):
    mine = prices(
        _file(
            tmp_path,
            {
                "region": "eu-central-1",
                "as_of": "2027-01",
                "prices": {"lambda.requests": 0.25, "s3.storage": {"tiers": [[100, 0.03], [None, 0.02]]}},
                "assumptions": {"gzip": 0.3},
            },
        )
    )
    assert (mine.region, mine.as_of) == ("eu-central-1", "2027-01")
    assert mine.prices["lambda.requests"].of(2) == 0.5
    assert mine.prices["s3.storage"].tiers == ((100.0, 0.03), (inf, 0.02))
    assert mine.assumptions["gzip"] == 0.3
    assert mine.replaced == ("lambda.requests", "s3.storage", "gzip")
    assert mine.prices["lambda.arm64"] == prices().prices["lambda.arm64"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "mine.json is not JSON"),
        ([], 'expected an object with "prices"'),
        ({}, "mine.json replaces nothing"),
        ({"price": {"lambda.requests": 1}}, "there is no field price.\nThe fields are region, "),
        ({"prices": {"lambda.request": 1}}, "there is no price lambda.request"),
        ({"prices": {"lambda.requests": "a"}}, 'the price of lambda.requests is "a"'),
        ({"prices": {"lambda.requests": -1}}, "the price of lambda.requests is -1"),
        ({"prices": {"lambda.requests": {"tiers": [[5, 1]]}}}, "null last"),
        ({"prices": {"lambda.requests": {"tiers": [[5, 1], [3, 1], [None, 1]]}}}, "the units rising"),
        ({"assumptions": {"zip": 1}}, "there is no assumption zip"),
        ({"assumptions": {"gzip": None}}, "the assumption gzip is null"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_where(tmp_path, content, says):
    with pytest.raises(CommandError, match=re.escape(says)):
        prices(_file(tmp_path, content))
