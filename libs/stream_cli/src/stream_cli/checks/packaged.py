"""What `sls package` left of a service: its template, the resolved events of its functions, what their rules want.

The compiled template is the truth about mappings and roles; `serverless-state.json` beside it holds serverless.yml with
every variable resolved, which tells what was asked for and did not reach the template.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stream_cli.patterns import InvalidPattern, compile_pattern, parse_pattern

from .lines import Lines, Place
from .rules import TYPE_PATH, Handler, Rule, literal_types, read_handlers
from .template import STREAMS, EventSourceMapping, Function, Role, Template, logical_prefix

TEMPLATE = "cloudformation-template-update-stack.json"
STATE = "serverless-state.json"


class UnreadableTemplate(Exception):
    """What was given is no compiled CloudFormation template; the text says why."""


@dataclass(frozen=True)
class Event:
    """A `stream` or `sqs` event of serverless.yml, and the logical id of the mapping that it compiles to."""

    function: str
    index: int
    kind: str
    config: Mapping[str, Any]
    mapping_id: str

    @property
    def describes(self) -> str:
        """The event as people count: `stream event 2`."""
        return f"{self.kind} event {self.index + 1}"


@dataclass
class Service:
    """One service as the checks see it.

    `events` is empty and `folder` None where only a template was given. `now` (seconds) is the time that starting
    timestamps are compared with.
    """

    name: str
    template: Template
    folder: Path | None = None
    events: tuple[Event, ...] = ()
    function_names: tuple[str, ...] = ()
    otherwise_triggered: frozenset[str] = frozenset()
    """Functions that something else than a mapping invokes, too."""
    handlers: Mapping[str, Handler] | None = None
    """By logical id of the function; read from `folder` when they are first asked for."""
    now: float = field(default_factory=time.time)

    @cached_property
    def lines(self) -> Lines | None:
        """Where things stand in serverless.yml."""
        return None if self.folder is None else Lines(self.folder)

    def name_of(self, function: Function) -> str:
        """The function's name in serverless.yml."""
        named = (name for name in self.function_names if f"{logical_prefix(name)}LambdaFunction" == function.logical_id)
        return next(named, function.name)

    def event_of(self, mapping: EventSourceMapping) -> Event | None:
        """The event that a mapping was compiled from: the last one, where several compile to one."""
        return next((each for each in reversed(self.events) if each.mapping_id == mapping.logical_id), None)

    def place_of_event(self, event: Event | None, function: Function | None, option: str | None = None) -> Place | None:
        """The line of an event (or of one of its options), else of its function."""
        if self.lines is None:
            return None
        if event is not None and option is not None:
            return self.lines.of_option(event.function, event.index, event.kind, option)
        if event is not None:
            return self.lines.of_event(event.function, event.index)
        return self.lines.of_service() if function is None else self.lines.of_function(self.name_of(function))

    def place_of_role(self, role: Role) -> Place | None:
        """The line of a role: its own among the resources, else the statements that all functions share."""
        if self.lines is None:
            return None
        return self.lines.of_resource(role.logical_id) or self.lines.of_role_statements()

    @cached_property
    def patterns(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """By logical id of the mapping: its valid patterns, decoded. Mappings with an invalid one are left out."""
        read: dict[str, Sequence[Mapping[str, Any]]] = {}
        for mapping in self.template.mappings:
            try:
                patterns = [parse_pattern(each) for each in mapping.patterns]
                for pattern in patterns:
                    compile_pattern(pattern)
            except InvalidPattern:
                continue
            read[mapping.logical_id] = patterns
        return read

    def handler_of(self, function: Function | None) -> Handler | None:
        """What is known of a function's handler; None without the service's folder, and for other runtimes."""
        if function is None:
            return None
        if self.handlers is None:
            self.handlers = self._read_handlers()
        return self.handlers.get(function.logical_id)

    def _read_handlers(self) -> Mapping[str, Handler]:
        if self.folder is None:
            return {}
        asked = []
        for function in self.template.functions.values():
            module = self.folder / (function.handler.rpartition(".")[0] + ".py")
            if module.is_file() or module.with_suffix("").is_dir():
                asked.append((function, self._candidates(function)))
        return read_handlers(self.folder, asked)

    def _candidates(self, function: Function) -> list[str]:
        own = [m for m in self.template.mappings if m.function_id == function.logical_id and m.kind in TYPE_PATH]
        found = (t for m in own for t in literal_types(self.patterns.get(m.logical_id, ()), m.kind or ""))
        return list(dict.fromkeys(found))

    def rules_of(self, function: Function | None) -> tuple[Rule, ...] | None:
        """The rules of a function, None when it has none or nobody can tell."""
        handler = self.handler_of(function)
        return None if handler is None else handler.rules


def read_service(template: Path, folder: Path | None) -> Service:
    """Read a compiled template, the state beside it if it is there, and the folder of the service if it is given.

    Raises:
        UnreadableTemplate: the file is missing or holds no CloudFormation.
    """
    body = _read_json(template)
    if not isinstance(body.get("Resources"), dict):
        raise UnreadableTemplate(
            f"{template} has no Resources, so it is no compiled CloudFormation template; expected the {TEMPLATE} "
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
        events=tuple(_events(functions)),
        function_names=tuple(functions),
        otherwise_triggered=frozenset(
            each for each, function in functions.items() if any(_is_no_mapping(e) for e in function.get("events") or [])
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
    """Name and functions of the state, each `{"$ref": "$[...]..."}` in them replaced by what it points at.

    The CLI writes an object that occurs several times only once, and then where it is (json-cycle).
    """

    def resolved(value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, dict) and isinstance(value.get("$ref"), str) and value["$ref"].startswith("$"):
            path = value["$ref"]
            return None if path in above else resolved(_at(state, path), (*above, path))
        if isinstance(value, dict):
            return {name: resolved(each, above) for name, each in value.items()}
        return [resolved(each, above) for each in value] if isinstance(value, list) else value

    service = state.get("service") or {}
    return {name: resolved(service.get(name), ()) for name in ("service", "functions")}


def _at(state: Any, path: str) -> Any:
    for step in re.findall(r"\[(\d+|\"(?:[^\"\\]|\\.)*\")\]", path):
        state = state[json.loads(step)]
    return state


def _events(functions: Mapping[str, Any]) -> Iterator[Event]:
    for name, function in functions.items():
        for index, event in enumerate(function.get("events") or []):
            for kind in ("stream", "sqs"):
                given = event.get(kind) if isinstance(event, dict) else None
                if given:
                    config = given if isinstance(given, dict) else {"arn": given}
                    yield Event(name, index, kind, config, _mapping_id(name, kind, config))


def _is_no_mapping(event: Any) -> bool:
    return not isinstance(event, dict) or not {"stream", "sqs"} & event.keys()


def _mapping_id(function: str, kind: str, config: Mapping[str, Any]) -> str:
    """The logical id that osls gives the mapping of an event (its `naming.getStreamLogicalId`, `getQueueLogicalId`)."""
    arn = config["arn"]
    if kind == "sqs":
        named, service = _name_in(arn, after=":"), "SQS"
    else:
        named, service = _name_in(arn, after="/"), _first_upper(stream_type(config) or "")
    return f"{logical_prefix(function)}EventSourceMapping{service}{_first_upper(re.sub(r'[^0-9A-Za-z]', '', named))}"


def stream_type(config: Mapping[str, Any]) -> str | None:
    """`kinesis` or `dynamodb`, as a stream event gives it or its ARN says it."""
    given = config.get("type")
    if given in STREAMS:
        return str(given)
    parts = str(config.get("arn")).split(":")
    return parts[2] if len(parts) > 2 else None


def _name_in(arn: Any, after: str) -> str:
    if isinstance(arn, str):
        parts = arn.split(after)
        return parts[-1] if after == ":" else (parts[1] if len(parts) > 1 else "")
    if "Fn::GetAtt" in arn:
        return str(arn["Fn::GetAtt"][0])
    if "Fn::Join" in arn:
        last = str(arn["Fn::Join"][1][-1])
        return last if after == ":" else last.split("/")[-1]
    return str(arn.get("Fn::ImportValue") or arn.get("Ref") or "")


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
