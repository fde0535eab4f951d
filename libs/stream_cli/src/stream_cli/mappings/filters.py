"""The filters of a mapping (AWS Lambda developer guide, "Using event filtering").

A record is kept when any of the patterns matches; without patterns all are kept.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn

from stream_cli.patterns import CompiledPattern, InvalidPattern, compile_pattern, parse_pattern

Filter = Callable[[Mapping[str, Any]], bool]


def compile_filters(kind: Literal["kinesis", "dynamodb", "sqs"], patterns: Sequence[str]) -> Filter:
    """The filter of a mapping on a source of `kind`, from the JSON texts of its patterns.

    The filter takes a record in the shape that a function receives.

    Raises:
        InvalidPattern: AWS would refuse a pattern; for Kinesis also if it has a condition on `data` itself.
    """
    compiled: list[CompiledPattern] = []
    for index, text in enumerate(patterns):
        try:
            pattern = parse_pattern(text)
            if kind == "kinesis" and isinstance(pattern.get("data"), list):
                raise InvalidPattern("data", "a condition on the payload itself", "conditions on its fields")
            compiled.append(compile_pattern(pattern))
        except InvalidPattern as error:
            raise InvalidPattern(f"filterPatterns[{index}].{error.path}", error.problem, error.expected) from error
    if not compiled:
        return lambda record: True
    if kind == "dynamodb":
        return lambda record: any(pattern(record) for pattern in compiled)
    if kind == "sqs":
        return _sqs_filter(compiled)
    metadata_only = [pattern for pattern in compiled if "data" not in pattern.fields]

    def keeps(record: Mapping[str, Any]) -> bool:
        view = kinesis_view(record)
        return any(pattern(view) for pattern in (compiled if "data" in view else metadata_only))

    return keeps


def kinesis_view(record: Mapping[str, Any]) -> dict[str, Any]:
    """A Kinesis record as patterns see it: metadata and the decoded `data`, without `data` if it is not JSON."""
    view = {**record, **record["kinesis"]}
    view.pop("kinesis")
    encoded = view.pop("data")
    try:
        view["data"] = json.loads(base64.b64decode(encoded, validate=True), parse_constant=_refuse)
    except (binascii.Error, ValueError, RecursionError):
        return view
    return view


def _sqs_filter(compiled: Sequence[CompiledPattern]) -> Filter:
    """A pattern on fields of the body drops messages that are not JSON, whatever its conditions are."""
    on_text = [pattern for pattern in compiled if not any(path[0] == "body" and path[1:] for path in pattern.paths)]

    def keeps(record: Mapping[str, Any]) -> bool:
        body = decoded_body(record["body"])
        view = {**record, "body": body}
        return any(pattern(view) for pattern in (on_text if isinstance(body, str) else compiled))

    return keeps


def decoded_body(text: str) -> Any:
    """The body of an SQS message as patterns see it: a JSON object or array, else the text itself."""
    try:
        body = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return body if isinstance(body, (dict, list)) else text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
