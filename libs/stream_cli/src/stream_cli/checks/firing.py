"""Checks of what would never fire: filters against rules, patterns against records, events without a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_cli.patterns import matches

from .findings import Problem
from .packaged import Event, Service
from .rules import TYPE_PATH, Rule, admits, literal_types, records_of, types_of, values_at
from .template import DYNAMODB, KINESIS, STREAMS, EventSourceMapping, Function

Pattern = Mapping[str, Any]

_METADATA = frozenset({"awsRegion", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion"})
_RECORD_FIELDS = {
    KINESIS: _METADATA
    | {
        "approximateArrivalTimestamp",
        "data",
        "invokeIdentityArn",
        "kinesisSchemaVersion",
        "partitionKey",
        "sequenceNumber",
    },
    DYNAMODB: _METADATA | {"dynamodb", "userIdentity"},
}
_CHANGE_FIELDS = frozenset(
    {"ApproximateCreationDateTime", "Keys", "NewImage", "OldImage", "SequenceNumber", "SizeBytes", "StreamViewType"}
)
_TYPE_LETTERS = frozenset({"B", "BOOL", "BS", "L", "M", "N", "NS", "NULL", "S", "SS"})
_TEXTS = frozenset({"S", "N", "B", "SS", "NS", "BS"})
_EVENT_NAMES = ("INSERT", "MODIFY", "REMOVE")
_IMAGES_KEPT = {
    "KEYS_ONLY": frozenset[str](),
    "NEW_IMAGE": frozenset({"NewImage"}),
    "OLD_IMAGE": frozenset({"OldImage"}),
    "NEW_AND_OLD_IMAGES": frozenset({"NewImage", "OldImage"}),
}


def filtered_type_unhandled(service: Service) -> Iterator[Problem]:
    """A filter that lets through what no rule of the function handles."""
    for mapping, patterns, rules in _mapped_rules(service):
        if mapping.kind == KINESIS:
            for named in literal_types(patterns, KINESIS):
                if not any(rule.may_want(named) for rule in rules):
                    yield Problem(mapping, f"the filter lets {named} through, which no rule handles", "filterPatterns")
        for number, pattern in enumerate(patterns, start=1):
            if mapping.kind == KINESIS and literal_types([pattern], KINESIS):
                continue
            if not any(_lets_through(service, mapping, [pattern], rule) for rule in rules):
                yield Problem(
                    mapping, f"filter pattern {number} lets through nothing that a rule handles", "filterPatterns"
                )
            elif mapping.kind == DYNAMODB:
                yield from _unhandled_event_names(service, mapping, pattern, rules)


def _unhandled_event_names(
    service: Service, mapping: EventSourceMapping, pattern: Pattern, rules: Sequence[Rule]
) -> Iterator[Problem]:
    named = [each for each in values_at(pattern, TYPE_PATH[DYNAMODB]) if each in _EVENT_NAMES]
    for name in dict.fromkeys(named):
        only = {"$or": [{**pattern, "eventName": [name]}]}
        if not any(_lets_through(service, mapping, [only], rule) for rule in rules):
            yield Problem(mapping, f"the filter lets {name} through, which no rule handles", "filterPatterns")


def rule_filtered_out(service: Service) -> Iterator[Problem]:
    """A rule whose events no filter of the function's mappings lets through."""
    for function in service.template.functions.values():
        mapped = [m for m in service.template.mappings if m.function_id == function.logical_id]
        if not mapped or service.name_of(function) in service.otherwise_triggered:
            continue
        if not all(m.kind in TYPE_PATH and m.patterns and m.logical_id in service.patterns for m in mapped):
            continue
        for rule in service.rules_of(function) or ():
            passing = [m for m in mapped if _lets_through(service, m, service.patterns[m.logical_id], rule)]
            if not passing:
                wanted = ", ".join((*rule.types, *(f"/{each}/" for each in rule.patterns))) or "its records"
                yield Problem(mapped[0], f"no filter lets {wanted} through to the rule {rule.id}", "filterPatterns")
                continue
            yield from _types_filtered_out(service, mapped, rule)


def _types_filtered_out(service: Service, mapped: Sequence[EventSourceMapping], rule: Rule) -> Iterator[Problem]:
    if len(rule.types) < 2:
        return
    for event_type in rule.types:
        if not any(_type_passes(service, m, service.patterns[m.logical_id], rule, event_type) for m in mapped):
            yield Problem(mapped[0], f"no filter lets {event_type} through to the rule {rule.id}", "filterPatterns")


