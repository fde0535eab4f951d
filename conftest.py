"""Time limits of tests, longer for slow kinds, before which the stacks of all threads are printed; and their order.

Tests build sessions, clients and commands anew by the thousand. What botocore, moto and typer derive each time from the
same files and functions is derived once for all tests. Collections of garbage leave out what was imported before them.
"""

import faulthandler
import gc
import os
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest
import typer.testing
from botocore import endpoint_provider, hooks, loaders

SLOW = ("packaging", "system")
SLOW_TIMEOUT_S = 900
GARBAGE_THRESHOLD = 20_000  # new objects before a collection; Python's own threshold is 700 to 2,000
# Where workers take file by file, the longest first: one that begins last would keep a single worker busy at the end.
LONGEST = (
    *("test_fixtures.py", "test_copies.py", "test_rollout.py", "test_main_job.py", "test_generated_requests.py"),
    *("test_packaging.py", "test_checkov.py", "test_cfn_lint.py", "test_regexes.py"),
)
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # output is not captured yet
    read_descriptions_once()
    register_handlers_faster()
    setattr(typer.testing, "_get_command", cache(getattr(typer.testing, "_get_command")))  # noqa: B009, B010


def read_descriptions_once() -> None:
    """Share botocore's descriptions of services. A session shares them among its clients, so nothing changes them."""
    read = cache(loaders.JSONFileLoader().load_file)
    setattr(loaders.JSONFileLoader, "load_file", lambda _, path: read(path))  # noqa: B010 - its stub is wrong

    def once(method: Callable[..., list[str]]) -> Callable[..., list[str]]:
        found: dict[tuple[str, ...], list[str]] = {}

        def listed(loader: Any, *names: str, **named: str) -> list[str]:
            key = (*loader.search_paths, *names, *named.values())
            if key not in found:
                found[key] = method(loader, *names, **named)
            return found[key]

        return listed

    for name in ("list_available_services", "list_api_versions"):
        setattr(loaders.Loader, name, once(getattr(loaders.Loader, name)))

    made: dict[tuple[int, int], tuple[Any, Any, Any]] = {}
    ruleset = endpoint_provider.RuleSet

    def once_from(data: Any, partitions: Any) -> Any:
        """The rules of a service's endpoints; the descriptions are kept with them, so that their ids stay theirs."""
        key = id(data), id(partitions)
        if key not in made:
            made[key] = (data, partitions, ruleset(**data, partitions=partitions))
        return made[key][2]

    def __init__(self: Any, ruleset_data: Any, partition_data: Any, excluded_params: Any = None) -> None:
        self.ruleset = once_from(ruleset_data, partition_data)
        self._excluded_params = excluded_params or frozenset()

    setattr(endpoint_provider.EndpointProvider, "__init__", __init__)  # noqa: B010


def register_handlers_faster() -> None:
    """A session registers a hundred handlers of botocore: their names and signatures are always the same."""
    accepts, alias = hooks.accepts_kwargs, getattr(hooks.EventAliaser, "_alias_event_name")  # noqa: B009 - not in its stub
    accepts_once = cache(accepts)
    alias_once = cache(partial(alias, hooks.EventAliaser(hooks.HierarchicalEmitter())))

    def accepts_kwargs(handler: Any) -> Any:
        # A bound method would keep its client for ever.
        return (accepts_once if isinstance(handler, types.FunctionType) else accepts)(handler)

    setattr(hooks, "accepts_kwargs", accepts_kwargs)  # noqa: B010
    setattr(hooks.EventAliaser, "_alias_event_name", lambda _, name: alias_once(name))  # noqa: B010


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


def pytest_collection_finish() -> None:
    if "moto" in sys.modules:
        pick_attributes_faster()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("timeout")
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(0.9 * limit_s, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
