"""The words of an entity in texts of any kind become those of another, in the form that stood there."""

from __future__ import annotations

import base64
import json

import pytest
from stream_cli.new.renaming import Renaming
from stream_cli.new.words import entity_of

STORY = entity_of("story", "stories")
TO_ORDER = Renaming(STORY, entity_of("order", None))
TO_LINE_ITEM = Renaming(STORY, entity_of("line_item", None))


@pytest.mark.parametrize(
    ("text", "order", "line_item"),
    [
        ("story-submitted", "order-submitted", "line-item-submitted"),
        ("publish-story-updated", "publish-order-updated", "publish-line-item-updated"),
        ('{"story": {"id": 1}}', '{"order": {"id": 1}}', '{"line_item": {"id": 1}}'),
        ('"story.id"', '"order.id"', '"line_item.id"'),
        ("GET /stories/{id}", "GET /orders/{id}", "GET /line-items/{id}"),
        ("stories/read", "orders/read", "line-items/read"),
        ("my-stories.fifo", "my-orders.fifo", "my-line-items.fifo"),
        ('TOPIC = "stories.fifo"', 'TOPIC = "orders.fifo"', 'TOPIC = "line-items.fifo"'),
        ("app/logic/stories.py", "app/logic/orders.py", "app/logic/line_items.py"),
        ("StoryTopic", "OrderTopic", "LineItemTopic"),
        ("storyTopicArn", "orderTopicArn", "lineItemTopicArn"),
        ("ONCE_STORIES", "ONCE_ORDERS", "ONCE_LINE_ITEMS"),
        ('"discriminator": {"S": "story"}', '"discriminator": {"S": "order"}', '"discriminator": {"S": "line-item"}'),
        ("discriminator:\n    S: [story]", "discriminator:\n    S: [order]", "discriminator:\n    S: [line-item]"),
        ('"sk": "story", "story"', '"sk": "order", "order"', '"sk": "line-item", "line_item"'),
        ('"listing": "story"', '"listing": "order"', '"listing": "line-item"'),
        ('row["sk"] == "story"', 'row["sk"] == "order"', 'row["sk"] == "line-item"'),
        ("Once a story is there.", "Once an order is there.", "Once a line item is there."),
        ("A story's title", "An order's title", "A line item's title"),
        ("Stories of a day", "Orders of a day", "Line items of a day"),
        ("half a\n# story.", "half an\n# order.", "half a\n# line item."),
        ("a `story`", "an `order`", "a `line_item`"),
        ("history, restored, storytelling", "history, restored, storytelling", "history, restored, storytelling"),
        ("\\nstory-1", "\\norder-1", "\\nline-item-1"),
    ],
)
def test_a_word_becomes_the_other_in_its_form(text: str, order: str, line_item: str) -> None:
    assert (TO_ORDER.text(text), TO_LINE_ITEM.text(text)) == (order, line_item)


PYTHON = '''
def rows_of_a_story(story: Story, stories: list[Story]) -> str:
    """A story of many stories; the story comes first."""
    for story_id in stories:  # of stories
        url = f"/stories/{story['id']}: a story of {len(stories)} stories {{story}}"
    return {"sk": "story", "type": "story-ready", "story": STORY, story.kind: story}
'''


def test_names_of_python_are_told_from_sentences() -> None:
    assert (
        TO_LINE_ITEM.text(PYTHON, python=True)
        == '''
def rows_of_a_line_item(line_item: LineItem, line_items: list[LineItem]) -> str:
    """A line item of many line items; the line item comes first."""
    for line_item_id in line_items:  # of line items
        url = f"/line-items/{line_item['id']}: a line item of {len(line_items)} line items {{line_item}}"
    return {"sk": "line-item", "type": "line-item-ready", "line_item": LINE_ITEM, line_item.kind: line_item}
'''
    )


def test_names_of_functions_have_the_right_article() -> None:
    assert TO_ORDER.text("def test_a_story_is_kept(): ...", python=True) == "def test_an_order_is_kept(): ..."


def test_a_word_in_base64_is_renamed_there() -> None:
    data = base64.b64encode(b'{"type": "story-ready", "story": {"id": "s"}}').decode()

    (record,) = json.loads(TO_LINE_ITEM.text(json.dumps([{"data": data}])))

    assert base64.b64decode(record["data"]) == b'{"type": "line-item-ready", "line_item": {"id": "s"}}'


def test_there_and_back_again_is_the_same() -> None:
    text = (
        "A story: /stories, story-ready, StoryTopic, storyTopicArn, STORY, {'story': 1}, stories.fifo, the stories are"
    )

    back = Renaming(entity_of("line_item", None), STORY)

    assert back.text(TO_LINE_ITEM.text(text)) == text
