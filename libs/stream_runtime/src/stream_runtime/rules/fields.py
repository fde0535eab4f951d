"""The fields of rules. Their annotations are the one definition: types, checks, meanings and defaults.

`initialize_from` checks rules against them, `scripts/rule_reference.py` writes the tables of the README from them, and
editors and type checkers read them:

    class SnsRule(BaseRule, BatchFields, SplitFields, total=False):
        to_sns: Required[Annotated[OfUow, Doc("makes the message")]]

These modules do without ``from __future__ import annotations``: annotations that are text would have to be parsed.
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Required, TypedDict, TypeVar, get_origin

from stream_runtime.engine.flow import Operator
from stream_runtime.engine.operators import always

Rule = Mapping[str, Any]
Flavor = Callable[[Rule], Operator]
Request = Mapping[str, Any] | None
F = TypeVar("F", bound=Callable[..., Any])


class Values:
    """The values that a type of field takes.

    Args:
        expected: what error messages and the reference call them.
        types: their types; ``Callable`` for functions and all that is called like one.
        check: what else holds for a value of these types.
        arguments: with how many arguments a callable may be called; any number if empty.
    """

    __slots__ = ("arguments", "check", "expected", "types")

    def __init__(
        self, expected: str, *types: Any, check: Callable[[Any], bool] = always, arguments: tuple[int, ...] = ()
    ) -> None:
        self.expected = expected
        self.types = types
        self.check = check
        self.arguments = arguments

    def accepts(self, value: object) -> bool:
        return isinstance(value, self.types) and self.check(value)


class Doc:
    """What a field is for, in Markdown.

    Args:
        meaning: what the reference says of the field.
        default: the value, or the environment variable, that holds where a rule has no such field.
    """

    __slots__ = ("default", "meaning")

    def __init__(self, meaning: str, default: str = "") -> None:
        self.meaning = meaning
        self.default = default


def callable_values(*forms: str) -> Values:
    """The values that are functions of these forms, such as ``(uow, rule)``."""
    *others, last = forms
    listed = f"{', '.join(others)} or {last}" if others else last
    return Values(f"a callable {listed}", Callable, arguments=tuple(form.count(",") + 1 for form in forms))


def _is_positive(value: Any) -> bool:
    return callable(value) or (not isinstance(value, bool) and value > 0)


def _names_events(value: Any) -> bool:
    return bool(value) and (not isinstance(value, list) or all(isinstance(each, str) and each for each in value))


def holds_texts(value: Any) -> bool:
    return not isinstance(value, list | tuple | set | frozenset) or all(isinstance(each, str) for each in value)


def _names_types(value: Any) -> bool:
    return not (isinstance(value, str | list | tuple | set | frozenset) and not value) and holds_texts(value)


_READ_ON_THE_WAY = ("id", "type", "timestamp", "partition_key", "tags", "claim_check", "encryption", "*")


def _are_paths(value: Any) -> bool:
    return bool(value) and all(
        isinstance(each, str) and all(each.split(".")) and each.split(".")[0] not in _READ_ON_THE_WAY for each in value
    )


def _is_path(value: Any) -> bool:
    return not isinstance(value, str) or all(value.split("."))


OfUow = Annotated[Callable[[Any], Any] | Callable[[Any, Any], Any], callable_values("(uow)", "(uow, rule)")]
ToRequest = Annotated[Callable[[Any], Request] | Callable[[Any, Any], Request], callable_values("(uow)", "(uow, rule)")]
Text = Annotated[str, Values("a string", str)]
Flag = Annotated[bool, Values("True or False", bool)]
Count = Annotated[int, Values("a whole number of at least 1", int, check=_is_positive)]
Key = Annotated[
    bool | str | Callable[[Any], Hashable],
    Values("True, a path in the unit of work, or a callable (uow)", bool, str, Callable, arguments=(1,)),
]
CorrelationKey = Annotated[
    str | Callable[[Any], Any],
    Values("a path in the event, or a callable (uow)", str, Callable, check=_is_path, arguments=(1,)),
]
SplitOn = Annotated[
    str | Callable[[Any], Any] | Callable[[Any, Any], Any],
    Values("a path in the unit of work, or a callable (uow) or (uow, rule)", str, Callable, arguments=(1, 2)),
]
Emit = Annotated[
    str | list[str] | Callable[[Any, Any, Any], Any],
    Values(
        "an event type, a list of them, or a callable (uow, rule, template)",
        str,
        list,
        Callable,
        check=_names_events,
        arguments=(3,),
    ),
]
Ttl = Annotated[
    int | Callable[[Any, Any], int],
    Values("a number of days, or a callable (rule, uow) -> s", int, Callable, check=_is_positive, arguments=(2,)),
]
Expire = Annotated[bool | str, Values("True or an event type", bool, str, check=lambda value: value != "")]


class LoggerFields(TypedDict, total=False):
    """The field of rules of all flavors that options give, too."""

    logger: Annotated[
        Any, Values("a logger of `logging` or of Powertools", object), Doc("gets the debug lines", "the root logger")
    ]


class CallFields(TypedDict, total=False):
    """The fields of rules that make calls."""

    parallel: Annotated[Count, Doc("calls in flight at once, in order for each partition key", "`PARALLEL`")]
    rate: Annotated[
        float,
        Values("a number of units of work a second", int, float, check=_is_positive),
        Doc("units of work that a step with calls to AWS sends on in a second, at most", "no limit"),
    ]


class BatchFields(CallFields, total=False):
    """The fields of rules whose calls take several entries."""

    batch_size: Annotated[
        Count,
        Doc(
            "entries in one call, where the API takes several, at most its limit",
            "`PUBLISH_BATCH_SIZE` or the API's limit",
        ),
    ]
    max_request_size: Annotated[
        Count, Doc("bytes of one such call, at most the API's limit", "`MAX_REQUEST_SIZE` or the API's limit")
    ]


class CompressionFields(TypedDict, total=False):
    """The field of rules that publish or store events."""

    compression_threshold: Annotated[
        Count,
        Doc(
            "bytes of JSON above which a field of a published or stored event is compressed", "`COMPRESSION_THRESHOLD`"
        ),
    ]


class PublishFields(BatchFields, CompressionFields, total=False):
    """The fields of rules that publish events."""

    publish: Annotated[
        Callable[[Mapping[str, Any]], Operator],
        callable_values("(parameters)"),
        Doc("makes the operator that publishes events", "to EventBridge"),
    ]
    bus_name: Annotated[
        str | Callable[[Any], str],
        Values("a name, an ARN, or a callable (uow)", str, Callable, arguments=(1,)),
        Doc("the event bus", "`BUS_NAME`"),
    ]
    source: Annotated[Text, Doc("the `Source` of published entries", "`BUS_SRC`")]
    encrypt: Annotated[
        Sequence[str],
        Values("a list of paths", list, tuple, check=_are_paths),
        Doc(
            "fields of published events to encrypt, such as `order.email` or `order.lines.*.card`, besides those that "
            "were decrypted"
        ),
    ]


class SharedFields(LoggerFields, PublishFields, total=False):
    """The fields that options give to all rules; each rule uses those of its flavor."""


EventType = Annotated[
    str | Collection[str] | re.Pattern[str] | Callable[[Any], Any] | Callable[[Any, Any], Any],
    Values(
        "a string, a list of strings, a compiled pattern, or a callable (uow) or (uow, rule)",
        str,
        list,
        tuple,
        set,
        frozenset,
        re.Pattern,
        Callable,
        check=_names_types,
        arguments=(1, 2),
    ),
    Doc("which events: a type, several types, a pattern that is searched, a predicate"),
]


class RuleOfAnyEvent(LoggerFields, total=False):
    """The fields of rules that may do without an event type."""

    id: Required[Annotated[Text, Doc("names the rule and its pipeline; unique")]]
    flavor: Required[
        Annotated[
            Flavor,
            Values("a flavor such as task or collect", Callable, arguments=(1,)),
            Doc("what is done: a flavor of the library, or a function `rule -> (Observable -> Observable)`"),
        ]
    ]
    filters: Annotated[
        Sequence[Callable[[Any], Any] | Callable[[Any, Any], Any]],
        Values(
            "a list of callables (uow) or (uow, rule)",
            list,
            tuple,
            check=lambda value: all(map(callable, value)),
            arguments=(1, 2),
        ),
        Doc("predicates of the unit of work; all must hold"),
    ]


class BaseRule(RuleOfAnyEvent, total=False):
    """The fields that rules of all other flavors have."""

    event_type: Required[EventType]
    decrypt: Annotated[
        bool | str,
        Values("True, False or 'inherited'", bool, str, check=lambda value: value in (True, False, "inherited")),
        Doc(
            "decrypt events, and the images of rows in them, before `filters`; `inherited`: also what others have "
            "copied from another event without being able to read it",
            "`False`",
        ),
    ]


class SplitFields(TypedDict, total=False):
    """The fields of rules that may make several units of work of one."""

    split_on: Annotated[SplitOn, Doc("the list of which each member becomes a unit of work, or those units")]
    split_target_field: Annotated[Text, Doc("where a member of that list is put", "`split`")]


class ExecuteFields(TypedDict, total=False):
    """The fields of rules that run business logic."""

    execute: Annotated[OfUow, Doc("the business logic; its result goes into the unit of work")]
    execute_operators: Annotated[
        Callable[[Any], Operator], callable_values("(rule)"), Doc("makes an operator: business logic on the stream")
    ]
    result_key: Annotated[
        str,
        Values("a path in the unit of work", str, check=_is_path),
        Doc("the path where the result of `execute` is put, such as `a.b`", "`result`"),
    ]


Compact = Annotated[Key, Doc("of the events of a batch with one key only the last; True: the partition key")]
Group = Annotated[
    Key,
    Doc(
        "the events of a batch with one key as one unit of work, with all of them under `batch`, at most `batch_size`; "
        "True: the partition key"
    ),
]
EmitAfterwards = Annotated[Emit, Doc("the event or events to publish afterwards")]
TableName = Annotated[Text, Doc("the table", "`ENTITY_TABLE_NAME` or `EVENT_TABLE_NAME`")]
BucketName = Annotated[Text, Doc("the bucket", "`BUCKET_NAME`")]
PutObject = Annotated[
    ToRequest,
    Doc('makes the PutObject request, `{"Key", "Body", ...}`; a `Body` that is neither bytes nor text is sent as JSON'),
]
SHARED_BY_FLAVORS: dict[str, Any] = {
    "compact": Compact,
    "group": Group,
    **SplitFields.__annotations__,
    **ExecuteFields.__annotations__,
    "emit": EmitAfterwards,
    "table_name": TableName,
    "bucket_name": BucketName,
}


WITH_EMIT = dict.fromkeys(PublishFields.__annotations__, ("emit",))
"""What the fields of publishing need in a flavor whose rules may do without ``emit``."""


def flavor(
    rule_type: type,
    *,
    one_of: Iterable[str] = (),
    needs: Mapping[str, Iterable[str]] | None = None,
    excludes: Mapping[str, tuple[Callable[[Rule], bool], str]] | None = None,
    refused: Mapping[str, str] | None = None,
    holds_batch: bool = False,
) -> Callable[[F], F]:
    """Declare the TypedDict of a flavor's rules, so that unknown, missing and useless fields are refused.

    Args:
        rule_type: the TypedDict.
        one_of: fields of which a rule has at least one.
        needs: fields that have an effect only beside one of others; ``split_target_field`` is beside ``split_on``, and
            ``result_key`` beside ``execute``, unless this says something else.
        excludes: fields that have no effect in some rules: which rules, and the reason.
        refused: fields that it must not have, and why.
        holds_batch: whether its operator holds something of the batch, so that each batch needs one of its own. The
            steps of others hold what they need of a batch only once they are compiled for it.
    """

    def declare(recipe: F) -> F:
        recipe.rule_type = rule_type  # type: ignore[attr-defined]
        recipe.one_of = tuple(one_of)  # type: ignore[attr-defined]
        recipe.needs = {"split_target_field": ("split_on",), "result_key": ("execute",), **(needs or {})}  # type: ignore[attr-defined]
        recipe.excludes = excludes or {}  # type: ignore[attr-defined]
        recipe.refused = refused or {}  # type: ignore[attr-defined]
        recipe.holds_batch = holds_batch  # type: ignore[attr-defined]
        return recipe

    return declare


@cache
def fields_of(rule_type: Any) -> dict[str, tuple[Values, Doc]]:
    """The fields of a rule's TypedDict, by name."""
    return {name: definition_of(annotation) for name, annotation in rule_type.__annotations__.items()}


def definition_of(annotation: Any) -> tuple[Values, Doc]:
    """What a field takes and what it is for."""
    if get_origin(annotation) is Required:
        (annotation,) = annotation.__args__
    values, doc = Values("any value", object), Doc("")
    for metadata in getattr(annotation, "__metadata__", ()):
        if isinstance(metadata, Values):
            values = metadata
        elif isinstance(metadata, Doc):
            doc = metadata
    return values, doc
