"""The checks, in one module for each kind of mistake. Every module in this folder is imported."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from stream_cli.checks.registry import Check, registered

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

CHECKS: Sequence[Check] = registered()
BY_CODE: Mapping[str, Check] = {check.code: check for check in CHECKS}
