"""Packages that import their members on first use: a cold start pays only for what the function uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _LazyPackage(ModuleType):
    """A package that imports the module of a member on first use.

    A member may have the name of its module, as flavors do. Importing that module still leaves the member, not the
    module, under that name in the package.
    """

    _home_of: Callable[[str], str | None]

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [name for module in _modules(self) for name in getattr(_imported(self, module), "__all__", ())]
        home = None if name.startswith("_") else self._home_of(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        member = getattr(_imported(self, home), name)
        self.__dict__[name] = member
        return member

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and self._home_of(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__all__})


def _modules(package: ModuleType) -> list[str]:
    import pkgutil  # for tools that list a package; a function does not

    return [module.name for module in pkgutil.iter_modules(package.__path__)]


def _imported(package: ModuleType, module: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package.__name__}.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"{package.__name__}.{module}":
            raise
        raise AttributeError(f"package {package.__name__!r} has no module {module!r}") from None


def lazily(package: str, home_of: Callable[[str], str | None]) -> None:
    """Make a package import its members lazily.

    Args:
        package: ``__name__`` of the package. One without an ``__all__`` has those of its modules.
        home_of: gives the module in the package that defines a public name; None for a name that is not public.
    """
    module = sys.modules[package]
    module.__dict__["_home_of"] = home_of
    module.__class__ = _LazyPackage
