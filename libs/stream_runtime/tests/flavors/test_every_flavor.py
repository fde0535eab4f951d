"""A flavor is one file, its line in ``flavors/__init__.py`` and its test. The README's rows are generated."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from stream_runtime import flavors
from stream_runtime.rules.fields import BaseRule, fields_of

FOLDER = Path(flavors.__path__[0])
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
TESTS = Path(__file__).parents[1]
README = TESTS.with_name("README.md").read_text()


def told(rule_type: Any) -> dict[str, tuple[str, str, str]]:
    """What the reference says of each field; Python 3.14 makes the annotations of a base anew for each class."""
    return {name: (values.expected, doc.meaning, doc.default) for name, (values, doc) in fields_of(rule_type).items()}


def test_the_package_has_a_line_for_each_flavor() -> None:
    lines = re.findall(r"^    from \.(\w+) import \*$", FOLDER.joinpath("__init__.py").read_text(), re.MULTILINE)

    assert lines == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_flavor_exports_its_recipe_its_rule_and_its_unit_of_work(name: str) -> None:
    module = import_module(f"stream_runtime.flavors.{name}")
    rule, uow, recipe = module.__all__

    assert (rule.removesuffix("Rule"), recipe) == (uow.removesuffix("Uow"), name)
    assert [getattr(flavors, each) for each in module.__all__] == [vars(module)[each] for each in module.__all__]
    assert set(module.__all__) <= set(flavors.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_flavor_declares_the_fields_of_its_rules(name: str) -> None:
    recipe = getattr(flavors, name)

    lacking = {field for field, _ in told(BaseRule).items() - told(recipe.rule_type).items()}
    assert lacking == ({"decrypt"} if name in ("expired", "outbox") else set())  # refused, see test_common_fields
    assert set(recipe.one_of) <= set(fields_of(recipe.rule_type))
    assert all(doc.meaning for _, doc in fields_of(recipe.rule_type).values())


@pytest.mark.parametrize("name", NAMES)
def test_a_flavor_is_documented_and_tested(name: str) -> None:
    summary = (import_module(f"stream_runtime.flavors.{name}").__doc__ or "").splitlines()[0]

    assert summary.startswith(f"{name}: ")
    assert f"| `{name}` |" in README
    assert any(re.search(rf"flavors import .*\b{name}\b", path.read_text()) for path in TESTS.rglob("test_*.py"))
