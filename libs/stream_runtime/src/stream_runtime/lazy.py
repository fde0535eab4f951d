"""Packages that import their members on first use: a cold start pays only for what the function uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class _LazyPackage(ModuleType):
    """A package that imports the module of a member on first use.

    A member may have the name of its module, as flavors do. Importing that module still leaves the member, not the
    module, under that name in the package.
    """

    _homes: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        home = self._homes.get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        member = getattr(importlib.import_module(f"{self.__name__}.{home}"), name)
        self.__dict__[name] = member
        return member

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and self._homes.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._homes})


def lazily(package: str, homes: Mapping[str, str]) -> None:
    """Make a package import its members lazily.

    Args:
        package: ``__name__`` of the package.
        homes: for each public name the module in the package that defines it.
    """
    module = sys.modules[package]
    module.__dict__["_homes"] = homes
    module.__class__ = _LazyPackage
