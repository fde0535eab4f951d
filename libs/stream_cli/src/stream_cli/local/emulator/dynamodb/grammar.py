"""The grammars of DynamoDB's expressions: conditions, updates and projections, from text to a tree.

Source: DynamoDB developer guide, "Condition and filter expressions, operators, and functions", "Update expressions" and
"Projection expressions". A text is refused as by DynamoDB: the token at which reading ends, and the text around it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

_TOKEN = re.compile(
    r"(?:(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<name>#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<sign><>|<=|>=|[=<>(),.\[\]+-])|(?P<other>\S))"
)
_COMPARATORS = ("=", "<>", "<", "<=", ">", ">=")
_CONDITION_WORDS = frozenset({"AND", "OR", "NOT", "BETWEEN", "IN"})
_SECTIONS = frozenset({"SET", "REMOVE", "ADD", "DELETE"})


class SyntaxProblem(ValueError):
    """A text that the grammar does not allow."""


@dataclass(frozen=True)
class DocumentPath:
    """A document path: names as they are written, ``#aliases`` included, and indices of lists."""

    parts: tuple[str | int, ...]


@dataclass(frozen=True)
class Value:
    """An expression attribute value, such as ``:v``."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function with its arguments, whether or not there is one of this name."""

    name: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True)
class Sum:
    """``left + right`` or ``left - right`` in the SET section of an update."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Condition:
    """A condition: a comparison, BETWEEN, IN, NOT, AND, OR. ``operator`` is in capital letters."""

    operator: str
    arguments: tuple[Operand | Condition, ...]


@dataclass(frozen=True)
class Action:
    """One action of an update. Only REMOVE has no ``value``."""

    section: str
    path: DocumentPath
    value: Operand | None


Operand = DocumentPath | Value | Call | Sum
Node = Operand | Condition
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class ConditionTree:
    """A condition, and whether it has redundant parentheses."""

    root: Node
    redundant_parentheses: bool


@dataclass(frozen=True)
class UpdateTree:
    """The actions of an update in their order, and its sections in theirs."""

    actions: tuple[Action, ...]
    sections: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def parse_condition(text: str) -> ConditionTree:
    """Read a condition, filter or key condition.

    Raises:
        SyntaxProblem: the text is no condition.
    """
    reader = _Conditions(text, _CONDITION_WORDS)
    root = reader.disjunction()
    reader.end()
    if not isinstance(root, Condition | Call):
        reader.fail()
    return ConditionTree(root, reader.redundant_parentheses)


@functools.lru_cache(maxsize=1024)
def parse_update(text: str) -> UpdateTree:
    """Read an update.

    Raises:
        SyntaxProblem: the text is no update.
    """
    reader = _Updates(text, _SECTIONS)
    actions: list[Action] = []
    sections: list[str] = []
    while not sections or not reader.at_end:
        section = reader.section()
        sections.append(section)
        actions += reader.separated(functools.partial(reader.action, section))
    return UpdateTree(tuple(actions), tuple(sections))


@functools.lru_cache(maxsize=1024)
def parse_projection(text: str) -> tuple[DocumentPath, ...]:
    """Read a projection.

    Raises:
        SyntaxProblem: the text is no projection.
    """
    reader = _Reader(text, frozenset())
    paths = reader.separated(reader.path)
    reader.end()
    return tuple(paths)


@dataclass(frozen=True)
class _Token:
    kind: Literal["word", "keyword", "name", "value", "index", "sign", "other", "end"]
    text: str
    start: int
    end: int


class _Reader:
    """The tokens of a text, and what all grammars share."""

    def __init__(self, text: str, keywords: frozenset[str]) -> None:
        self._text = text
        self._tokens: list[_Token] = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup
            found = match[kind]  # type: ignore[index]
            if kind == "word" and found.upper() in keywords:
                kind = "keyword"
            self._tokens.append(_Token(kind, found, *match.span(match.lastgroup)))  # type: ignore[arg-type]
        self._tokens.append(_Token("end", "<EOF>", len(text), len(text)))
        self._at = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._at]

    @property
    def at_end(self) -> bool:
        return self.token.kind == "end"

    @property
    def calls(self) -> bool:
        """Whether a function stands here."""
        return self.token.kind == "word" and self._tokens[self._at + 1].text == "("

    def fail(self) -> None:
        start = self._tokens[max(self._at - 1, 0)].start
        end = self._tokens[min(self._at + 1, len(self._tokens) - 1)].end
        raise SyntaxProblem(f'Syntax error; token: "{self.token.text}", near: "{self._text[start:end]}"')

    def take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def accepts(self, sign: str) -> bool:
        if self.token.kind != "sign" or self.token.text != sign:
            return False
        self._at += 1
        return True

    def accepts_word(self, keyword: str) -> bool:
        if self.token.kind != "keyword" or self.token.text.upper() != keyword:
            return False
        self._at += 1
        return True

    def expect(self, sign: str) -> None:
        if not self.accepts(sign):
            self.fail()

    def end(self) -> None:
        if not self.at_end:
            self.fail()

    def separated(self, read: Callable[[], _Read]) -> list[_Read]:
        found = [read()]
        while self.accepts(","):
            found.append(read())
        return found

    def path(self) -> DocumentPath:
        parts: list[str | int] = [self._name()]
        while True:
            if self.accepts("."):
                parts.append(self._name())
            elif self.accepts("["):
                if self.token.kind != "index":
                    self.fail()
                parts.append(int(self.take().text))
                self.expect("]")
            else:
                return DocumentPath(tuple(parts))

    def _name(self) -> str:
        if self.token.kind not in {"word", "name"}:
            self.fail()
        return self.take().text

    def function(self) -> Call:
        name = self.take().text
        self.expect("(")
        arguments = self.separated(self.operand)
        self.expect(")")
        return Call(name, tuple(arguments))

    def operand(self) -> Operand:
        if self.accepts("("):
            inner = self.operand()
            self.expect(")")
            return inner
        if self.calls:
            return self.function()
        return Value(self.take().text) if self.token.kind == "value" else self.path()


class _Conditions(_Reader):
    redundant_parentheses = False

    def disjunction(self) -> Node:
        return self._joined("OR", lambda: self._joined("AND", self._negation))

    def _joined(self, operator: str, read: Callable[[], Node]) -> Node:
        left = read()
        while self.token.kind == "keyword" and self.token.text.upper() == operator:
            if not isinstance(left, Condition | Call):
                self.fail()
            self.take()
            left = Condition(operator, (left, self._condition(read)))
        return left

    def _negation(self) -> Node:
        if self.accepts_word("NOT"):
            return Condition("NOT", (self._condition(self._negation),))
        return self._comparison()

    def _condition(self, read: Callable[[], Node]) -> Node:
        node = read()
        if not isinstance(node, Condition | Call):
            self.fail()
        return node

    def _comparison(self) -> Node:
        left = self._in_parentheses() if self.token.text == "(" else self.operand()
        if isinstance(left, Condition):
            return left
        if self.token.text in _COMPARATORS:
            return Condition(self.take().text, (left, self.operand()))
        if self.accepts_word("BETWEEN"):
            low = self.operand()
            if not self.accepts_word("AND"):
                self.fail()
            return Condition("BETWEEN", (left, low, self.operand()))
        if self.accepts_word("IN"):
            self.expect("(")
            choices = self.separated(self.operand)
            self.expect(")")
            return Condition("IN", (left, *choices))
        return left

    def _in_parentheses(self) -> Node:
        self.expect("(")
        doubled = self.token.text == "("
        start = self._at
        inner = self.disjunction()
        # ((a = :a)): what stands within is nothing but another pair.
        self.redundant_parentheses |= doubled and self._closes(start) == self._at - 1
        self.expect(")")
        return inner

    def _closes(self, opening: int) -> int:
        """Where the parenthesis that opens there is closed."""
        depth = 0
        for place in range(opening, len(self._tokens)):
            depth += {"(": 1, ")": -1}.get(self._tokens[place].text, 0)
            if depth == 0:
                return place
        return len(self._tokens)


class _Updates(_Reader):
    def section(self) -> str:
        if self.token.kind != "keyword":
            self.fail()
        return self.take().text.upper()

    def action(self, section: str) -> Action:
        path = self.path()
        if section == "REMOVE":
            return Action(section, path, None)
        if section == "SET":
            self.expect("=")
            return Action(section, path, self._assigned())
        if self.token.kind != "value":
            self.fail()
        return Action(section, path, Value(self.take().text))

    def _assigned(self) -> Operand:
        # A whole assigned value may stand in parentheses; within it a sum has two operands.
        start = self._at
        if self.accepts("("):
            inner = self._assigned()
            self.expect(")")
            if isinstance(inner, Sum) or self.token.text not in {"+", "-"}:
                return inner
            self._at = start
        left = self.operand()
        if self.token.text in {"+", "-"}:
            return Sum(self.take().text, left, self.operand())
        return left
