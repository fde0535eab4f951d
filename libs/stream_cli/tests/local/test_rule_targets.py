from __future__ import annotations

import json
from typing import Any

import pytest
from stream_cli.local.rule_targets import InvalidOutput, InvalidPath, found_at, partition_key, refusal, target_input

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "e-1",
    "detail-type": "item-submitted",
    "source": "custom",
    "time": "2026-11-21T10:00:00Z",
    "detail": {
        "id": "1",
        "partition_key": "item-7",
        "item": {"title": 'He said "stop"', "tags": ["a", "b"], "score": 0.5, "x/y-z": 1},
        "parts": [{"n": 1}, {"n": 2}],
    },
}
RULE = {"Name": "to-stream", "Arn": "arn:aws:events:us-east-1:000000000000:rule/bus/to-stream"}
RECEIVED = "2026-11-21T10:00:01Z"


def given_to(target: dict[str, Any]) -> str:
    return target_input({"Id": "t", "Arn": "arn:aws:kinesis:x", **target}, EVENT, RULE, received_at=RECEIVED)


def transformed(template: str, **paths: str) -> str:
    return given_to({"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}})


def test_a_target_without_input_gets_the_whole_event() -> None:
    assert json.loads(given_to({})) == EVENT


def test_a_constant_input_replaces_the_event() -> None:
    assert given_to({"Input": '{"fixed": true}'}) == '{"fixed": true}'


def test_an_input_path_selects_a_part_of_the_event_as_json() -> None:
    assert json.loads(given_to({"InputPath": "$.detail"})) == EVENT["detail"]
    assert given_to({"InputPath": "$.detail.partition_key"}) == '"item-7"'


def test_with_an_input_path_that_finds_nothing_the_target_gets_the_event() -> None:
    assert json.loads(given_to({"InputPath": "$.detail.nothing"})) == EVENT


def test_a_variable_outside_of_quotes_gets_quotes() -> None:
    text = transformed(
        '{"key": <key>, "tags": <tags>, "n": <n>}',
        key="$.detail.id",
        tags="$.detail.item.tags",
        n="$.detail.item.score",
    )
    assert json.loads(text) == {"key": "1", "tags": ["a", "b"], "n": 0.5}


def test_a_text_outside_of_quotes_is_escaped() -> None:
    assert json.loads(transformed('{"title": <title>}', title="$.detail.item.title")) == {"title": 'He said "stop"'}


def test_a_variable_within_a_text_is_inserted_unescaped() -> None:
    assert transformed('{"about": "item <id> is new"}', id="$.detail.id") == '{"about": "item 1 is new"}'


def test_an_object_within_a_text_loses_its_quotes() -> None:
    assert transformed('"tags: <tags>"', tags="$.detail.item.tags") == '"tags: [a,b]"'
    assert transformed("tags: <tags>", tags="$.detail.item.tags") == "tags: [a,b]"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ('{"about": "tags: <tags>"}', "<tags> is an array"),
        ('{"about": "<item>"}', "<item> is an object"),
        ('{"about": {"deeper": ["x", "<numbers>"]}}', "<numbers> is an array"),
        ('["<item>"]', "<item> is an object"),
        ('{"all": "<aws.events.event.json>"}', "<aws.events.event.json> is an object"),
        ('{"envelope": "<aws.events.event>"}', "<aws.events.event> is an object"),
        ('{"title": "<title>"}', "not JSON"),
        ('{"title": <title>', "not JSON"),
    ],
)
def test_a_template_of_json_whose_output_is_not_json_is_refused(template: str, problem: str) -> None:
    paths = {"tags": "$.detail.item.tags", "item": "$.detail.item", "numbers": "$.detail.parts[*].n"}
    with pytest.raises(InvalidOutput, match=problem):
        transformed(template, title="$.detail.item.title", **paths)


def test_a_template_without_quotes_is_plain_text() -> None:
    assert transformed("<id> of <key>", id="$.detail.id", key="$.detail.partition_key") == "1 of item-7"


