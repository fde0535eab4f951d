"""Where a call goes: botocore's own rules for endpoints, as far as functions use them.

FIPS and dual-stack are off here. A rule that needs a function which is not here, or gives more than an address, is
`Unusual`.

Source: Smithy, "Rules engine"; botocore's endpoint_provider.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .shapes import Unusual

Parameters = Mapping[str, Any]

PLAIN_URL = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?(/?)")
"""An address with a scheme, a host, perhaps a port, and no path."""

_TEMPLATE = re.compile(r"\{([^{}]+)\}")
_INDEXED = re.compile(r"(\w*)\[(\d+)\]")


def address(rules: Mapping[str, Any], partition: Mapping[str, Any], parameters: Parameters) -> str:
    """The URL for a call.

    Args:
        rules: the service's rule set.
        partition: the partition of the region.
        parameters: Region, Endpoint, and what the call says.

    Raises:
        Unusual: the rules refuse the call, or are not understood.
    """
    known = rules["parameters"]
    scope: dict[str, Any] = {name: each["default"] for name, each in known.items() if "default" in each}
    scope.update((name, value) for name, value in parameters.items() if name in known)
    found = _first(rules["rules"], scope, partition)
    if found is None:
        raise Unusual("no rule says where the call goes")
    if found.get("properties") or found.get("headers"):
        raise Unusual("the endpoint of the call has a signature or headers of its own")
    url = _value(found["url"], scope, partition)
    if not isinstance(url, str):
        raise Unusual("the rules give no address")
    return url


def _first(rules: Sequence[Mapping[str, Any]], scope: dict[str, Any], partition: Any) -> Any:
    for rule in rules:
        inner = dict(scope)
        if not all(_holds(condition, inner, partition) for condition in rule["conditions"]):
            continue
        if rule["type"] == "error":
            raise Unusual(f"the rules of the endpoint refuse the call: {rule['error']}")
        if rule["type"] == "endpoint":
            scope.update(inner)
            return rule["endpoint"]
        found = _first(rule["rules"], inner, partition)
        if found is not None:
            scope.update(inner)
            return found
    return None


def _holds(condition: Mapping[str, Any], scope: dict[str, Any], partition: Any) -> bool:
    value = _call(condition, scope, partition)
    if "assign" in condition:
        scope[condition["assign"]] = value
    return value is not None and value is not False


def _call(function: Mapping[str, Any], scope: dict[str, Any], partition: Any) -> Any:
    name = function["fn"]
    arguments = [_value(argument, scope, partition) for argument in function["argv"]]
    if name == "aws.partition":
        return partition
    if name not in _FUNCTIONS:
        raise Unusual(f"the rules of the endpoint use {name}")
    return _FUNCTIONS[name](*arguments)


def _value(value: Any, scope: dict[str, Any], partition: Any) -> Any:
    if isinstance(value, dict):
        return _call(value, scope, partition) if "fn" in value else scope.get(value["ref"])
    if isinstance(value, str) and "{" in value:
        return _TEMPLATE.sub(lambda found: _named(found[1], scope), value)
    return value


def _named(path: str, scope: Mapping[str, Any]) -> str:
    value: Any = scope
    for part in path.split("#"):
        value = value[part]
    return str(value)


def _attribute(value: Any, path: str) -> Any:
    for part in path.split("."):
        indexed = _INDEXED.fullmatch(part)
        if indexed:
            value = value.get(indexed[1]) if indexed[1] else value
            index = int(indexed[2])
            return value[index] if value is not None and index < len(value) else None
        value = value[part]
    return value


def _arn(value: Any) -> None:
    """Nothing for what is no ARN; the rules for ARNs are left to botocore."""
    if isinstance(value, str) and value.startswith("arn:"):
        raise Unusual("the rules of the endpoint read an ARN")


def _url(value: Any) -> Mapping[str, Any]:
    parts = PLAIN_URL.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise Unusual("the address of the endpoint is no plain one")  # and may hold a password
    authority = parts[2] + (f":{parts[3]}" if parts[3] else "")
    return {"scheme": parts[1], "authority": authority, "path": parts[4], "normalizedPath": "/"}


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        raise Unusual("the rules of the endpoint compare what cannot be compared")
    return bool(one == other)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "isSet": lambda value: value is not None,
    "not": lambda value: not value,
    "booleanEquals": _same,
    "stringEquals": _same,
    "getAttr": _attribute,
    "aws.parseArn": _arn,
    "parseURL": _url,
}


def parameters_of(operation: Mapping[str, Any], shape: Mapping[str, Any]) -> Callable[[Parameters], Parameters]:
    """The function that reads an operation's parameters for the rules from a request.

    Args:
        operation: of the model.
        shape: of its input.

    Raises:
        Unusual: the model names a parameter in a way that is not known.
    """
    members = {
        name: each["contextParam"]["name"] for name, each in shape.get("members", {}).items() if "contextParam" in each
    }
    fixed = {name: each["value"] for name, each in operation.get("staticContextParams", {}).items()}
    paths = {name: _path(each["path"]) for name, each in operation.get("operationContextParams", {}).items()}

    def parameters(request: Parameters) -> Parameters:
        return {
            **fixed,
            **{target: request[name] for name, target in members.items() if name in request},
            **{name: read(request) for name, read in paths.items()},
        }

    return parameters


def _path(path: str) -> Callable[[Parameters], Any]:
    """A path of JMESPath, of the kinds that the models have.

    Raises:
        Unusual: it is of another kind.
    """
    if keys := re.fullmatch(r"keys\((\w+)\)", path):
        return lambda request: tuple(request.get(keys[1]) or ())
    if each := re.fullmatch(r"(\w+)\[\*\]\.(?:([\w.]+)|\[([\w., ]+)\]\[\])", path):
        leaves = [leaf.strip().split(".") for leaf in (each[2] or each[3]).split(",")]
        return lambda request: tuple(
            found for item in request.get(each[1]) or () for leaf in leaves if (found := _leaf(item, leaf)) is not None
        )
    if re.fullmatch(r"[\w.]+", path):
        return lambda request: _leaf(request, path.split("."))
    raise Unusual(f"the model reads a parameter by {path}")


def _leaf(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
