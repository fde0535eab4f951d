"""The AWS emulator: ministack on loopback, patched where no public API of it closes a gap.

Each module of this package closes one gap, and names the internals of ministack that it relies on. They were read in
version ``PINNED``; a test fails on any other version and on a name that is gone.

Run as ``python -m stream_cli.local.emulator --port 0 --ready FILE --lambda-python PYTHON``; once it listens it writes
``{"port": ...}`` to FILE. It ends on SIGTERM and SIGINT. With ``--journal FOLDER`` it writes down what happens there.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from stream_cli.journal.writer import Writer
from stream_cli.local.emulator import (
    api_hosts,
    arrivals,
    asynchronous,
    authorization,
    closed_shards,
    dynamodb,
    event_patterns,
    functions,
    http_api_answers,
    iam_answers,
    kept,
    kinesis_expiry,
    log_events,
    long_lists,
    long_queues,
    metric_points,
    named_operations,
    native_json,
    observation,
    own_delivery,
    packed_items,
    plain_requests,
    put_events,
    queue_mappings,
    random_ids,
    refused_mappings,
    resource_types,
    rule_inputs,
    source_mappings,
    table_streams,
    tokens,
    version_code,
    wrapped_keys,
)
from stream_cli.local.emulator.arrivals import Announcer, Arrivals
from stream_cli.local.emulator.authorization.sessions import Sessions
from stream_cli.local.emulator.fault_injection import App, FaultInjection
from stream_cli.local.emulator.functions.debugging import Debugging
from stream_cli.local.emulator.guard import Guard
from stream_cli.local.emulator.kept import Keeper
from stream_cli.local.emulator.named_operations import NamedOperations

PINNED = "1.5.33"
INTERNALS: defaultdict[str, tuple[str, ...]] = defaultdict(tuple, {"ministack.app": ("app",)})
_PATCHES = (
    iam_answers,
    *(source_mappings, refused_mappings, queue_mappings, closed_shards, kinesis_expiry, resource_types),
    *(dynamodb, table_streams),  # in this order: a statement that is refused makes no record
    *(event_patterns, rule_inputs, own_delivery, put_events, log_events, api_hosts, http_api_answers, tokens),
    *(packed_items, long_lists, long_queues, metric_points, plain_requests, asynchronous, random_ids),
    wrapped_keys,
)
for _patch in (
    *(*_PATCHES, native_json, observation, arrivals, functions, version_code, named_operations, authorization, kept),
):
    for _module, _names in _patch.INTERNALS.items():
        INTERNALS[_module] += _names


def verify_pinned() -> None:
    """Refuse to work with any other ministack than the one that was read.

    Raises:
        RuntimeError: another version is installed, or an internal name that a patch relies on is gone.
    """
    installed = version("ministack")
    if installed != PINNED:
        raise RuntimeError(f"ministack {installed} is installed, stream_cli.local.emulator was written for {PINNED}")
    for module, names in INTERNALS.items():
        for name in names:
            if not hasattr(importlib.import_module(module), name):
                raise RuntimeError(f"{module}.{name}, which stream_cli.local.emulator relies on, does not exist")


def patched_app(
    lambda_python: Path | None,
    port: int,
    journal: Writer | None = None,
    *,
    iam: bool = True,
    keeper: Keeper | None = None,
) -> App:
    """ministack's ASGI app with every patch, behind the guard of ``port``.

    Functions run on ``lambda_python``, or on ministack's own interpreter. What happens is put into ``journal``. Without
    ``iam``, everybody may do everything. With ``keeper``, what requests change is kept.

    The environment variable GATEWAY_PORT must hold the port before this is called: ministack reads it at import.
    """
    verify_pinned()
    arrived = Arrivals()
    native_json.patch()  # before the names that it puts into modules are taken from there
    if keeper is not None:
        kept.requests.patch_objects_of_firehose()
    if journal is not None:
        observation.patch(journal)
    arrivals.patch(arrived)  # first: what other patches put on a stream is counted, too
    for patch in _PATCHES:
        patch.patch()
    functions.patch(lambda_python)
    version_code.patch()
    if keeper is not None:
        kept.patch(keeper)
    if journal is not None:
        observation.patch_calls(journal)
    if iam:
        authorization.patch()  # last: it lets or does not let do what the others do
    app: App = importlib.import_module("ministack.app").app
    told = Announcer(Debugging(app, functions.retire), arrived)
    control: App = FaultInjection(NamedOperations(Sessions(told)))
    return Guard(control if keeper is None else kept.Answers(control, keeper), app, port)
