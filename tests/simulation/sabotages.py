"""Sabotages of services, engine and runtime, and how one is put into the running program.

A sabotage is a change of a line of code, or of the deployment. A changed line is compiled in its place, and every
function that was made of it, closures and methods included, runs the changed code until the sabotage is over.
"""

from __future__ import annotations

import gc
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


# --- of the deployment ---


def without_time_to_live(table: str) -> Callable[[Deployment], Deployment]:
    def change(deployment: Deployment) -> Deployment:
        tables = {
            name: replace(each, ttl=None) if name.startswith(table) else each
            for name, each in deployment.tables.items()
        }
        return replace(deployment, tables=tables)

    return change


def without_filter_of(type_: str) -> Callable[[Deployment], Deployment]:
    def change(deployment: Deployment) -> Deployment:
        mappings = {
            uuid: replace(each, filter_patterns=tuple(text.replace(type_, "nothing") for text in each.filter_patterns))
            for uuid, each in deployment.mappings.items()
        }
        return replace(deployment, mappings=mappings)

    return change


def without_destinations(deployment: Deployment) -> Deployment:
    functions = {name: replace(each, failure_arn=None) for name, each in deployment.functions.items()}
    return replace(deployment, functions=functions)


def without_mapping_destinations(deployment: Deployment) -> Deployment:
    mappings = {uuid: replace(each, destination_arn=None) for uuid, each in deployment.mappings.items()}
    return replace(deployment, mappings=mappings)


def without_partial_failures(deployment: Deployment) -> Deployment:
    mappings = {uuid: replace(each, report_failures=False) for uuid, each in deployment.mappings.items()}
    return replace(deployment, mappings=mappings)


def without_rule_of(bucket: str) -> Callable[[Deployment], Deployment]:
    def change(deployment: Deployment) -> Deployment:
        rules = {
            name: replace(rule, pattern={**rule.pattern, "detail-type": ["nothing"]}) if bucket in name else rule
            for name, rule in deployment.rules.items()
        }
        return replace(deployment, rules=rules)

    return change


def without_alarms(deployment: Deployment) -> Deployment:
    alarms = {name: replace(each, threshold=1e9) for name, each in deployment.alarms.items()}
    return replace(deployment, alarms=alarms)


STREAM, CLI = "stream_runtime", "stream_cli.mappings"