def test_an_escaped_quote_does_not_end_a_text() -> None:
    assert transformed('"said \\"<id>\\" once"', id="$.detail.id") == '"said \\"1\\" once"'


def test_a_line_end_after_the_template_is_kept() -> None:
    assert transformed("<aws.events.event.json>\n").endswith("}\n")


def test_a_variable_whose_path_finds_nothing_is_an_empty_text() -> None:
    assert transformed('{"a": <a>, "b": "<a>"}', a="$.detail.nothing") == '{"a": "", "b": ""}'


def test_an_unknown_variable_stays_as_it_is() -> None:
    assert transformed('{"html": "<b>"}') == '{"html": "<b>"}'


def test_predefined_variables_hold_rule_and_event() -> None:
    text = transformed(
        '{"rule": <aws.events.rule-name>, "arn": <aws.events.rule-arn>, "at": <aws.events.event.ingestion-time>,'
        ' "envelope": <aws.events.event>, "all": <aws.events.event.json>}'
    )
    assert json.loads(text) == {
        "rule": RULE["Name"],
        "arn": RULE["Arn"],
        "at": RECEIVED,
        "envelope": {
            "id": "e-1",
            "detailType": "item-submitted",
            "time": "2026-11-21T10:00:00Z",
            "source": "custom",
            "version": "0",
        },
        "all": EVENT,
    }


