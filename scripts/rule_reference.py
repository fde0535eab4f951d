"""Writes the tables of the runtime's README: fields of rules, flavors and settings, from their definitions.

python scripts/rule_reference.py
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from stream_runtime import flavors, settings
from stream_runtime.rules.fields import BaseRule, SharedFields, fields_of

README = Path(__file__).parents[1] / "libs/stream_runtime/README.md"


SHARED = {
    **{name: field for name, field in fields_of(BaseRule).items() if name not in fields_of(SharedFields)},
    **fields_of(SharedFields),
}


def with_tables(text: str) -> str:
    """The README's text with its tables written anew, each between ``<!-- NAME table -->`` and ``<!-- end -->``."""
    for name, table in tables().items():
        begin = f"<!-- {name} table -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"the README has no line {begin!r}")
        text = f"{before}{begin}\n{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


def tables() -> dict[str, str]:
    """The tables by name."""
    return {
        "rules": table(("field", "flavors", "takes", "what it is", "default"), shared_fields()),
        "flavors": table(("flavor", "what it does", "its own fields (**needed**)"), rows_of_flavors()),
        "fields": table(("field", "takes", "what it is", "default"), fields_of_flavors()),
        "settings": table(("variable", "default", "what it is for"), rows_of_settings()),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *rows))


def shared_fields() -> Iterable[tuple[str, ...]]:
    """What rules of many flavors may have, and of which; what options may give to all rules comes last."""
    for name, definition in SHARED.items():
        owners = [f"`{flavor}`" for flavor, recipe in recipes().items() if name in fields_of(recipe.rule_type)]
        field, *cells = row(f"`{name}`", definition)
        yield field, "all" if len(owners) == len(recipes()) else ", ".join(owners), *cells


def row(name: str, definition: tuple[Any, Any]) -> tuple[str, str, str, str]:
    """A field, what it takes, what it is and its default."""
    values, doc = definition
    return name, re.sub(r"(\([a-z, ]+\)(?: -> s)?)", r"`\1`", values.expected), doc.meaning, doc.default


def recipes() -> Mapping[str, Any]:
    """The flavors by name."""
    return {module.name: getattr(flavors, module.name) for module in pkgutil.iter_modules(flavors.__path__)}


def rows_of_flavors() -> Iterable[tuple[str, str, str]]:
    """Each flavor with the first sentence of its module and its own fields; those that a rule needs come first."""
    for name, recipe in recipes().items():
        summary = (import_module(f"stream_runtime.flavors.{name}").__doc__ or "").splitlines()[0]
        needed = recipe.rule_type.__required_keys__
        own = [field for field in fields_of(recipe.rule_type) if field not in SHARED]
        names = [f"**`{field}`**" for field in own if field in needed]
        names += [" or ".join(f"**`{field}`**" for field in recipe.one_of)] if recipe.one_of else []
        names += [f"`{field}`" for field in own if field not in needed and field not in recipe.one_of]
        yield f"`{name}`", summary.partition(": ")[2].removesuffix("."), ", ".join(names)


def fields_of_flavors() -> Iterable[tuple[str, ...]]:
    """The fields of flavors by name; one that is something else in a few flavors has another row for those."""
    owners: dict[str, dict[tuple[str, str, str, str], list[str]]] = {}
    for flavor, recipe in recipes().items():
        for name, definition in fields_of(recipe.rule_type).items():
            if name not in SHARED:
                owners.setdefault(name, {}).setdefault(row(f"`{name}`", definition), []).append(flavor)
    for _, variants in sorted(owners.items()):
        (usual, _), *others = sorted(variants.items(), key=lambda variant: -len(variant[1]))
        yield usual
        for (name, *cells), those in others:
            yield f"{name} of {', '.join(f'`{flavor}`' for flavor in those)}", *cells


def rows_of_settings() -> Iterable[tuple[str, str, str]]:
    """The runtime's environment variables."""
    for setting in settings.SETTINGS:
        default = setting.default
        shown = str(default).lower() if isinstance(default, bool) else default
        yield f"`{setting.name}`", "" if default in (None, "", (), frozenset()) else f"`{shown}`", setting.meaning


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
