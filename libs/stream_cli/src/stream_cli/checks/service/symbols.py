"""Texts in which `${...}` marks what only the deployment knows: their tokens, ARN fields, and comparison.

`references` writes the values of a template in this notation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from .globs import glob


class Verdict(Enum):
    """An answer at packaging time: yes, no, or only the deployment knows."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @staticmethod
    def best(verdicts: Iterator[Verdict]) -> Verdict:
        """YES if any of them is YES, else UNKNOWN if any is UNKNOWN, else NO."""
        found = set(verdicts)
        return next((each for each in (Verdict.YES, Verdict.UNKNOWN) if each in found), Verdict.NO)


def tokens(text: str) -> list[str]:
    """The outermost `${...}` of a text, in order."""
    return [text[start:end] for start, end in _spans(text)]


def undefined(text: str) -> list[str]:
    """The names in a text that the template does not define."""
    return re.findall(r"\$\{undefined ([^}$]*)\}", text)


def only_known_at_deployment(text: str) -> bool:
    """Whether a text contains a parameter, an import from another stack, or a function that is not resolved here."""
    return any(token.startswith(("${import ", "${parameter ", "${unknown ", "${undefined ")) for token in tokens(text))


def fields_of(arn: str) -> list[str] | None:
    """The six fields of an ARN (`arn`, partition, service, region, account, resource); None for any other text."""
    cuts: list[int] = []
    spans = _spans(arn)
    for index, character in enumerate(arn):
        if character == ":" and not any(start <= index < end for start, end in spans):
            cuts.append(index)
            if len(cuts) == 5:
                break
    if len(cuts) < 5:
        return None
    bounds = [-1, *cuts]
    fields = [arn[start + 1 : end] for start, end in zip(bounds, cuts, strict=False)]
    fields.append(arn[cuts[-1] + 1 :])
    return fields if fields[0] == "arn" else None


def service_of(arn: str) -> str | None:
    """The service of an ARN (`kinesis`, `dynamodb`, ...), None if the text does not say it."""
    fields = fields_of(arn)
    return None if fields is None or "${" in fields[2] else fields[2]


def covers(pattern: str, resource: str) -> Verdict:
    """Whether the resource of a policy statement (`*` and `?` are wildcards) includes `resource`.

    Partition, region and account agree if either side leaves them to the deployment. Names agree if they are the same,
    literally or as symbols. If only one side comes from another stack, the answer is UNKNOWN.
    """
    if pattern in ("*", resource):
        return Verdict.YES
    unsure = only_known_at_deployment(pattern) or only_known_at_deployment(resource)
    wanted, given = fields_of(resource), fields_of(pattern)
    if wanted is None or given is None:
        return Verdict.UNKNOWN if unsure else Verdict.NO
    if not all(_field_agrees(*pair) for pair in zip(given[1:5], wanted[1:5], strict=True)):
        return Verdict.NO
    if _glob(given[5]).fullmatch(wanted[5]):
        return Verdict.YES
    same = {each for each in tokens(given[5]) if not each.startswith("${AWS::")} & set(tokens(wanted[5]))
    chosen_by_cloudformation = "*" in given[5] and "${" in wanted[5] and not same
    return Verdict.UNKNOWN if unsure or chosen_by_cloudformation else Verdict.NO


def _field_agrees(pattern: str, field: str) -> bool:
    return "${" in pattern or "${" in field or _glob(pattern).fullmatch(field) is not None


def _glob(pattern: str) -> re.Pattern[str]:
    return glob(pattern, {place for start, end in _spans(pattern) for place in range(start, end)})


def _spans(text: str) -> list[tuple[int, int]]:
    spans, depth, start, index = [], 0, 0, 0
    while index < len(text):
        if text.startswith("${", index):
            if depth == 0:
                start = index
            depth += 1
            index += 2
            continue
        if text[index] == "{" and depth:
            depth += 1
        elif text[index] == "}" and depth:
            depth -= 1
            if depth == 0:
                spans.append((start, index + 1))
        index += 1
    return spans


_KNOWN_HERE = {
    "${AWS::AccountId}": "000000000000",
    "${AWS::Partition}": "aws",
    "${AWS::Region}": "us-east-1",
    "${AWS::URLSuffix}": "amazonaws.com",
}


def stand_in(text: str) -> str:
    """A text with names in the place of what only the deployment knows; they are valid in names and ARNs.

    >>> stand_in("arn:${AWS::Partition}:s3:::${import lakeBucket}")
    'arn:aws:s3:::import-lakeBucket'
    """
    for token in tokens(text):
        name = re.sub(r"[^A-Za-z0-9]+", "-", token).strip("-")
        text = text.replace(token, _KNOWN_HERE.get(token, name or "unknown"))
    return text
