"""Modules that a service's code needs and that its package leaves out, found without packaging."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from stream_cli.checks.service.handlers import LeftOutImport, read_handlers
from stream_cli.checks.service.left_out import LeftOut
from stream_cli.checks.service.resources import Function

Found = list[tuple[str, str, int]]
Find = Callable[..., Found]
Write = Callable[..., None]
Probe = Callable[..., tuple[LeftOutImport, ...]]
NO_DEPLOY = {"noDeploy": ["boto3", "reactivex", "six"]}
SLIM = {"slim": True, "slimPatterns": ["**/*.pyi", "**/stream_runtime/{testing.py,logs}", "**/reactivex/{a,testing}"]}
HANDLER = """
    from stream_runtime import stream_handler
    from stream_runtime.events import from_kinesis
    from shop.rules import RULES

    handler = stream_handler(RULES, from_kinesis)
"""
RULES = """
    from stream_runtime.flavors import task

    def execute(uow):
        return None

    RULES = [{"id": "made", "flavor": task, "event_type": "item-made", "execute": execute}]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the modules of a service."""

    def written(**modules: str) -> None:
        (tmp_path / "shop").mkdir(exist_ok=True)
        for name, source in {"handlers": HANDLER, **modules}.items():
            (tmp_path / "shop" / f"{name}.py").write_text(textwrap.dedent(source).lstrip("\n"))

    return written


@pytest.fixture
def find(tmp_path: Path, write: Write) -> Find:
    """Finds what the code of a service imports and its package leaves out: module, file and line."""

    def found(requirements: Mapping[str, Any] = NO_DEPLOY, *, rules: str = RULES, **modules: str) -> Found:
        write(rules=rules, **modules)
        imported = LeftOut(requirements, tmp_path).imports_of("shop.handlers")
        return [(entry.module, file, line) for entry, file, line in imported]

    return found


@pytest.fixture
def probe(tmp_path: Path, write: Write) -> Probe:
    """Imports the handler of a service, and tells what it needs and its package leaves out."""

    def probed(rules: str, **requirements: Any) -> tuple[LeftOutImport, ...]:
        write(rules=rules)
        function = Function("F", "worker", "shop/handlers.handler", 6, {}, None, None)
        read = read_handlers(tmp_path, [(function, ())], requirements)["F"]
        assert read.error is None
        assert [rule.id for rule in read.rules or ()] == ["made"]
        return read.left_out

    return probed


def after(first: str) -> str:
    """The rules behind one more line."""
    return f"{first}\n{textwrap.dedent(RULES)}"


def in_execute(statement: str) -> str:
    return RULES.replace("return None", statement)


def test_nothing_is_found_where_nothing_is_imported(find: Find) -> None:
    assert find() == []


@pytest.mark.parametrize(
    "statement",
    [
        "import reactivex",
        "import reactivex.operators as ops",
        "from reactivex import operators",
        "from reactivex.operators import map as rx",
    ],
)
def test_an_import_is_found_with_its_line(statement: str, find: Find) -> None:
    assert find(rules=after(statement)) == [("reactivex", "shop/rules.py", 1)]


def test_an_import_in_a_function_is_found(find: Find) -> None:
    assert find(rules=in_execute("import reactivex")) == [("reactivex", "shop/rules.py", 4)]


def test_an_import_in_a_module_that_a_function_imports_is_found(find: Find) -> None:
    rules = in_execute("from . import totals")

    assert find(rules=rules, totals="import json\nfrom reactivex import of") == [("reactivex", "shop/totals.py", 2)]


def test_modules_that_the_functions_never_import_do_not_count(find: Find) -> None:
    assert find(simulation="import reactivex") == []


@pytest.mark.parametrize("name", ["boto3", "botocore.exceptions", "six", "json"])
def test_what_the_runtime_of_lambda_has_may_be_left_out(name: str, find: Find) -> None:
    no_deploy = ["boto3", "botocore", "six", "json"]

    assert find({"noDeploy": no_deploy}, rules=in_execute(f"import {name}")) == []


def test_an_import_for_type_checkers_does_not_count(find: Find) -> None:
    first = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from reactivex import Observable"

    assert find(rules=after(first)) == []


def test_an_import_that_may_fail_does_not_count(find: Find) -> None:
    optional = "try:\n    import reactivex\nexcept ImportError:\n    reactivex = None"

    assert find(rules=after(optional)) == []


def test_an_import_to_fall_back_on_counts(find: Find) -> None:
    first = "try:\n    import no_such_module\nexcept ImportError:\n    import reactivex"

    assert find(rules=after(first)) == [("reactivex", "shop/rules.py", 4)]


def test_a_module_of_the_service_may_have_a_name_that_is_left_out(find: Find, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool.py").write_text("")

    assert find({"noDeploy": ["bin"]}, rules=in_execute("import bin.tool")) == []


@pytest.mark.parametrize("statement", ["from stream_runtime import testing", "import stream_runtime.testing"])
def test_what_patterns_remove_is_found(statement: str, find: Find) -> None:
    assert find(SLIM, rules=in_execute(statement)) == [("stream_runtime.testing", "shop/rules.py", 4)]


def test_what_is_in_a_folder_that_patterns_remove_is_found(find: Find) -> None:
    rules = in_execute("from reactivex.testing.marbles import marbles_testing")

    assert find(SLIM, rules=rules) == [("reactivex.testing", "shop/rules.py", 4)]


def test_patterns_remove_nothing_unless_slim_is_true(find: Find) -> None:
    assert find({**SLIM, "slim": False}, rules=in_execute("import stream_runtime.testing")) == []


def test_an_import_is_told_once_with_the_line_that_leaves_it_out(probe: Probe) -> None:
    assert probe(after("from reactivex import operators"), **NO_DEPLOY) == (
        LeftOutImport("reactivex", "noDeploy", "reactivex", "shop/rules.py", 1),
    )


def test_what_a_library_imports_is_found_at_the_import_of_the_library(
    probe: Probe, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = tmp_path_factory.mktemp("libraries")
    (library / "rx_totals.py").write_text("import stream_runtime.testing")
    rules = f"import sys; sys.path.append({str(library)!r})\nimport rx_totals\n{textwrap.dedent(RULES)}"

    assert probe(rules, **SLIM) == (
        LeftOutImport(
            "stream_runtime.testing", "slimPatterns", "**/stream_runtime/{testing.py,logs}", "shop/rules.py", 2
        ),
    )


SHARING = """
    def shares(rule):
        return lambda source: source.share()

    RULES = [{"id": "made", "flavor": shares, "event_type": "item-made"}]
"""


def test_what_the_runtime_needs_for_an_operator_of_a_rule_is_found(probe: Probe) -> None:
    """The rule imports nothing: the runtime makes an Observable for it."""
    assert probe(SHARING, **NO_DEPLOY) == (
        LeftOutImport("reactivex", "noDeploy", "reactivex", "shop/rules.py", 2, rule="made"),
    )


@pytest.mark.parametrize(
    ("rules", "no_deploy"),
    [(SHARING, ["boto3"]), (SHARING.replace("lambda source: source.share()", "rx_map(print)"), ["reactivex"])],
    ids=["in the package", "not needed"],
)
def test_a_flavor_of_the_service_that_finds_what_it_needs_is_accepted(
    rules: str, no_deploy: list[str], probe: Probe
) -> None:
    rules = f"from stream_runtime.operators import rx_map\n{textwrap.dedent(rules)}"

    assert probe(rules, noDeploy=no_deploy) == ()
