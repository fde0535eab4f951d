"""Checks of what never fires: filters against rules, patterns against records, events without a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream_cli.checks.registry import Issue, Severity, check, mapping_check
from stream_cli.checks.service.fields import lacks_extra, needs_keys
from stream_cli.checks.service.handlers import ProbedRule
from stream_cli.checks.service.impossible_patterns import EVENT_NAMES, Pattern, images_of, why_impossible
from stream_cli.checks.service.packaged import Service
from stream_cli.checks.service.record_shapes import TYPE_PATH, admits, literal_types, types_of, values_at
from stream_cli.checks.service.resources import DYNAMODB, KINESIS, STREAMS, EventSourceMapping, Function
from stream_cli.checks.service.serverless_events import Event
from stream_cli.checks.service.source_map import Location

_REFUSED = "InvalidRule: "
_NOT_SET = "InvalidSetting: "


@check(
    "SM401",
    Severity.ERROR,
    title="The filter lets through what no rule handles",
    why="The function is invoked for events that none of its rules handles: a rule or its type is missing or "
    "misspelled, or the invocations serve no purpose.",
    fix="Correct the type in the pattern or in the rule, or remove it from the pattern.",
)
def filtered_type_unhandled(service: Service) -> Iterator[Issue]:
    for mapping, patterns, rules in _mapped_rules(service):
        if mapping.kind == KINESIS:
            for named in literal_types(patterns, KINESIS):
                if not any(rule.may_want(named) for rule in rules):
                    yield Issue(mapping, f"the filter lets {named} through, which no rule handles", "filterPatterns")
        for number, pattern in enumerate(patterns, start=1):
            if mapping.kind == KINESIS and literal_types([pattern], KINESIS):
                continue
            if not any(_lets_through(service, mapping, [pattern], rule) for rule in rules):
                yield Issue(
                    mapping, f"filter pattern {number} lets through nothing that a rule handles", "filterPatterns"
                )
            elif mapping.kind == DYNAMODB:
                yield from _unhandled_event_names(service, mapping, pattern, rules)


def _unhandled_event_names(
    service: Service, mapping: EventSourceMapping, pattern: Pattern, rules: Sequence[ProbedRule]
) -> Iterator[Issue]:
    named = [each for each in values_at(pattern, TYPE_PATH[DYNAMODB]) if each in EVENT_NAMES]
    for name in dict.fromkeys(named):
        only = {"$or": [{**pattern, "eventName": [name]}]}
        if not any(_lets_through(service, mapping, [only], rule) for rule in rules):
            yield Issue(mapping, f"the filter lets {name} through, which no rule handles", "filterPatterns")


@check(
    "SM402",
    Severity.ERROR,
    title="The rule never fires",
    why="No filter of the function's mappings lets the rule's events through; Lambda drops them as processed.",
    fix="Add the type to filterPatterns, or remove the rule.",
)
def rule_filtered_out(service: Service) -> Iterator[Issue]:
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
                yield Issue(mapped[0], f"no filter lets {wanted} through to the rule {rule.id}", "filterPatterns")
                continue
            yield from _types_filtered_out(service, mapped, rule)


def _types_filtered_out(service: Service, mapped: Sequence[EventSourceMapping], rule: ProbedRule) -> Iterator[Issue]:
    if len(rule.types) < 2:
        return
    for event_type in rule.types:
        if not any(_type_passes(service, m, service.patterns[m.logical_id], rule, event_type) for m in mapped):
            yield Issue(mapped[0], f"no filter lets {event_type} through to the rule {rule.id}", "filterPatterns")


@mapping_check(
    "SM403",
    Severity.ERROR,
    title="The pattern matches no record",
    why="The pattern requires a field, an image or a kind of value that records of this source never have, so all "
    "records are dropped. DynamoDB records carry type letters, and numbers as strings.",
    fix="Write the pattern for the record as Lambda receives it: `data` for Kinesis, `dynamodb.NewImage.<name>.S` for "
    "DynamoDB.",
)
def pattern_matches_no_record(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if mapping.kind not in STREAMS:
        return
    table = service.template.table_of(mapping)
    images = images_of(table.view_type if table else None)
    for number, pattern in enumerate(service.patterns.get(mapping.logical_id, ()), start=1):
        why = why_impossible(pattern, mapping.kind, images)
        if why is not None:
            yield Issue(mapping, f"filter pattern {number} matches no record: {why}", "filterPatterns")


@check(
    "SM404",
    Severity.ERROR,
    title="The event has no mapping of its own",
    why="The CLI names a mapping after function, type and stream; a second event with the same name silently replaces "
    "the first.",
    fix="Combine the events; the filterPatterns of one event are alternatives.",
)
def event_without_mapping(service: Service) -> Iterator[Issue]:
    compiled: dict[str, Event] = {}
    for event in service.events:
        if event.mapping_id in compiled:
            yield Issue(
                compiled[event.mapping_id],
                f"{event.describes} of {event.function} also compiles to {event.mapping_id} and replaces this one",
                "arn",
            )
        compiled[event.mapping_id] = event


@mapping_check(
    "SM405",
    Severity.NOTE,
    title="The mapping is disabled",
    why="The mapping is created but reads nothing, and records expire meanwhile.",
    fix="Set `enabled: true` when the function should run.",
)
def mapping_disabled(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    if not mapping.enabled:
        yield Issue(mapping, "`enabled` is false", "enabled")


@mapping_check(
    "SM406",
    Severity.ERROR,
    title="The stream's view type lacks what rules read",
    why="Type and content of a DynamoDB event come from the images; without them the rule has nothing to read.",
    fix="Set StreamViewType: NEW_AND_OLD_IMAGES.",
)
def view_type_lacks_images(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    table, function = service.template.table_of(mapping), service.template.function_of(mapping)
    if table is None or table.view_type is None:
        return
    for rule in service.rules_of(function) or ():
        lacking = " and ".join(sorted(_images_read(service, mapping, rule) - images_of(table.view_type)))
        if lacking:
            stream = f"the stream of {table.logical_id} is {table.view_type}"
            yield Issue(mapping, f"the rule {rule.id} reads {lacking}, and {stream}", "arn")


@check(
    "SM407",
    Severity.ERROR,
    title="The handler reads records of another source",
    why="The records have a different shape, so each is refused or becomes a fault.",
    fix="Use from_kinesis for Kinesis and from_dynamodb for DynamoDB streams.",
)
def reads_other_source(service: Service) -> Iterator[Issue]:
    readers = {"from_kinesis": KINESIS, "from_dynamodb": DYNAMODB}
    for mapping in service.template.mappings:
        handler = service.handler_of(service.template.function_of(mapping))
        reads = readers.get(handler.source or "") if handler is not None else None
        if reads is not None and mapping.kind in STREAMS and mapping.kind != reads:
            yield Issue(mapping, f"the handler reads its records with {handler.source if handler else ''}", "type")


@mapping_check(
    "SM408",
    Severity.ERROR,
    title="No concurrency",
    why="With zero reserved executions every attempt is throttled until the records are given up or expire.",
    fix="Remove reservedConcurrency, or set it to at least the number of shards.",
)
def no_concurrency(service: Service, mapping: EventSourceMapping) -> Iterator[Issue]:
    function = service.template.function_of(mapping)
    if function is not None and function.reserved_concurrency == 0:
        yield Issue(function, "reservedConcurrency is 0, so every invocation is throttled")


@check(
    "SM409",
    Severity.WARNING,
    title="The handler cannot be imported",
    why="Its rules cannot be compared with the filters, and in Lambda the same error would fail every invocation.",
    fix="Correct the error; packages that the service needs must be installed where streamctl runs.",
)
def handler_unreadable(service: Service) -> Iterator[Issue]:
    for function, error in _import_errors(service):
        if not error.startswith((_REFUSED, _NOT_SET)):  # SM410 and SM412 tell of these
            yield Issue(function, f"the import of {function.handler} fails: {error}")


@check(
    "SM410",
    Severity.ERROR,
    title="The runtime refuses a rule",
    why="Rules are checked at import: every invocation of the function would fail, and the mapping would block its "
    "shards.",
    fix="Correct the field that the message names.",
)
def rule_refused(service: Service) -> Iterator[Issue]:
    for function, error in _import_errors(service):
        if error.startswith(_REFUSED):
            yield Issue(function, error.removeprefix(_REFUSED), place=_refused_place(service, function))


def _refused_place(service: Service, function: Function) -> Location | None:
    """The line of the function that takes other arguments, or of the field, or of the rule."""
    handler = service.handler_of(function)
    refused = handler.refused if handler else None
    if refused is None:
        return None
    return service.places.of_function(refused["value"]) or service.places.of_rule(refused["rule"], refused["field"])


@check(
    "SM411",
    Severity.ERROR,
    title="The package lacks a module that the code needs",
    why="serverless.yml leaves the module out of the package, or requirements.txt does not require it, and Lambda's "
    "runtime does not have it: the import fails there, although it works where everything is installed.",
    fix="Remove the line of serverless.yml that the message names, or the import; require the extra that it names.",
)
def module_left_out(service: Service) -> Iterator[Issue]:
    told = set()
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        if handler is None or service.template.has_layers(function):  # a layer may hold what the package lacks
            continue
        for each in handler.left_out:
            place = Location(service.folder / each.file, each.line or 1) if service.folder and each.file else None
            needs = (
                f"the code imports {each.module}" if each.rule is None else f"the rule {each.rule} needs {each.module}"
            )
            said = (
                f"{needs}, which the line `{each.entry}` of pythonRequirements.{each.option} leaves out of the package"
            )
            if (said, place) not in told:
                told.add((said, place))
                yield Issue(function, said, place=place)
        for rule in service.rules_of(function) or ():
            if needs_keys(rule) and lacks_extra(service.folder):
                said = f"the rule {rule.id} encrypts or decrypts fields, and requirements.txt requires no "
                yield Issue(function, f"{said}stream-runtime[encryption]")


def _import_errors(service: Service) -> Iterator[tuple[Function, str]]:
    for function in service.template.functions.values():
        handler = service.handler_of(function)
        if handler is not None and handler.error is not None:
            yield function, handler.error


def _mapped_rules(service: Service) -> Iterator[tuple[EventSourceMapping, Sequence[Pattern], Sequence[ProbedRule]]]:
    for mapping in service.template.mappings:
        rules = service.rules_of(service.template.function_of(mapping))
        patterns = service.patterns.get(mapping.logical_id)
        if mapping.kind in TYPE_PATH and rules and patterns:
            yield mapping, patterns, rules


def _lets_through(service: Service, mapping: EventSourceMapping, patterns: Sequence[Pattern], rule: ProbedRule) -> bool:
    """Whether the patterns may let through any event that a rule handles."""
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
    service: Service, mapping: EventSourceMapping, patterns: Sequence[Pattern], rule: ProbedRule, event_type: str | None
) -> bool:
    records = service.records_of(mapping, rule, event_type)
    return not records or any(admits(pattern, record) for pattern in patterns for record in records)


def _images_read(service: Service, mapping: EventSourceMapping, rule: ProbedRule) -> frozenset[str]:
    """The images that a rule needs: without them none of the records that it handles can be read."""
    needed: frozenset[str] = frozenset()
    for event_type in types_of(rule):
        named = [frozenset(record.get("dynamodb", {})) for record in service.records_of(mapping, rule, event_type)]
        needed |= frozenset.intersection(*named) if named else frozenset()
    return needed | ({"OldImage"} if rule.known_flavor and rule.flavor == "expired" else frozenset())
