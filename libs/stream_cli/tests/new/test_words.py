"""An entity's word, in the forms that names and texts have."""

from __future__ import annotations

import pytest
from stream_cli.new.words import entity_of


@pytest.mark.parametrize("given", ["line_item", "line-item", "lineItem", "LineItem", "line item", "LINE_ITEM"])
def test_a_word_may_be_given_in_any_form(given: str) -> None:
    entity = entity_of(given, None)

    assert [entity.one.in_style(style) for style in ("snake", "kebab", "camel", "pascal", "upper", "sentence")] == [
        "line_item", "line-item", "lineItem", "LineItem", "LINE_ITEM", "Line item",
    ]  # fmt: skip
    assert entity.several.in_style("snake") == "line_items"


@pytest.mark.parametrize(
    ("one", "several"),
    [("order", "orders"), ("category", "categories"), ("box", "boxes"), ("day", "days"), ("search", "searches")],
)
def test_a_plural_that_is_not_given_is_the_usual_one(one: str, several: str) -> None:
    assert entity_of(one, None).several.parts == (several,)


def test_a_plural_that_is_given_is_taken() -> None:
    assert entity_of("person", "people").several.parts == ("people",)


@pytest.mark.parametrize(
    ("one", "article"), [("order", "an"), ("user", "a"), ("hour", "an"), ("unit", "a"), ("unknown", "an"), ("box", "a")]
)
def test_the_article_is_as_the_word_is_spoken(one: str, article: str) -> None:
    assert entity_of(one, None).one.article == article


@pytest.mark.parametrize(
    ("one", "several", "message"),
    [
        ("class", None, "--entity class: that is a word of Python"),
        ("import", "wares", "--entity import: that is a word of Python"),
        ("clas", "class", "--plural class: that is a word of Python"),
        ("sheep", "sheep", "--plural sheep is the same as --entity"),
        ("", None, "--entity '' is no name"),
        ("7up", None, "--entity '7up' is no name"),
        ("part_2", None, "no part of it may begin with a digit"),
        ("straße", None, "--entity 'straße' is no name"),
        ("order;rm", None, "is no name"),
    ],
)
def test_what_cannot_be_a_name_is_said(one: str, several: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entity_of(one, several)
