"""Time limits of tests, longer for slow kinds, at which the stacks of all threads are printed; and their order.

Tests build sessions, clients and commands anew by the thousand. What moto and typer derive each time from the same
functions is derived once for all tests; for botocore, the plugin `fast_botocore` does it. There are no collections of
garbage while tests are collected; later ones leave out what was there before.
"""

import faulthandler
import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import typer.testing

pytest_plugins = ["apart", "fast_botocore", "fewer_reports"]

SLOW = ("packaging", "system")
SLOW_TIMEOUT_S = 900
GARBAGE_THRESHOLD = 20_000  # new objects before a collection; Python's own threshold is 700 to 2,000
# Where workers take file by file, the longest first: one that begins last would keep a single worker busy at the end.
LONGEST = (
    *("test_fixtures.py", "test_parts.py", "test_browser.py", "test_rollout.py", "test_killed_function.py"),
    *("test_generated_requests.py", "test_access.py", "test_console.py", "test_main_job.py", "test_beside.py"),
    *("test_new_stacks.py", "test_stored.py", "test_stopping.py"),
    *("test_packaging.py", "test_checkov.py", "test_cfn_lint.py", "test_regexes.py"),
    *("test_service_permissions.py", "test_kept.py", "test_background.py"),
)
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()
    config.stash[STDERR] = os.dup(2)  # output is not captured yet
    setattr(typer.testing, "_get_command", cache(getattr(typer.testing, "_get_command")))  # noqa: B009, B010


def pick_attributes_faster() -> None:
    """moto derives the names that a field of a response may have in its model: the same for each object of a class."""
    from moto.core.serialize import AttributePicker, AttributePickerContext, XFormedAttributePicker

    def remembered(derived: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
        known: dict[tuple[Any, ...], tuple[str, ...]] = {}

        def get_possible_keys(self: AttributePicker, context: AttributePickerContext) -> Iterator[str]:
            if hasattr(context.obj, "Meta"):  # has aliases of its own
                return derived(self, context)
            key = (*self.alias_providers, type(context.obj), context.shape, context.key)
            if key not in known:
                known[key] = tuple(dict.fromkeys(derived(self, context)))
            return iter(known[key])

        return get_possible_keys

    for picker in (AttributePicker, XFormedAttributePicker):
        setattr(picker, "get_possible_keys", remembered(picker.get_possible_keys))  # noqa: B010


def start_moto_faster() -> None:
    """No test asks AWS by `requests`, for which moto adds 1,300 patterns of addresses each time that it starts."""
    from moto.core import base_backend, models, responses, utils

    urls = vars(base_backend.BaseBackend)["urls"].fget
    of_class: dict[type, Any] = {}

    def urls_once(self: Any) -> Any:
        if type(self) not in of_class:
            of_class[type(self)] = urls(self)
        return of_class[type(self)]

    setattr(base_backend.BaseBackend, "urls", property(urls_once))  # noqa: B010
    setattr(models, "RESPONSES_METHODS", [])  # noqa: B010
    setattr(responses, "method_names_from_class", cache(utils.method_names_from_class))  # noqa: B010


def pytest_collection_finish() -> None:
    if "moto" in sys.modules:
        pick_attributes_faster()
        start_moto_faster()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool:
    """Print all stacks to the real stderr at the limit, and end the process.

    pytest-timeout's own timer is a thread of Python for each test, prints to what is captured, and waits for the GIL.
    """
    faulthandler.dump_traceback_later(settings.timeout, exit=True, file=item.config.stash[STDERR])
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer() -> bool:
    faulthandler.cancel_dump_traceback_later()
    return True


def pytest_enter_pdb() -> None:
    """Whoever debugs a test has time."""
    faulthandler.cancel_dump_traceback_later()
