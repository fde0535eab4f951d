"""Conditions are evaluated in every form that the grammar allows, for items of every shape.

ministack takes only a path as first argument of ``size``, ``contains`` and ``begins_with``, and no operand in
parentheses. It refuses ``begins_with`` if an item's attribute is not a text; on AWS that is false for this item. To
ministack, two attributes that are not there are equal; on AWS such an attribute is not equal to anything (recorded by
ScyllaDB's test/alternator/test_condition_expression.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

INTERNALS = {
    "ministack.services.dynamodb": (
        *("_ExprEval", "_condition_syntax_error", "_find_matching_paren"),
        *("_compare_ddb", "_ddb_equals", "_ddb_size"),
    ),
}

_COMPARATORS = {"EQ", "NE", "LT", "GT", "LE", "GE"}


def patch() -> None:
    """Evaluate what ``grammar`` has read. A reader is at a token of the condition, and knows the item."""
    from ministack.services import dynamodb

    evaluator = dynamodb._ExprEval
    plain_operand = evaluator._operand

    def operand(reader: Any) -> Any:
        if reader.peek()[0] != "LPAREN":
            return plain_operand(reader)
        reader.advance()
        value = reader._operand()
        reader.expect("RPAREN")
        return value

    def arguments(reader: Any) -> list[Any]:
        reader.advance()
        reader.expect("LPAREN")
        values = [reader._operand()]
        while reader.peek()[0] == "COMMA":
            reader.advance()
            values.append(reader._operand())
        reader.expect("RPAREN")
        return values

    def size(reader: Any) -> Any:
        (value,) = arguments(reader)
        return None if value is None else {"N": str(dynamodb._ddb_size(value))}

    def contains(reader: Any) -> bool:
        whole, part = arguments(reader)
        return _contains(whole or {}, part or {}, dynamodb._ddb_equals)

    def begins_with(reader: Any) -> bool:
        text, prefix = (value or {} for value in arguments(reader))
        if "S" in text and "S" in prefix:
            return str(text["S"]).startswith(prefix["S"])
        return "B" in text and "B" in prefix and base64.b64decode(text["B"]).startswith(base64.b64decode(prefix["B"]))

    def opens_condition(reader: Any) -> bool:
        """Whether the parenthesis at hand is one around a condition; it may be one around an operand."""
        kind, text = reader.tokens[dynamodb._find_matching_paren(reader.tokens, reader.pos) + 1]
        return kind not in _COMPARATORS and text.upper() not in {"BETWEEN", "IN"}

    def primary(reader: Any) -> bool:
        kind, text = reader.peek()
        if kind == "LPAREN" and opens_condition(reader):
            reader.advance()
            result = bool(reader._or_expr())
            reader.expect("RPAREN")
            return result
        if kind == "IDENT" and text != "size" and reader.peek(1)[0] == "LPAREN":
            if text in {"attribute_exists", "attribute_not_exists"}:
                return bool(reader._fn_attr_exists(text == "attribute_exists"))
            functions = {"attribute_type": evaluator._fn_attr_type, "contains": contains, "begins_with": begins_with}
            return bool(functions[text](reader))
        return comparison(reader, reader._operand())

    def comparison(reader: Any, left: Any) -> bool:
        kind, operator = reader.advance()
        if kind in _COMPARATORS:
            return compared(left, operator, reader._operand())
        if operator.upper() == "IN":
            reader.expect("LPAREN")
            choices = [reader._operand()]
            while reader.peek()[0] == "COMMA":
                reader.advance()
                choices.append(reader._operand())
            reader.expect("RPAREN")
            return any(compared(left, "=", choice) for choice in choices)
        low = reader._operand()
        reader.advance()
        high = reader._operand()
        return compared(low, "<=", left) and compared(left, "<=", high)

    def compared(left: Any, operator: str, right: Any) -> bool:
        if left is None or right is None:
            return operator == "<>"
        return bool(dynamodb._compare_ddb(left, operator, right))

    evaluator._operand, evaluator._primary, evaluator._fn_size = operand, primary, size
    dynamodb._condition_syntax_error = lambda _text, _slot: None  # `grammar` has refused what is no condition


def _contains(whole: Mapping[str, Any], part: Mapping[str, Any], equal: Any) -> bool:
    """Whether a text or binary has a part, a set a member, or a list an element."""
    if not part:
        return False
    ((kind, value),) = part.items()
    if kind == "S" and "S" in whole:
        return value in whole["S"]
    if kind == "B" and "B" in whole:
        return base64.b64decode(value) in base64.b64decode(whole["B"])
    if f"{kind}S" in whole:
        return any(equal({kind: member}, part) for member in whole[f"{kind}S"])
    return any(equal(element, part) for element in whole.get("L", ()))
