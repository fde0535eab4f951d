"""The rules of a function, read in a child process, and the records that patterns let through to them."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.service.handlers import ProbedHandler, read_handlers
from stream_cli.checks.service.record_shapes import ABSENT, admits, values_at
from stream_cli.checks.service.resources import Function

Write = Callable[[str], None]
Read = Callable[..., ProbedHandler]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the module of the handler into a service's folder."""
    return lambda source: (tmp_path / "worker.py").write_text(textwrap.dedent(source)) and None


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the handler of a function, for some candidate types, with an environment."""

    def reading(handler: str = "worker.handler", candidates: tuple[str, ...] = (), **environment: str) -> ProbedHandler:
        function = Function("F", "worker", handler, 6, environment, None, None)
        return read_handlers(tmp_path, [(function, candidates)])["F"]

    return reading


STREAM_HANDLER = """
    import re
    from functools import partial
    from stream_runtime import stream_handler
    from stream_runtime.events import from_dynamodb, from_kinesis
    from stream_runtime.flavors import task

    def execute(uow, rule):
        return {}

    rules = [
        {"id": "literal", "flavor": task, "event_type": ["made", "sold"], "execute": execute},
        {"id": "pattern", "flavor": task, "event_type": re.compile("^item-"), "execute": execute},
        {"id": "code", "flavor": task, "event_type": lambda uow: uow["event"]["type"] == "coded", "execute": execute},
    ]
    handler = stream_handler(rules, from_kinesis)
    renamed = stream_handler(rules[:1], partial(from_dynamodb, discriminator_fn="kind"))
