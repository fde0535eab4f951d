"""EventBridge event patterns: the language of bus rules and of the filters of event source mappings.

Grammar and results are those of AWS (Amazon EventBridge user guide, "Comparison operators for use in event patterns";
AWS Lambda developer guide, "Control which events Lambda sends to your function"):

    pattern   := {name: [condition, ...] | pattern, ..., "$or": [pattern, pattern, ...]}
    condition := string | number | true | false | null
               | {"prefix": string | {"equals-ignore-case": string}}
               | {"suffix": string | {"equals-ignore-case": string}}
               | {"equals-ignore-case": string}
               | {"wildcard": string}                    "*" matches any characters; "\\*" and "\\\\" are literal
               | {"exactly": string}
               | {"anything-but": string | number | [string, ...] | [number, ...]
                                  | {"prefix" | "suffix" | "equals-ignore-case" | "wildcard": string | [string, ...]}}
               | {"numeric": ["=" | "<" | "<=" | ">" | ">=", number] | [">" | ">=", number, "<" | "<=", number]}
               | {"exists": true | false}
               | {"cidr": "address/bits"}

All names of a pattern must match; for each name, any of its conditions. If the event has an array, any of its elements
may match. Elements that are objects are matched one by one: two names below an array must match in the same element.
Names are compared as paths joined by dots, in the pattern and in the event: `{"a.b": [1]}` is `{"a": {"b": [1]}}`.
"""

from .compiling import MAX_COMBINATIONS, compile_pattern, matches, nested, parse_pattern
from .errors import InvalidPattern
from .matching import CompiledPattern

__all__ = [
    "MAX_COMBINATIONS", "CompiledPattern", "InvalidPattern", "compile_pattern", "matches", "nested", "parse_pattern",
]  # fmt: skip
