"""The stacks of a stage: the resources of their templates, with the names and ARNs that they have now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stream_cli.checks.service.imports import as_symbols
from stream_cli.checks.service.policies import Role
from stream_cli.checks.service.references import Resolver
from stream_cli.checks.service.symbols import tokens
from stream_cli.checks.service.template import Template
from stream_cli.structure.choices import Choices

_PARTITION = "aws"


@dataclass(frozen=True)
class Resource:
    """A resource of a stack.

    Attributes:
        physical_id: what ``Ref`` gives: a name, an ARN or a URL.
        properties: those of the template, with values in the place of references. ``${...}`` is left where the template
            alone does not tell.
    """

    stack: str
    logical_id: str
    type: str
    physical_id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Stack:
    """A stack as it is deployed now.

    Attributes:
        problem: why its resources are not known; None if they are.
        roles: by the name of the role, with resources of statements as ARNs.
    """

    name: str
    status: str
    resources: Mapping[str, Resource] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Described:
    """What DescribeStacks says of a stack."""

    name: str
    id: str
    status: str
    parameters: Mapping[str, str]
    exports: Mapping[str, str]
    fingerprint: str

    @staticmethod
    def of(stack: Mapping[str, Any]) -> Described:
        outputs, parameters = stack.get("Outputs") or (), stack.get("Parameters") or ()
        return Described(
            str(stack["StackName"]),
            str(stack.get("StackId", "")),
            str(stack.get("StackStatus", "")),
            {each["ParameterKey"]: str(each.get("ResolvedValue") or each["ParameterValue"]) for each in parameters},
            {each["ExportName"]: str(each["OutputValue"]) for each in outputs if each.get("ExportName")},
            json.dumps(stack, sort_keys=True, default=str),
        )


def account_of(stacks: Iterable[Described]) -> tuple[str, str]:
    """The region and the account of stacks, by their ids."""
    fields = next((each.id.split(":") for each in stacks if each.id.count(":") >= 5), [""] * 6)
    return fields[3], fields[4]


def stack_of(
    described: Described,
    template: str | Mapping[str, Any],
    resources: Sequence[Mapping[str, Any]],
    exports: Mapping[str, str],
) -> Stack:
    """A stack with its resources.

    Args:
        template: as GetTemplate gives it.
        resources: as ListStackResources gives them.
        exports: the outputs that all stacks export.
    """
    physical = {
        str(each["LogicalResourceId"]): str(each["PhysicalResourceId"])
        for each in resources
        if each.get("ResourceStatus") != "DELETE_COMPLETE" and each.get("PhysicalResourceId")
    }
    body = parsed(template)
    values = _Values(_without_hidden(described, body), physical, exports)
    read = _with_choices(body, values)
    made = {
        logical_id: Resource(
            described.name,
            logical_id,
            str(given.get("Type", "")),
            physical[logical_id],
            values.within(read.resolver.with_texts(given.get("Properties") or {})),
        )
        for logical_id, given in read.resources.items()
        if logical_id in physical
    }
    roles = {physical[each]: values.of_role(role) for each, role in read.roles.items() if each in physical}
    return Stack(described.name, described.status, made, roles)


def texts_of(
    described: Described,
    body: Mapping[str, Any],
    physical: Mapping[str, str] | None = None,
    exports: Mapping[str, str] | None = None,
) -> Callable[[Any], str]:
    """Gives values of a template as texts, with the names in `physical` and `exports`; ``${...}`` is left of others."""
    values = _Values(_without_hidden(described, body), physical or {}, exports or {})
    return values.texts_of(Template(body).resolver)


def choices_of(described: Described, body: Mapping[str, Any]) -> Choices:
    """What a template chooses by its parameters alone."""
    return Choices(body, texts_of(described, body))


def _with_choices(body: Mapping[str, Any], values: _Values) -> Template:
    """A template with what it chooses; a name that is chosen itself counts in what is chosen by it the second time."""
    read = Template(body)
    for _ in range(2):
        choices = Choices(body, values.texts_of(read.resolver))
        read = Template({**body, "Resources": choices.within(read.resources)})
    return read


def _without_hidden(described: Described, body: Mapping[str, Any]) -> Described:
    """Without parameters whose values CloudFormation shows to nobody: it gives asterisks for these."""
    declared = body.get("Parameters") or {}
    hidden = {name for name, each in declared.items() if str(each.get("NoEcho")).lower() == "true"}
    shown = {name: value for name, value in described.parameters.items() if name not in hidden}
    return replace(described, parameters=shown)


def parsed(template: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A template in JSON or YAML; boto3 reads JSON by itself."""
    if not isinstance(template, str):
        return template
    content = json.loads(template) if template.lstrip().startswith("{") else _from_yaml(template)
    return content if isinstance(content, Mapping) else {}