"""


def test_rules_are_read_with_their_types(write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    rules = read().rules

    assert [(rule.id, rule.types, rule.patterns, rule.decides) for rule in rules or ()] == [
        ("literal", ("made", "sold"), (), False),
        ("pattern", (), ("^item-",), False),
        ("code", (), (), True),
    ]


@pytest.mark.parametrize(("candidate", "wanted"), [("made", 0), ("item-new", 1), ("coded", 2)])
def test_rules_tell_which_types_they_handle(candidate: str, wanted: int, write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    rules = read(candidates=(candidate,)).rules or ()

    assert [rule.wants[candidate] for rule in rules] == [index == wanted for index in range(3)]


def test_a_rule_that_needs_more_than_the_type_has_no_answer(write: Write, read: Read) -> None:
    write(STREAM_HANDLER.replace('uow["event"]["type"] == "coded"', 'uow["event"]["item"]["id"] == "1"'))

    rules = read(candidates=("made",)).rules or ()

    assert rules[2].wants == {"made": None}


def test_flavors_of_the_runtime_are_known(write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    assert [(rule.flavor, rule.known_flavor) for rule in read().rules or ()] == [("task", True)] * 3


def test_the_source_is_read(write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    assert read().source == "from_kinesis"


def test_the_source_is_read_with_its_options_and_the_rules_with_their_handler(write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    handler = read("worker.renamed")

    assert (handler.source, handler.source_options) == ("from_dynamodb", {"discriminator_fn": "kind"})
    assert [rule.id for rule in handler.rules or ()] == ["literal"]


def test_the_rules_of_a_decorated_handler_are_read(write: Write, read: Read) -> None:
    write(
        STREAM_HANDLER
        + """
    import functools

    @functools.wraps(handler)
    def decorated(event, context):
        return handler(event, context)
    """
    )

    found = read("worker.decorated")

    assert ([rule.id for rule in found.rules or ()], found.source, found.reports) == (
        ["literal", "pattern", "code"],
        "from_kinesis",
        True,
    )


def test_a_module_in_a_package_is_found_as_lambda_finds_it(tmp_path: Path, read: Read) -> None:
    (tmp_path / "shop" / "handlers").mkdir(parents=True)
    (tmp_path / "shop" / "handlers" / "worker.py").write_text("from shop import rules\nhandler = rules.handler\n")
    (tmp_path / "shop" / "rules.py").write_text("def handler(event, context): return None\n")

    assert read("shop/handlers/worker.handler").error is None


def test_a_module_has_the_environment_of_the_function(write: Write, read: Read) -> None:
    write('import os\nassert os.environ["BUS_NAME"] == "the-bus"\ndef handler(event, context): return None\n')

    assert read(BUS_NAME="the-bus").error is None


def test_output_of_a_module_does_not_disturb_the_probe(write: Write, read: Read) -> None:
    write('print("hello")\ndef handler(event, context): return None\n')

    assert read().error is None


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package' (worker.py:1)"),
        ("handler =", "SyntaxError: invalid syntax (worker.py, line 1)"),
        ("import sys\nsys.exit('stop')", "SystemExit: stop (worker.py:2)"),
        ("other = 1", "AttributeError: module 'worker' has no attribute 'handler'"),
        ("import os\nos._exit(3)", "importing worker.handler ended the process with 3: no message"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(source: str, error: str, write: Write, read: Read) -> None:
    write(source)

    assert read().error == error


def test_a_handler_that_ends_the_process_does_not_affect_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("def handler(event, context): return None\n")
    (tmp_path / "bad.py").write_text("import os\nos._exit(3)\n")
    functions = [Function(name, name, f"{name}.handler", 6, {}, None, None) for name in ("bad", "good")]

    read = read_handlers(tmp_path, [(function, ()) for function in functions])

    assert [read["bad"].error is None, read["good"].error is None] == [False, True]


@pytest.mark.parametrize(
    ("source", "reports"),
    [
        ('def handler(event, context):\n    return {"batchItemFailures": []}', True),
        (
            "def handler(event, context):\n    return failures()\n"
            "def failures():\n    return {'batchItemFailures': []}",
            True,
        ),
        ("def handler(event, context):\n    return pipeline.assemble(event)", True),
        ("def handler(event, context):\n    answer = pipeline.assemble(event)\n    return answer", True),
        ("def handler(event, context):\n    pipeline.assemble(event)", False),
        ("def handler(event, context):\n    return None", False),
        ("def handler(event, context):\n    return other.answer(event)", None),
        ("def other(): return {'batchItemFailures': []}\ndef handler(event, context):\n    return None", False),
        ("class Handler:\n    def __call__(self, event, context): return None\nhandler = Handler()", None),
    ],
)
def test_a_handler_reports_partial_failures_or_not_or_it_is_unknown(
    source: str, reports: bool | None, write: Write, read: Read
) -> None:
    write(source)

    assert read().reports is reports


def test_a_stream_handler_reports_partial_failures(write: Write, read: Read) -> None:
    write(STREAM_HANDLER)

    assert read().reports is True


@pytest.mark.parametrize(
    ("pattern", "known", "passes"),
    [
        ({"data": {"type": ["a"]}}, {"data": {"type": "a"}}, True),
        ({"data": {"type": ["b"]}}, {"data": {"type": "a"}}, False),
        ({"data": {"type": ["a"], "size": [5]}}, {"data": {"type": "a"}}, True),
        ({"partitionKey": ["k"]}, {"data": {"type": "a"}}, True),
        ({"data": {"$or": [{"type": ["b"]}, {"size": [1]}]}}, {"data": {"type": "a"}}, True),
        ({"data": {"$or": [{"type": ["b"]}, {"type": ["c"]}]}}, {"data": {"type": "a"}}, False),
        ({"data": {"type": [{"anything-but": ["a"]}]}}, {"data": {"type": "a"}}, False),
        ({"kind": [{"exists": False}]}, {"kind": ABSENT}, True),
        ({"kind": {"S": ["x"]}}, {"kind": ABSENT}, False),
        ({"data": ["text"]}, {"data": {"type": "a"}}, False),
    ],
)
def test_a_partly_known_record_may_pass_a_filter_or_cannot(pattern: Any, known: Any, passes: bool) -> None:
    assert admits(pattern, known) is passes


def test_conditions_on_a_field_are_found_in_alternatives_too() -> None:
    pattern = {"data": {"type": ["a"], "$or": [{"type": ["b"]}, {"type": [{"prefix": "c"}]}]}}

    assert sorted(map(str, values_at(pattern, ("data", "type")))) == ["a", "b", "{'prefix': 'c'}"]
