"""What a template chooses by ``Fn::If`` and others: by its conditions and mappings, and the values of its stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_UNKNOWN, _NOTHING = object(), object()
_NO_VALUE = {"Ref": "AWS::NoValue"}


class Choices:
    """Puts what is chosen in the place of the functions that choose. What cannot be told is left as it stands.

    Args:
        body: the template.
        text: a value as text; ``${...}`` is left in it where that is not known.
    """

    def __init__(self, body: Mapping[str, Any], text: Callable[[Any], str]) -> None:
        self._conditions: Mapping[str, Any] = body.get("Conditions") or {}
        self._mappings: Mapping[str, Any] = body.get("Mappings") or {}
        parameters: Mapping[str, Any] = body.get("Parameters") or {}
        self._lists = {name for name, each in parameters.items() if "List" in str(each.get("Type"))}
        self._text = text
        self._held: dict[str, bool | None] = {}

    def within(self, value: Any) -> Any:
        """A value with what is chosen in it; what ``AWS::NoValue`` stands for is left out."""
        made = self._made(value)
        return {} if made is _NOTHING else made

    def holds(self, name: str) -> bool | None:
        """Whether a condition holds; None if that cannot be told."""
        if name not in self._held:
            self._held[name] = None  # of one that names itself, nothing can be told
            self._held[name] = self._is_true(self._conditions.get(name))
        return self._held[name]

    def _made(self, value: Any) -> Any:
        if isinstance(value, list):
            return [made for each in value if (made := self._made(each)) is not _NOTHING]
        if not isinstance(value, Mapping):
            return value
        if value == _NO_VALUE:
            return _NOTHING
        chosen = self._chosen(value)
        if chosen is not None:
            return value if chosen is _UNKNOWN else chosen
        return {name: made for name, each in value.items() if (made := self._made(each)) is not _NOTHING}

    def _chosen(self, value: Mapping[str, Any]) -> Any:
        """What a function chooses, `_UNKNOWN` if it cannot be told; None for all that is no such function."""
        match value:
            case {"Fn::If": [str(name), yes, no]}:
                holds = self.holds(name)
                return _UNKNOWN if holds is None else self._made(yes if holds else no)
            case {"Fn::Select": [index, entries]}:
                return self._selected(self._text(self._made(index)), self._list(entries))
            case {"Fn::Split": [str(separator), source]}:
                text = self._text(self._made(source))
                return _UNKNOWN if "${" in text or not separator else text.split(separator)
            case {"Fn::FindInMap": [*names]}:
                return self._found(names)
        return None

    def _selected(self, index: str, entries: Any) -> Any:
        if not isinstance(entries, list) or not index.isdecimal() or int(index) >= len(entries):
            return _UNKNOWN
        return entries[int(index)]

    def _list(self, value: Any) -> Any:
        """A list, also one that is the value of a parameter."""
        match value:
            case {"Ref": str(name)} if name in self._lists:
                text = self._text(value)
                return _UNKNOWN if "${" in text else [each.strip() for each in text.split(",")]
        return self._made(value)

    def _found(self, names: list[Any]) -> Any:
        found: Any = self._mappings
        for name in names[:3]:
            found = found.get(self._text(self._made(name))) if isinstance(found, Mapping) else None
        if found is not None:
            return found
        match names[3:]:
            case [{"DefaultValue": default}]:
                return self._made(default)
        return _UNKNOWN

    def _is_true(self, condition: Any) -> bool | None:
        match condition:
            case {"Condition": str(name)}:
                return self.holds(name)
            case {"Fn::Equals": [one, other]}:
                texts = [self._text(self._made(each)) for each in (one, other)]
                return None if any("${" in each for each in texts) else texts[0] == texts[1]
            case {"Fn::Not": [inner]}:
                holds = self._is_true(inner)
                return None if holds is None else not holds
            case {"Fn::And": [*parts]}:
                found = {self._is_true(each) for each in parts}
                return False if False in found else None if None in found else True
            case {"Fn::Or": [*parts]}:
                found = {self._is_true(each) for each in parts}
                return True if True in found else None if None in found else False
        return None