def name_in(physical_id: str) -> str:
    """The name in an ARN, a URL or ``bus|rule``; a name is its own."""
    if physical_id.startswith(("arn:", "http:", "https:")):
        return physical_id.replace(":", "/").rpartition("/")[2]
    return physical_id.rpartition("|")[2]


@dataclass(frozen=True)
class _Values:
    """Puts values in the place of the symbols of `stream_cli.checks.service.references`."""

    stack: Described
    physical: Mapping[str, str]
    exports: Mapping[str, str]

    def within(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.of_text(value)
        if isinstance(value, Mapping):
            return {name: self.within(each) for name, each in value.items()}
        return [self.within(each) for each in value] if isinstance(value, list) else value

    def texts_of(self, resolver: Resolver) -> Callable[[Any], str]:
        """Gives values of the template as texts."""
        return lambda value: self.of_text(resolver.text(value))

    def of_text(self, text: str) -> str:
        text = as_symbols(text)
        if "${" not in text:
            return text
        for token in tokens(text):
            found = self._of_symbol(self.of_text(token[2:-1]))
            if found is not None:
                text = text.replace(token, found)
        return text

    def of_role(self, role: Role) -> Role:
        statements = tuple(
            replace(each, resources=tuple(map(self.of_text, each.resources)),
                    but_resources=tuple(map(self.of_text, each.but_resources)))
            for each in role.statements
        )  # fmt: skip
        return replace(role, statements=statements)

    def _of_symbol(self, symbol: str) -> str | None:
        kind, _, name = symbol.partition(" ")
        if symbol.startswith("AWS::"):
            return self._pseudo_parameter(symbol)
        if kind == "import" and name:
            return self.exports.get(name)
        if kind == "parameter" and name:
            return self.stack.parameters.get(name)
        if name == "url":
            return self.physical.get(kind)
        if name == "stream":  # the label of a table's stream is its time, which nobody asks
            return "*"
        if symbol.endswith(".Arn") and self.physical.get(symbol[:-4], "").startswith("arn:"):
            return self.physical[symbol[:-4]]
        if "/consumer/" in self.physical.get(symbol, ""):  # it is known by its ARN alone
            return self.physical[symbol]
        return name_in(self.physical[symbol]) if symbol in self.physical else None

    def _pseudo_parameter(self, name: str) -> str | None:
        region, account = account_of([self.stack])
        return {
            "AWS::AccountId": account,
            "AWS::Partition": _PARTITION if not self.stack.id else self.stack.id.split(":")[1],
            "AWS::Region": region,
            "AWS::StackId": self.stack.id,
            "AWS::StackName": self.stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }.get(name)


def _from_yaml(text: str) -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads the short forms of CloudFormation's functions: ``!Ref``, ``!GetAtt``, ``!Sub`` and others."""

    def function(loader: Any, name: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if name == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}

    Loader.add_multi_constructor("!", function)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"its template is not YAML: {error}") from error


def in_order(stacks: Iterable[Stack]) -> Iterator[Resource]:
    """The resources of stacks."""
    for stack in stacks:
        yield from stack.resources.values()
