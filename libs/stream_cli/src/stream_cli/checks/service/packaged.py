"""A packaged service: its template, the resolved events of its functions, and their rules.

Mappings and roles are read from the compiled template. `serverless-state.json` beside it holds serverless.yml with
every variable resolved, and so shows the options that did not reach the template.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_cli.checks.trials.fixtures import Fixture, events_in, fixtures_of
from stream_cli.checks.trials.trial import Trial, read_trials
from stream_cli.errors import CommandError
from stream_cli.patterns import InvalidPattern, compile_pattern, nested, parse_pattern

from .handlers import ProbedHandler, ProbedRule, read_handlers
from .record_shapes import TYPE_PATH, Record, literal_types, records_of
from .resources import EventSourceMapping, Function
from .rule_places import RulePlaces
from .serverless_events import Event, events_of, is_no_mapping, logical_prefix
from .source_map import Location, SourceMap
from .template import Template

if TYPE_CHECKING:
    from .published import Repository

TEMPLATE = "cloudformation-template-update-stack.json"
STATE = "serverless-state.json"


class UnreadableTemplate(CommandError):
    """The file is not a compiled CloudFormation template; the message says why."""


@dataclass
class Service:
    """One service as the checks see it.

    Attributes:
        folder: its folder, None if only a template was given.
        events: its `stream` and `sqs` events; empty if only a template was given.
        otherwise_triggered: names of the functions that also have events of other kinds.
        behind_apis: names of the functions with `httpApi` events.
        requirements: `custom.pythonRequirements`, which says what packages leave out.
        handlers: by logical id of the function; read from `folder` when they are first asked for.
        trials: by logical id of the function; made from the fixtures in `folder` when they are first asked for.
        published_elsewhere: the event types that `custom.publishedElsewhere` declares.
        repository: what the services publish that it belongs to; None if that is not known.
        now: Unix seconds that starting timestamps are compared with.
    """

    name: str
    template: Template
    folder: Path | None = None
    events: tuple[Event, ...] = ()
    function_names: tuple[str, ...] = ()
    otherwise_triggered: frozenset[str] = frozenset()
    behind_apis: frozenset[str] = frozenset()
    requirements: Mapping[str, Any] = field(default_factory=dict)
    handlers: Mapping[str, ProbedHandler] | None = None
    trials: Mapping[str, Trial] | None = None
    published_elsewhere: tuple[str, ...] = ()
    repository: Repository | None = None
    now: float = field(default_factory=time.time)

    @cached_property
    def source_map(self) -> SourceMap:
        """The lines of serverless.yml; it knows none without `folder`."""
        return SourceMap(self.folder)

    @cached_property
    def places(self) -> RulePlaces:
        """Where rules are written; it knows nothing without `folder`."""
        return RulePlaces(self.folder)

    @cached_property
    def fixtures(self) -> Mapping[str, Sequence[Fixture]]:
        """The fixtures of functions, by their names in serverless.yml."""
        return fixtures_of(self.folder, self.function_names) if self.folder else {}

    def fixture_events(self, function: Function | None) -> Sequence[Mapping[str, Any]]:
        """The events in a function's fixtures that are plain, or records of a Kinesis stream."""
        given = self.fixtures.get(self.name_of(function), ()) if function else ()
        return [event for each in given for event in events_in(each.event)]

    def trial_of(self, function: Function | None) -> Trial | None:
        """What came of a function's fixtures; None without fixtures, and for other languages than Python."""
        if function is None:
            return None
        if self.trials is None:
            self.trials = self._try_functions()
        return self.trials.get(function.logical_id)

    def _try_functions(self) -> Mapping[str, Trial]:
        if self.folder is None:
            return {}
        readable = [each for each in self.template.functions.values() if self._is_read(each)]
        asked = {each.logical_id: (each, self.fixtures.get(self.name_of(each), ())) for each in readable}
        return read_trials(self.folder, asked, self.template.tables_to_create())

    def _is_read(self, function: Function) -> bool:
        handler = self.handler_of(function)
        return handler is not None and handler.error is None

    def name_of(self, function: Function) -> str:
        """The function's name in serverless.yml."""
        named = (name for name in self.function_names if f"{logical_prefix(name)}LambdaFunction" == function.logical_id)
        return next(named, function.name)

    def event_of(self, mapping: EventSourceMapping) -> Event | None:
        """The event that a mapping was compiled from: the last one, if several compile to the same mapping."""
        return next((each for each in reversed(self.events) if each.mapping_id == mapping.logical_id), None)

    def line_of_event(
        self, event: Event | None, function: Function | None, option: str | None = None
    ) -> Location | None:
        """The line of an event (or of one of its options), else of its function."""
        if event is not None and option is not None:
            return self.source_map.of_option(event.function, event.index, event.kind, option)
        if event is not None:
            return self.source_map.of_event(event.function, event.index)
        return self.source_map.of_service() if function is None else self.source_map.of_function(self.name_of(function))

    @cached_property
    def patterns(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The decoded patterns by logical id of the mapping, with an object for each dot in a name.

        Mappings with an invalid pattern are left out.
        """
        read: dict[str, Sequence[Mapping[str, Any]]] = {}
        for mapping in self.template.mappings:
            try:
                patterns = [parse_pattern(each) for each in mapping.patterns]
                for pattern in patterns:
                    compile_pattern(pattern)
            except InvalidPattern:
                continue
            read[mapping.logical_id] = [nested(pattern) for pattern in patterns]
        return read

    def handler_of(self, function: Function | None) -> ProbedHandler | None:
        """What is known about a function's handler; None without `folder`, and for other languages than Python."""
        if function is None:
            return None
        if self.handlers is None:
            self.handlers = self._read_handlers()
        return self.handlers.get(function.logical_id)

    def _read_handlers(self) -> Mapping[str, ProbedHandler]:
        if self.folder is None:
            return {}
        asked = []
        for function in self.template.functions.values():
            module = self.folder / (function.handler.rpartition(".")[0] + ".py")
            if module.is_file() or module.with_suffix("").is_dir():
                asked.append((function, self._candidates(function)))
        return read_handlers(self.folder, asked, self.requirements)

    def _candidates(self, function: Function) -> list[str]:
        own = [m for m in self.template.mappings if m.function_id == function.logical_id and m.kind in TYPE_PATH]
        found = (t for m in own for t in literal_types(self.patterns.get(m.logical_id, ()), m.kind or ""))
        return list(dict.fromkeys(found))

    def rules_of(self, function: Function | None) -> tuple[ProbedRule, ...] | None:
        """The rules of a function; None if it has none or they are not known."""
        handler = self.handler_of(function)
        return None if handler is None else handler.rules

    def records_of(self, mapping: EventSourceMapping, rule: ProbedRule, event_type: str | None) -> list[Record]:
        """What is known about the records of a mapping that carry an event type to a rule."""
        handler = self.handler_of(self.template.function_of(mapping))
        return records_of(rule, event_type, mapping.kind or "", handler.source_options if handler else {})


def read_service(template: Path, folder: Path | None) -> Service:
    """Read a compiled template, and `serverless-state.json` beside it if there is one.

    Raises:
        UnreadableTemplate: the file is missing or does not hold a template.
    """
    body = _read_json(template)
    if not isinstance(body.get("Resources"), dict):
        raise UnreadableTemplate(
            f"{template} has no Resources, so it is not a compiled CloudFormation template; expected the {TEMPLATE} "
            "that `sls package` writes"
        )
    state = template.with_name(STATE)
    service = _without_references(_read_json(state)) if state.is_file() else {}
    functions = service.get("functions") or {}
    name = service.get("service") or (folder.name if folder else template.stem)
    return Service(
        name=name if isinstance(name, str) else str(name.get("name")),
        template=Template(body),
        folder=folder,
        events=tuple(events_of(functions)),
        function_names=tuple(functions),
        requirements=service.get("pythonRequirements") or {},
        behind_apis=frozenset(
            each
            for each, function in functions.items()
            if any(isinstance(event, dict) and "httpApi" in event for event in function.get("events") or [])
        ),
        published_elsewhere=tuple(map(str, service.get("publishedElsewhere") or ())),
        otherwise_triggered=frozenset(
            each for each, function in functions.items() if any(is_no_mapping(e) for e in function.get("events") or [])
        ),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableTemplate(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableTemplate(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableTemplate(f"{path} holds no JSON object")
    return content


def _without_references(state: Mapping[str, Any]) -> dict[str, Any]:
    """Name, functions, Python requirements and declared event types of the state.

    Each `{"$ref": "$[...]..."}` is replaced by the value that it points at.
    The CLI writes an object that occurs several times only once, and references to it elsewhere (json-cycle).
    """

    def resolved(value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, dict) and isinstance(value.get("$ref"), str) and value["$ref"].startswith("$"):
            path = value["$ref"]
            return None if path in above else resolved(_at(state, path), (*above, path))
        if isinstance(value, dict):
            return {name: resolved(each, above) for name, each in value.items()}
        return [resolved(each, above) for each in value] if isinstance(value, list) else value

    service = state.get("service") or {}
    custom = service.get("custom") or {}
    own = {name: resolved(custom.get(name), ()) for name in ("publishedElsewhere", "pythonRequirements")}
    return {**own, **{name: resolved(service.get(name), ()) for name in ("service", "functions")}}


def _at(state: Any, path: str) -> Any:
    for step in re.findall(r"\[(\d+|\"(?:[^\"\\]|\\.)*\")\]", path):
        state = state[json.loads(step)]
    return state