SABOTAGES: tuple[Sabotage, ...] = (
    # the engine, and the poller that carries out what it decides
    Sabotage(
        "the first record that a function reports counts as done",
        "its effect is lost",
        15,
        f"{CLI}.outcomes",
        "return Failed(done=lowest,",
        "return Failed(done=lowest + 1,",
    ),
    Sabotage(
        "a function that raises counts as done",
        "its batch is lost",
        17,
        f"{CLI}.outcomes",
        "    if invocation.function_error is not None:",
        "    if False:",
    ),
    Sabotage(
        "the second half of a batch loses its first record",
        "it is lost",
        20,
        f"{CLI}.shard.lane",
        "batch.entries[size // 2 :]]",
        "batch.entries[size // 2 + 1:]]",
    ),
    Sabotage(
        "the checkpoint passes over records that are in flight",
        "a poller that begins again loses them",
        17,
        f"{CLI}.shard.state",
        "while waiting and waiting[0].done:",
        "while waiting:",
    ),
    Sabotage(
        "a batch that failed as often as it may is dropped, not reported",
        "it is lost",
        15,
        "simulator.mappings",
        "if settings.destination_arn is not None:",
        "if False:",
    ),
    Sabotage(
        "a read begins behind the first record that is new",
        "it is lost",
        0,
        "simulator.mappings",
        "self.processor.offer(records, self._now())",
        "self.processor.offer(records[1:] or records, self._now())",
    ),
    # the runtime
    Sabotage(
        "the response names the record behind the one that failed",
        "it is lost",
        15,
        f"{STREAM}.engine.run",
        "if checkpoint is None or position < checkpoint:",
        "if checkpoint is None or position <= checkpoint:",
    ),
    Sabotage(
        "the response forgets the identifier of what failed",
        "the whole rest of the batch is lost",
        15,
        f"{STREAM}.engine.run",
        "            identifiers.append(identity.identifier)",
        "            identifiers = identifiers",
    ),
    Sabotage(
        "poison is dropped without a fault",
        "nobody hears of it",
        1,
        f"{STREAM}.engine.run",
        "                self.faults.append(Fault(error, received, positions, told))",
        "                pass",
    ),
    Sabotage(
        "a fault gets another id at each attempt",
        "one poison is many faults",
        1,
        f"{STREAM}.faults",
        "_fitting_id(derived_id(*causes))",
        "_fitting_id(derived_id(*causes, str(now_ms())))",
    ),
    Sabotage(
        "entries that PutEvents, Kinesis or Firehose refuse count as taken",
        "they are lost",
        17,
        f"{STREAM}.sinks.entries",
        'if result.get("ErrorCode")',
        "if False",
    ),
    Sabotage(
        "a publisher ends before the bus has taken its events",
        "rows are lost",
        13,
        f"{STREAM}.sinks.eventbridge",
        "            if kind is None:\n                self.flush()",
        "            if kind is None:\n                pass",
    ),
    Sabotage(
        "the marker of another record is not respected",
        "an event is published twice",
        4,
        f"{STREAM}.sinks.correlations",
        "if not _owns(marker, there):",
        "if False:",
    ),
    Sabotage(
        "a record does not know its own marker",
        "after a crash it publishes nothing",
        17,
        f"{STREAM}.sinks.correlations",
        'bool(there["record"] == marker["record"])',
        "False",
    ),
    Sabotage(
        "a higher-order event gets the id of what triggers it",
        "a story is ready twice",
        0,
        f"{STREAM}.flavors.evaluate",
        'if rule.get("once") else (meta["id"], rule["id"])',
        'if not rule else (meta["id"], rule["id"])',
    ),
    Sabotage(
        "a message that is sent is not marked",
        "nobody can tell what still waits",
        0,
        f"{STREAM}.flavors.outbox",
        'update_expression({"dispatched": True,',
        "update_expression({",
    ),
    Sabotage(
        "a message of an odd moment is taken for one that was sent",
        "other systems do not hear of changes",
        1,
        f"{STREAM}.flavors.outbox",
        'if not new or new.get("dispatched"):',
        'if not new or new.get("dispatched") or new["timestamp"] % 2:',
    ),
    # control-service
    Sabotage(
        "of a ready story one row is not settled",
        "it expires",
        0,
        "control.rules.listener",
        'for trigger in uow["event"]["triggers"]',
        'for trigger in uow["event"]["triggers"][1:]',
    ),
    Sabotage(
        "an invalid analysis completes a story",
        "the view shows it",
        16,
        "control.logic.stories",
        " and is_valid(event)",
        "",
    ),
    Sabotage(
        "true is taken for a score",
        "an invalid analysis makes a story ready",
        25,
        "control.logic.stories",
        "isinstance(score, bool) or ",
        "",
    ),
    Sabotage(
        "addresses of one article differ by www",
        "it is not corroborated",
        4,
        "control.logic.articles",
        ".removeprefix('www.')",
        "",
    ),
    Sabotage(
        "one story corroborates itself",
        "others trust what only one has said",
        0,
        "control.logic.articles",
        "if len(stories) > 1 else []",
        "if len(list(correlated)) else []",
    ),
    # rest-bff-service
    Sabotage(
        "a late analysis creates a story",
        "half a story",
        1,
        "rest_bff.rules.listener",
        'f"attribute_exists(pk) AND attribute_not_exists(#deleted) AND ({newer})"',
        'f"(attribute_not_exists(#deleted)) AND ({newer})"',
    ),
    Sabotage(
        "a change writes no message",
        "others do not hear of it",
        0,
        "rest_bff.dal.stories",
        "[_update(old, changes, caller), _put(outbox_row(message_type, new))]",
        "[_update(old, changes, caller)]",
    ),
    Sabotage(
        "a deleted story keeps no tombstone",
        "it is still there",
        4,
        "rest_bff.dal.stories",
        'fields = {"deleted": True, "listing": None}',
        'fields = {"deleted": None, "listing": None}',
    ),
    Sabotage(
        "a tombstone has no ttl",
        "it stays for ever",
        4,
        "rest_bff.dal.stories",
        '            changes["ttl"] = now // 1000 + ttl_s',
        "            pass",
    ),
    Sabotage(
        "an idempotency key has no ttl",
        "it stays for ever",
        0,
        "rest_bff.dal.stories",
        '"ttl": row["timestamp"] // 1000 + IDEMPOTENCY_S',
        '"kept": row["timestamp"] // 1000 + IDEMPOTENCY_S',
    ),
    Sabotage(
        "a message has no ttl",
        "it stays for ever",
        0,
        "rest_bff.dal.stories",
        '"ttl": row["timestamp"] // 1000 + OUTBOX_S',
        '"kept": row["timestamp"] // 1000 + OUTBOX_S',
    ),
    Sabotage(
        "a late change overwrites the dashboard",
        "it shows what was",
        17,
        "rest_bff.rules.dashboard",
        '"attribute_not_exists(#pk) OR #sequence < :sequence"',
        '"attribute_not_exists(#pk) OR attribute_exists(#pk) OR #sequence < :sequence"',
    ),
    Sabotage(
        "rows of removed tags stay on the dashboard",
        "wrong lists",
        14,
        "rest_bff.logic.dashboard",
        "if old and is_shown(old) else set()",
        "if not common else set()",
    ),
    Sabotage(
        "the removal of a tombstone is a deletion again",
        "",
        4,
        "rest_bff.rules.trigger",
        'return not old.get("deleted")',
        "return True",
    ),
    # event-hub, event-fault-monitor
    Sabotage(
        "an object that was counted is counted again",
        "alarms are wrong",
        6,
        "fault_monitor.dal.ledger",
        "            return False\n        if error",
        "            return True\n        if error",
    ),
    Sabotage(
        "an object is not marked as counted",
        "it is counted again",
        1,
        "fault_monitor.dal.ledger",
        'ExpressionAttributeValues={":counted": {"S": "counted"}}',
        'ExpressionAttributeValues={":counted": {"S": "counting"}}',
    ),
    Sabotage(
        "a fault that is in an object twice counts twice",
        "alarms are wrong",
        6,
        "fault_monitor.logic.faults",
        "            if fault_id in seen:",
        "            if False:",
    ),
    # deployments
    Sabotage(
        "rows of the ledger have no TTL", "they stay for ever", 1, deployed=without_time_to_live("event-fault-monitor")
    ),
    Sabotage(
        "the dashboard's table has no TTL",
        "its rows stay for ever",
        0,
        deployed=without_time_to_live("rest-bff-service-prod-dash"),
    ),
    Sabotage("a filter drops analyses", "no story is ready", 0, deployed=without_filter_of("story-analyzed")),
    Sabotage(
        "functions have no on-failure destination",
        "what they gave up cannot be redriven",
        13,
        deployed=without_destinations,
    ),
    Sabotage(
        "mappings have no on-failure destination",
        "what they gave up cannot be redriven",
        15,
        deployed=without_mapping_destinations,
    ),
    Sabotage(
        "mappings do not read which records have failed",
        "those records are lost",
        15,
        deployed=without_partial_failures,
    ),
    Sabotage("the lake's rule keeps nothing", "no day can be replayed", 0, deployed=without_rule_of("event-lake")),
    Sabotage("no alarm goes on", "nobody hears of what has to be done", 1, deployed=without_alarms),
    Sabotage(
        "a failure leaves only the last of its records for retry",
        "the others are lost",
        33,
        f"{STREAM}.engine.run",
        "self.checkpoints[domain] = min(first,",
        "self.checkpoints[domain] = max(first,",
    ),
    Sabotage(
        "an event that comes again lets a story wait again",
        "it is ready, and expires",
        39,
        "control.rules.listener",
        '"ConditionExpression": "attribute_not_exists(pk)"}',
        "}",
    ),
    Sabotage(
        "what is left of a batch begins one record too far",
        "that record is lost",
        119,
        f"{CLI}.shard.lane",
        "self._replace(batch, [batch.entries[done:]])",
        "self._replace(batch, [batch.entries[done + 1:]])",
    ),
)