def pattern_matches_no_record(service: Service) -> Iterator[Problem]:
    """A pattern that asks for fields, images or value types that no record of the source has."""
    for mapping in service.template.mappings:
        if mapping.kind not in STREAMS:
            continue
        table = service.template.table_of(mapping)
        images = _IMAGES_KEPT.get((table.view_type if table else None) or "", _IMAGES_KEPT["NEW_AND_OLD_IMAGES"])
        for number, pattern in enumerate(service.patterns.get(mapping.logical_id, ()), start=1):
            why = next(_impossible(pattern, mapping.kind, images), None)
            if why is not None:
                yield Problem(mapping, f"filter pattern {number} matches no record: {why}", "filterPatterns")


def event_without_mapping(service: Service) -> Iterator[Problem]:
    """Events of serverless.yml that share a logical id, so that only the last one is compiled."""
    compiled: dict[str, Event] = {}
    for event in service.events:
        if event.mapping_id in compiled:
            earlier = compiled[event.mapping_id]
            yield Problem(
                earlier,
                f"{event.describes} of {event.function} compiles to {event.mapping_id}, too, and replaces this one",
                "arn",
            )
        compiled[event.mapping_id] = event


def mapping_disabled(service: Service) -> Iterator[Problem]:
    """A mapping that reads nothing."""
    for mapping in service.template.mappings:
        if not mapping.enabled:
            yield Problem(mapping, "`enabled` is false", "enabled")


def no_concurrency(service: Service) -> Iterator[Problem]:
    """A function that no invocation reaches."""
    for mapping in service.template.mappings:
        function = service.template.function_of(mapping)
        if function is not None and function.reserved_concurrency == 0:
            yield Problem(function, "reservedConcurrency is 0, so every invocation is throttled")


def view_type_lacks_images(service: Service) -> Iterator[Problem]:
    """A stream without the images that the function's rules read."""
    for mapping in service.template.mappings:
        table, function = service.template.table_of(mapping), service.template.function_of(mapping)
        if table is None or table.view_type is None:
            continue
        handler = service.handler_of(function)
        kept = _IMAGES_KEPT.get(table.view_type, _IMAGES_KEPT["NEW_AND_OLD_IMAGES"])
        for rule in (handler.rules if handler else None) or ():
            lacking = sorted(_images_read(rule, handler.source_options if handler else {}) - kept)
            if lacking:
                yield Problem(
                    mapping,
                    f"the rule {rule.id} reads {' and '.join(lacking)}, and the stream of {table.logical_id} is "
                    f"{table.view_type}",
                    "arn",
                )


def handler_unreadable(service: Service) -> Iterator[Problem]:
    """A handler whose module cannot be imported."""
    for function, error in _import_errors(service):
        if not error.startswith(_REFUSED):
            yield Problem(function, f"the import of {function.handler} fails: {error}")


def rule_refused(service: Service) -> Iterator[Problem]:
    """A handler with a rule that the runtime refuses."""
    for function, error in _import_errors(service):
        if error.startswith(_REFUSED):
            yield Problem(function, error.removeprefix(_REFUSED))


def _import_errors(service: Service) -> Iterator[tuple[Function, str]]:
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        if handler is not None and handler.error is not None:
            yield function, handler.error


_REFUSED = "InvalidRule: "


def reads_other_source(service: Service) -> Iterator[Problem]:
    """A handler that reads records of another source than the mapping's."""
    readers = {"from_kinesis": KINESIS, "from_dynamodb": DYNAMODB}
    for mapping in service.template.mappings:
        handler = service.handler_of(service.template.function_of(mapping))
        reads = readers.get(handler.source or "") if handler is not None else None
        if reads is not None and mapping.kind in STREAMS and mapping.kind != reads:
            yield Problem(mapping, f"the handler reads its records with {handler.source if handler else ''}", "type")


def _mapped_rules(service: Service) -> Iterator[tuple[EventSourceMapping, Sequence[Pattern], Sequence[Rule]]]:
    for mapping in service.template.mappings:
        function: Function | None = service.template.function_of(mapping)
        rules, patterns = service.rules_of(function), service.patterns.get(mapping.logical_id)
        if mapping.kind in TYPE_PATH and rules and patterns:
            yield mapping, patterns, rules


