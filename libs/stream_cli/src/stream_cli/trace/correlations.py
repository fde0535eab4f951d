"""Correlations that rows of a timeline belong to, and what their evaluations lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stream_cli.journal.lines import ChangeLine
from stream_cli.trace.deployed import Deployed
from stream_cli.trace.function_rules import RuleFacts
from stream_cli.trace.gathered import Gathered, id_of, image_of
from stream_cli.trace.shapes import expiry_of

_FILED = "DATA#"


@dataclass(frozen=True)
class Correlation:
    """A correlation that a rule has not emitted for.

    Attributes:
        key: the partition key of its rows.
        base_key: that key without the suffix.
        function: the function that evaluates it.
        held: ids of its events by type.
        missing: types that it does not hold.
        expiry: when its first row expires (s since 1970), and the type that is published then.
        expired: id of what was published because a row has expired.
    """

    key: str
    base_key: str
    function: str
    rule: RuleFacts
    held: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    expiry: tuple[int, str] | None = None
    expired: str | None = None


def correlations_in(found: Gathered, deployed: Deployed) -> Iterator[Correlation]:
    """The correlations of a timeline whose rules have emitted nothing for them."""
    ids = {id_of(event) for event in found.events}
    for table, key, rows, stored in _asked_for(found, ids):
        held = _held(stored)
        suffix = str(stored[0].get("suffix") or "")
        base_key = key.removesuffix(f".{suffix}") if suffix else key.removeprefix(_FILED)
        for function, rule, types in _evaluations(table, suffix, found, deployed):
            if _has_emitted(found, rule, key.removeprefix(_FILED), rows, ids):
                continue
            missing = tuple(each for each in types if each not in held) if set(held) & set(types) else ()
            if rule.expression is None or not (rule.wants_one_of(held) or missing):
                continue
            owned = {type: tuple(each) for type, each in held.items()}
            ended = _expired(found, deployed.rules(function) or (), owned)
            yield Correlation(key, base_key, function, rule, owned, missing, _expiry(found, owned), ended)


@dataclass(frozen=True)
class Unevaluated:
    """A correlation that no rule evaluates, though rules evaluate its types with other suffixes.

    Attributes:
        others: function and rule of these.
    """

    key: str
    suffix: str
    others: tuple[tuple[str, RuleFacts], ...]


def unevaluated_in(found: Gathered, deployed: Deployed) -> Iterator[Unevaluated]:
    """The correlations of a timeline whose suffix no rule evaluates."""
    for table, key, _, stored in _asked_for(found, {id_of(event) for event in found.events}):
        suffix = str(stored[0].get("suffix") or "")
        rules = [(function, rule) for function, rule in _rules(table, found, deployed) if rule.flavor == "evaluate"]
        if not suffix or any(rule.suffix == suffix for _, rule in rules):
            continue
        held = _held(stored)
        others = tuple((function, rule) for function, rule in rules if rule.suffix and rule.wants_one_of(held))
        if others:
            yield Unevaluated(key, suffix, others)


def _asked_for(
    found: Gathered, ids: set[str]
) -> Iterator[tuple[str, str, dict[str, dict[str, Any]], list[dict[str, Any]]]]:
    """Table, key, rows and stored rows of the correlations that a timeline is about."""
    for (table, key), rows in _rows(found).items():
        stored = [row for row in rows.values() if row.get("discriminator") in ("CORREL", "FILED")]
        held = _held(stored)
        if held and (key == found.asked or ids & {id for each in held.values() for id in each}):
            yield table, key, rows, stored


def _held(stored: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The ids of the events of rows, by type."""
    held: dict[str, list[str]] = {}
    for row in stored:
        event = row.get("event")
        if isinstance(event, Mapping):
            held.setdefault(str(event.get("type")), []).append(str(event.get("id")))
    return held


def _rows(found: Gathered) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """The rows as they are now, by table and partition key, and by sort key."""
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for line in found.changes:
        image = image_of(line) or image_of(line, "old")
        pk, sk = str(image.get("pk")), str(image.get("sk"))
        of_key = rows.setdefault((line["table"], pk), {})
        if line["change"] == "REMOVE":
            of_key.pop(sk, None)
        else:
            of_key[sk] = image
    return rows


def _evaluations(
    table: str, suffix: str, found: Gathered, deployed: Deployed
) -> Iterator[tuple[str, RuleFacts, list[str]]]:
    """The rules that evaluate correlations with a suffix, with the event types that these may hold."""
    rules = list(_rules(table, found, deployed))
    for function, rule in rules:
        if rule.flavor == "evaluate" and rule.suffix == suffix:
            own = (each for name, each in rules if name == function)
            filed = [each for each in own if each.flavor == "correlate" and each.suffix == suffix]
            yield function, rule, list(dict.fromkeys(t for each in (rule, *filed) for t in each.types))


def _rules(table: str, found: Gathered, deployed: Deployed) -> Iterator[tuple[str, RuleFacts]]:
    """The rules of the functions that read the stream of a table."""
    streams = {line["stream"] for line in found.changes if line["table"] == table and "stream" in line}
    for mapping in (each for stream in sorted(streams) for each in deployed.readers(stream)):
        for rule in deployed.rules(mapping.function) or ():
            yield mapping.function, rule


def _has_emitted(
    found: Gathered, rule: RuleFacts, key: str, rows: Mapping[str, Mapping[str, Any]], ids: set[str]
) -> bool:
    if f"ONCE#{rule.id}" in rows:
        return True
    for event in found.events:
        detail = event["detail"]
        tags = detail.get("tags") if isinstance(detail, Mapping) else None
        if event["type"] == "fault" or not isinstance(tags, Mapping) or tags.get("pipeline") != rule.id:
            continue
        triggers = {each.get("id") for each in detail.get("triggers") or () if isinstance(each, Mapping)}
        if triggers & ids or id_of(event) == rule.emitted_id(key, ""):
            return True
    return False


def _expiry(found: Gathered, held: Mapping[str, tuple[str, ...]]) -> tuple[int, str] | None:
    """The first expiry of the collected rows of these events."""
    ids = {id for each in held.values() for id in each}
    latest: dict[str, ChangeLine] = {}
    for line in found.changes:
        if line["keys"].get("sk") == {"S": "EVENT"}:
            latest[str(line["keys"].get("pk", {}).get("S"))] = line
    times = [expiry_of(line) for id, line in latest.items() if id in ids and line["change"] != "REMOVE"]
    return min((each for each in times if each is not None), default=None)


def _expired(found: Gathered, rules: Iterable[RuleFacts], held: Mapping[str, tuple[str, ...]]) -> str | None:
    """The id of an event that was published because the row of one of these events has expired."""
    pipelines = {rule.id for rule in rules if rule.flavor == "expired"}
    ids = {id for each in held.values() for id in each}
    for event in found.events:
        detail = event["detail"]
        tags = detail.get("tags") if isinstance(detail, Mapping) else None
        is_expiry = isinstance(tags, Mapping) and tags.get("pipeline") in pipelines and event["type"] != "fault"
        if is_expiry and ids & {each.get("id") for each in detail.get("triggers") or () if isinstance(each, Mapping)}:
            return f"{event['type']} {id_of(event)}"
    return None
