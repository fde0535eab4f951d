"""What a sabotage is, and how one is put into the running program.

A sabotage is a change of a line of code, or of the deployment. A changed line is compiled in its place, and every
function that was made of it, closures and methods included, runs the changed code until the sabotage is over.
"""

from __future__ import annotations

import gc
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType

from simulator.topology import Deployment

Place = tuple[str, str, int]
"""Of a function: file, name, number of its first line."""


@dataclass(frozen=True)
class Sabotage:
    """A mistake that somebody could make.

    Attributes:
        why: what it does to people.
        seed: a history that catches it follows from this seed, or from one soon after it.
        module: where `before`, which is there once, is replaced by `after`.
        deployed: makes another deployment instead.
    """

    name: str
    why: str
    seed: int
    module: str = ""
    before: str = ""
    after: str = ""
    deployed: Callable[[Deployment], Deployment] | None = None

    @contextmanager
    def done(self, deployment: Deployment) -> Iterator[Deployment]:
        """The deployment to play; the changed line runs inside the block."""
        if self.deployed is not None:
            yield self.deployed(deployment)
            return
        changed = _changed(self.module, self.before, self.after)
        _become({place: new for place, (_, new) in changed.items()})
        try:
            yield deployment
        finally:
            _become({place: old for place, (old, _) in changed.items()})


def _changed(module: str, before: str, after: str) -> dict[Place, tuple[CodeType, CodeType]]:
    """The code of the functions that a change of the text of a module changes, without and with it."""
    source, file = inspect.getsource(importlib.import_module(module)), _file(module)
    assert source.count(before) == 1, f"{module} has {source.count(before)} times: {before}"
    assert before.count("\n") == after.count("\n"), "the lines keep their numbers"
    trees = (compile(text, file, "exec", dont_inherit=True) for text in (source, source.replace(before, after)))
    old, new = (dict(_functions(tree)) for tree in trees)
    assert old.keys() == new.keys(), f"{module} has other functions with: {after}"
    found = {place: (code, new[place]) for place, code in old.items() if code != new[place]}
    assert found, f"no function of {module} has: {before}"
    return found


def _file(module: str) -> str:
    return str(importlib.import_module(module).__file__)


def _functions(code: CodeType) -> Iterator[tuple[Place, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield (constant.co_filename, constant.co_qualname, constant.co_firstlineno), constant
            yield from _functions(constant)


def _become(wanted: dict[Place, CodeType]) -> None:
    """Give all functions of some places other code."""
    gc.unfreeze()  # what is frozen is not listed
    files = {file for file, _, _ in wanted}
    for each in gc.get_objects():
        if each.__class__ is FunctionType and each.__code__.co_filename in files:
            code = wanted.get((each.__code__.co_filename, each.__code__.co_qualname, each.__code__.co_firstlineno))
            if code is not None and code.co_freevars == each.__code__.co_freevars:
                each.__code__ = code