def _lets_through(service: Service, mapping: EventSourceMapping, patterns: Sequence[Pattern], rule: Rule) -> bool:
    """Whether any event that a rule handles may come through the patterns."""
    if any(_type_passes(service, mapping, patterns, rule, each) for each in types_of(rule)):
        return True
    if rule.enumerable:
        return False
    if mapping.kind != KINESIS:
        return True
    for pattern in patterns:
        conditions = list(values_at(pattern, TYPE_PATH[KINESIS]))
        literal = [each for each in conditions if isinstance(each, str)]
        if not conditions or len(literal) < len(conditions) or any(rule.may_want(each) for each in literal):
            return True
    return False


def _type_passes(
    service: Service, mapping: EventSourceMapping, patterns: Sequence[Pattern], rule: Rule, event_type: str | None
) -> bool:
    handler = service.handler_of(service.template.function_of(mapping))
    records = records_of(rule, event_type, mapping.kind or "", handler.source_options if handler else {})
    return not records or any(admits(pattern, record) for pattern in patterns for record in records)


def _images_read(rule: Rule, options: Mapping[str, str | None]) -> frozenset[str]:
    """The images without which none of the records that a rule handles can be read."""
    needed: frozenset[str] = frozenset()
    for event_type in types_of(rule):
        records = records_of(rule, event_type, DYNAMODB, options)
        named = [frozenset(record.get("dynamodb", {})) for record in records]
        needed |= frozenset.intersection(*named) if named else frozenset()
    return needed | ({"OldImage"} if rule.known_flavor and rule.flavor == "expired" else frozenset())


def _impossible(pattern: Pattern, kind: str, images: frozenset[str]) -> Iterator[str]:
    yield from _unknown_fields(pattern, _RECORD_FIELDS[kind], "a record")
    if kind != DYNAMODB:
        return
    names = pattern.get("eventName")
    if isinstance(names, list) and not any(matches({"eventName": names}, {"eventName": each}) for each in _EVENT_NAMES):
        yield "eventName is INSERT, MODIFY or REMOVE"
    change = pattern.get("dynamodb")
    if not isinstance(change, Mapping):
        return
    yield from _unknown_fields(change, _CHANGE_FIELDS, "`dynamodb`")
    for image in ("NewImage", "OldImage"):
        if image in change and image not in images and not _accepts_absence(change, image):
            yield f"the stream's view type leaves out {image}"
    for image in ("Keys", "NewImage", "OldImage"):
        if isinstance(change.get(image), Mapping):
            yield from _impossible_attributes(change[image], image)


def _impossible_attributes(attributes: Pattern, place: str) -> Iterator[str]:
    for name, condition in attributes.items():
        if name == "$or":
            answers = [next(_impossible_attributes(each, place), None) for each in condition]
            if answers and all(answers):
                yield str(answers[0])
        elif isinstance(condition, Mapping):
            yield from _impossible_value(condition, f"{place}.{name}")
        elif not _accepts_absence(attributes, name):
            yield f"{place}.{name} is an object with a type letter, like {{S: [...]}}"


def _impossible_value(value: Pattern, place: str) -> Iterator[str]:
    for letter, condition in value.items():
        if letter == "$or":
            continue
        if letter not in _TYPE_LETTERS:
            if not _accepts_absence(value, letter):
                yield f"{place} has a type letter ({', '.join(sorted(_TYPE_LETTERS))}) where the pattern has {letter}"
        elif letter == "M" and isinstance(condition, Mapping):
            yield from _impossible_attributes(condition, f"{place}.M")
        elif letter == "L" and isinstance(condition, Mapping):
            yield from _impossible_value(condition, f"{place}.L")
        elif isinstance(condition, list) and letter in _TEXTS and condition and all(map(_is_no_text, condition)):
            yield f"{place}.{letter} is a text in the record, also where it holds a number"
        elif isinstance(condition, list) and letter == "BOOL" and all(isinstance(each, str) for each in condition):
            yield f"{place}.BOOL is true or false in the record, not a text"


def _is_no_text(condition: Any) -> bool:
    if isinstance(condition, Mapping):
        return "numeric" in condition
    return condition is None or isinstance(condition, bool | int | float)


def _unknown_fields(pattern: Pattern, known: frozenset[str], where: str) -> Iterator[str]:
    for name in pattern:
        if name == "$or":
            answers = [next(_unknown_fields(each, known, where), None) for each in pattern[name]]
            if answers and all(answers):
                yield str(answers[0])
        elif name not in known and not _accepts_absence(pattern, name):
            yield f"{where} has no {name}, only {', '.join(sorted(known))}"


def _accepts_absence(pattern: Pattern, name: str) -> bool:
    return matches({name: pattern[name]}, {})