RECORDED = {
    "version": "0",
    "id": "e-2",
    "detail-type": "core.update-account-command",
    "source": "core.update-account-command",
    "account": "111111111111",
    "time": "2024-06-11T08:33:12Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {"command": "update-account", "payload": {"acc_id": "0a787ecb-4015", "sf_id": "baz"}},
}
PATHS = {"detail-type": "$.detail-type", "timestamp": "$.time", "command": "$.detail.command"}


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ({"InputPath": "$.detail"}, '{"command":"update-account","payload":{"acc_id":"0a787ecb-4015","sf_id":"baz"}}'),
        ({"InputPath": "$.detail.payload"}, '{"acc_id":"0a787ecb-4015","sf_id":"baz"}'),
        ({"InputPath": "$.detail.payload.sf_id"}, '"baz"'),
        (
            {"InputTransformer": {
                "InputPathsMap": PATHS,
                "InputTemplate": '"Event of <detail-type> type, at time <timestamp>, info extracted from <command>"',
            }},
            '"Event of core.update-account-command type, at time 2024-06-11T08:33:12Z, info extracted from '
            'update-account"',
        ),
        (
            {"InputTransformer": {
                "InputPathsMap": {**PATHS, "command": "$.detail.notinmessage"},
                "InputTemplate": '"Event of <detail-type> type, info extracted from detail <command>"',
            }},
            '"Event of core.update-account-command type, info extracted from detail "',
        ),
        (
            {"InputTransformer": {
                "InputPathsMap": PATHS,
                "InputTemplate": '"{[/Check with special starting characters for event of <detail-type> type"',
            }},
            '"{[/Check with special starting characters for event of core.update-account-command type"',
        ),
        (
            {"InputTransformer": {
                "InputPathsMap": PATHS,
                "InputTemplate": '{"detailType": <detail-type>, "time": <timestamp>, "command": <command>}',
            }},
            '{"detailType": "core.update-account-command", "time": "2024-06-11T08:33:12Z", '
            '"command": "update-account"}',
        ),
        (
            {"InputTransformer": {
                "InputPathsMap": {**PATHS, "command": "$.detail.notinmessage"},
                "InputTemplate": '{"detailType": <detail-type>, "command": <command>}',
            }},
            '{"detailType": "core.update-account-command", "command": ""}',
        ),
        (
            {"InputTransformer": {"InputTemplate": '{"originalEvent": <aws.events.event>}'}},
            '{"originalEvent": {"id":"e-2","account":"111111111111","detailType":"core.update-account-command",'
            '"time":"2024-06-11T08:33:12Z","source":"core.update-account-command","region":"us-east-1","resources":[],'
            '"version":"0"}}',
        ),
        (
            {"InputTransformer": {
                "InputTemplate": '"all pre defined variables <aws.events.rule-arn> <aws.events.rule-name> '
                '<aws.events.event.ingestion-time>"',
            }},
            f'"all pre defined variables {RULE["Arn"]} {RULE["Name"]} {RECEIVED}"',
        ),
    ],
)  # fmt: skip
def test_targets_get_what_was_recorded_on_aws(target: dict[str, Any], output: str) -> None:
    """LocalStack, `tests/aws/services/events/test_events_inputs.snapshot.json`, recorded in May and June 2024."""
    assert target_input({"Id": "t", **target}, RECORDED, RULE, received_at=RECEIVED) == output


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (
            {"InputTransformer": {"InputTemplate": '"x"'}, "InputPath": "$.detail"},
            "Only one of Input, InputPath, or InputTransformer must be provided for target t.",
        ),
        (
            {"Input": "{}", "InputPath": "$.detail"},
            "Only one of Input, InputPath, or InputTransformer must be provided for target t.",
        ),
        (
            {"InputTransformer": {
                "InputPathsMap": PATHS,
                "InputTemplate": '"Event of <detail-type> type, with not defined key <notdefinedkey>"',
            }},
            "InputTemplate for target t contains invalid placeholder notdefinedkey.",
        ),
        (
            {"InputTransformer": {"InputPathsMap": {"aws.events.x": "$.id"}, "InputTemplate": "<aws.events.x>"}},
            "InputPathsMap for target t contains invalid key aws.events.x.",
        ),
        (
            {"InputTransformer": {"InputPathsMap": {f"v{n}": "$.id" for n in range(101)}, "InputTemplate": "<v1>"}},
            "InputPathsMap for target t has 101 variables; at most 100.",
        ),
    ],
)  # fmt: skip
def test_a_target_is_refused_in_the_words_of_aws(target: dict[str, Any], reason: str) -> None:
    """The first and third are recorded: `test_put_event_input_path_and_input_transformer`, `..._missing_keys`."""
    assert refusal({"Id": "t", "Arn": "arn:aws:sqs:us-east-1:000000000000:q", **target}) == reason


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"Input": "{}"},
        {"InputPath": "$.detail.items[*]"},
        {"InputPath": "detail"},
        {"InputTransformer": {"InputTemplate": '{"a": <aws.events.event.json>, "b": "<aws.events.rule-name>"}'}},
        {"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": '"<detail-type> < 3"'}},
    ],
)
def test_a_target_that_aws_takes_is_accepted(target: dict[str, Any]) -> None:
    assert refusal({"Id": "t", "Arn": "arn:aws:sqs:us-east-1:000000000000:q", **target}) is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", EVENT),
        ("$.detail-type", "item-submitted"),
        ("$.detail.parts[1].n", 2),
        ("$.detail.parts[*].n", [1, 2]),
        ("$.detail.item.tags[-1]", "b"),
        ("$['detail']['item'][\"score\"]", 0.5),
        ("$.detail.item.x/y-z", 1),
        ("$.detail.parts[7]", None),
        ("$.detail.item.title.deeper", None),
    ],
)
def test_paths(path: str, found: Any) -> None:
    assert found_at(EVENT, path, otherwise=None) == found


@pytest.mark.parametrize("path", ["detail", "$.", "$.a[", "$..a"])
def test_an_invalid_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath):
        found_at(EVENT, path, otherwise=None)


def test_the_partition_key_comes_from_the_event_and_not_from_the_input() -> None:
    target = {"InputPath": "$.detail.item", "KinesisParameters": {"PartitionKeyPath": "$.detail.partition_key"}}
    assert partition_key(target, EVENT) == "item-7"


def test_a_partition_key_that_is_not_a_text_is_written_as_json() -> None:
    assert partition_key({"KinesisParameters": {"PartitionKeyPath": "$.detail.item.score"}}, EVENT) == "0.5"


@pytest.mark.parametrize("target", [{}, {"KinesisParameters": {"PartitionKeyPath": "$.detail.nothing"}}])
def test_the_default_partition_key_is_the_events_id(target: dict[str, Any]) -> None:
    assert partition_key(target, EVENT) == "e-1"
