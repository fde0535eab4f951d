"""A plugin of pytest for a copy of a service, whose tests all pass where it was copied from.

It runs those that show whether the copy has what its tests need: one of each file, of each fixture of conftest.py and
of plugins, of each path that a file has, of each installed module that functions import or a test itself names, of each
client that they make; the shortest that there is. And it runs all that take files of `tests/fixtures`.

With THOROUGH in the environment all run, the chosen ones first. Then it is an error if one of the others
reads data in the copy, or imports an installed module, that no chosen test does.
"""

import dis
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

FILES = "fixture"  # of stream_runtime.testing
CLIENTS = {"client", "getfixturevalue"}  # what they take by name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    chosen = set(choice(items, config.rootpath))
    others = [item for item in items if item not in chosen]
    items[:] = [item for item in items if item in chosen]
    if "THOROUGH" in os.environ:
        config.pluginmanager.register(Needed(config.rootpath, len(items)))
        items += others
    else:
        config.hook.pytest_deselected(items=others)


def choice(items: list[pytest.Function], own: Path) -> Iterator[pytest.Function]:
    seen: set[object] = set()
    for item in sorted(items, key=lambda item: len(item.function.__code__.co_code)):
        needs = {item.path, *needs_of(item, own)}
        if FILES in needs or not needs <= seen:
            yield item
        seen |= needs


def needs_of(item: pytest.Function, own: Path) -> Iterator[object]:
    functions = [item.function]
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        function = definitions[-1].func
        if function.__module__ == item.function.__module__:
            functions.append(function)
        elif not function.__module__.startswith("_pytest."):
            yield FILES if name == FILES else function
    values = item.function.__globals__
    yield from (name for name in item.function.__code__.co_names if is_installed(values.get(name)))
    for function in functions:
        yield from ((item.path, name) for name in function.__code__.co_names if is_path(function.__globals__.get(name)))
        yield from (name for name in imported(function.__code__) if not (own / name.partition(".")[0]).exists())
        if CLIENTS & {*function.__code__.co_names}:
            yield from (("client", value) for value in function.__code__.co_consts if is_name(value))


def is_path(value: object) -> bool:
    return isinstance(value, Path)


def is_installed(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in sys.stdlib_module_names


def is_name(value: object) -> bool:
    return isinstance(value, str) and value.isalnum() and value.islower()


def imported(code: CodeType) -> Iterator[str]:
    """The modules that a function's own lines import."""
    yield from (each.argval for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from imported(inner)


class Needed:
    """The data in a folder that tests read, and the modules that they import from elsewhere."""

    def __init__(self, folder: Path, chosen: int) -> None:
        self._folder = f"{folder}{os.sep}"
        self._chosen_left = chosen
        self._files: set[str] = set()
        self._unnoticed: set[str] = set()
        self._modules: set[str] = set()
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str):
            return
        if arguments[0].startswith(self._folder) and not arguments[0].endswith((".py", ".pyc")):
            (self._files if self._chosen_left > 0 else self._unnoticed).add(arguments[0])

    def pytest_runtest_logfinish(self) -> None:
        self._chosen_left -= 1
        if self._chosen_left == 0:
            self._modules = set(sys.modules)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if missed := self.missed():
            terminalreporter.write_line(f"No chosen test needs {missed}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.missed():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def missed(self) -> list[str]:
        modules = {name for name in set(sys.modules) - self._modules if not self._is_own(name)}
        return sorted(self._unnoticed - self._files | modules)

    def _is_own(self, module: str) -> bool:
        return str(getattr(sys.modules[module], "__file__", None)).startswith(self._folder)
