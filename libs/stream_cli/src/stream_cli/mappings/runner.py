"""Runs one mapping: lists the shards of its stream, and keeps a worker on each that may be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stream_cli.mappings.admission import Admissions
from stream_cli.mappings.checkpoints import CheckpointStore, MappingProgress, ShardProgress
from stream_cli.mappings.filters import compile_filters
from stream_cli.mappings.notices import Notices
from stream_cli.mappings.ports import AwsApi, EndpointUnavailable, NotFound, Refused, Shard
from stream_cli.mappings.settings import MappingSettings
from stream_cli.mappings.threads import DaemonPool
from stream_cli.mappings.worker import ShardWorker, WorkerContext
from stream_cli.patterns import InvalidPattern

SHARDS_EVERY = 2.0
"""Seconds between two listings of a stream's shards; after the end of a shard, the next one is due at once."""

SHARDS_AFTER_FAILURE = 0.5


class MappingRunner:
    """One mapping with one set of settings. After a change, a new runner replaces this one when it has stopped.

    All methods but `records_arrived` and `function_changed` must be called on one thread.
    """

    def __init__(
        self,
        settings: MappingSettings,
        *,
        endpoint: AwsApi,
        notices: Notices,
        pool: DaemonPool,
        checkpoints: CheckpointStore,
        speed: float = 1.0,
        clock: Callable[[], float] = time.time,
        told: Callable[[], bool] = lambda: False,
        observe: Callable[[Mapping[str, Any]], None] = lambda line: None,
        admissions: Admissions | None = None,
    ) -> None:
        self.settings = settings
        self._admissions = admissions or Admissions()
        self.problem: str | None = None
        self._effective = settings.at_speed(speed)
        self._endpoint = endpoint
        self._notices = notices
        self._pool = pool
        self._checkpoints = checkpoints
        self._clock = clock
        self._told = told
        self._observe = observe
        self._context: WorkerContext | None = None
        self._workers: dict[str, ShardWorker] = {}
        self._listed: dict[str, Shard] = {}
        self._next_listing = 0.0
        self._stopping = False
        self._lock = threading.Lock()
        self._dirty = False
        self._progress = self._loaded()
        self._admissions.follow(settings)

    @property
    def label(self) -> str:
        """Function and stream, for notices."""
        return f"{self.settings.function_arn.rpartition(':function:')[2]} on {self.settings.source.name}"

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called and nothing is in flight."""
        return self._stopping and not any(worker.alive for worker in self._workers.values())

    def turn(self) -> None:
        """Start the workers that are due, and write the checkpoint if it has moved."""
        if not self._stopping and self.settings.enabled and self.problem is None:
            self._care_for_workers()
            now = self._clock()
            if now >= self._next_listing:
                self._next_listing = now + SHARDS_EVERY
                self._list_shards(now)
        self.flush()

    def records_arrived(self) -> None:
        """Read every shard at once."""
        for worker in list(self._workers.values()):
            worker.records_arrived()

    def function_changed(self) -> None:
        """Try what has failed at once: other code or settings may mend it."""
        for worker in list(self._workers.values()):
            worker.function_changed()

    def stop(self) -> None:
        """Start nothing new. Wait for what is in flight by polling `stopped`."""
        self._stopping = True
        for worker in self._workers.values():
            worker.stop()

    def flush(self) -> None:
        """Write the checkpoint if it has moved since the last time."""
        with self._lock:
            if not self._dirty:
                return
            self._dirty = False
            snapshot = MappingProgress(self._progress.source_arn, dict(self._progress.shards))
        trouble = (self.settings.uuid, "checkpoint")
        try:
            self._checkpoints.save(self.settings.uuid, snapshot)
        except OSError as error:
            with self._lock:
                self._dirty = True
            self._notices.trouble(trouble, f"{self.label}: its checkpoint cannot be written, trying again: {error}")
        else:
            self._notices.over(trouble, f"{self.label}: its checkpoint is written again")

    def status(self) -> dict[str, Any]:
        """The state of the mapping and its shards, for the status file."""
        settings = self.settings
        with self._lock:
            known = dict(self._progress.shards)
        waiting = [
            {"shard": shard.id, "state": "waiting for its parents", "position": None, "behind": None}
            for shard in self._listed.values()
            if shard.id not in self._workers and not self._is_drained(shard.id, known)
        ]
        return {
            "uuid": settings.uuid,
            "function": settings.function_arn,
            "source": settings.source.arn,
            "enabled": settings.enabled,
            "problem": self.problem or self._trouble(),
            "batch_size": settings.batch_size,
            "destination": settings.destination_arn,
            "shards": [worker.status for _, worker in sorted(self._workers.items())] + waiting,
        }

    def _trouble(self) -> str | None:
        """Why the stream cannot be read at present, if it cannot."""
        shards = [(self.settings.uuid, shard, "read") for shard in self._workers]
        troubles = map(self._notices.current, [(self.settings.uuid, "shards"), *shards])
        return next((each for each in troubles if each), None)

    # --- workers ---

    def _loaded(self) -> MappingProgress:
        fresh = MappingProgress(self.settings.source.stream_arn)
        try:
            stored = self._checkpoints.load(self.settings.uuid)
        except ValueError as error:
            self.problem = str(error)
            self._notices.say(f"{self.label}: {error}")
            return fresh
        return stored if stored is not None and stored.source_arn == fresh.source_arn else fresh

    def _care_for_workers(self) -> None:
        for shard_id, worker in list(self._workers.items()):
            if worker.alive:
                continue
            del self._workers[shard_id]
            if worker.finished:
                self._next_listing = 0.0
            else:
                # A bug in the engine, whose traceback is on stderr. The next listing starts the shard again.
                self._notices.trouble(
                    (self.settings.uuid, shard_id, "died"),
                    f"{self.label}: the reader of {shard_id} has died; restarting it",
                )

    def _report(self, shard_id: str, progress: ShardProgress) -> None:
        with self._lock:
            self._progress.shards[shard_id] = progress
            self._dirty = True

    # --- shards ---

    def _list_shards(self, now: float) -> None:
        trouble = (self.settings.uuid, "shards")
        try:
            if self._context is None:
                self._context = self._made_context()
                if self._context is None:
                    return
            listed = self._context.endpoint.shards(self.settings.source)
        except EndpointUnavailable as error:
            self._next_listing = now + SHARDS_AFTER_FAILURE
            self._notices.call_failed(trouble, f"{self.label}: cannot list the shards", error)
            return
        except (NotFound, Refused) as error:
            self._notices.call_failed(trouble, f"{self.label}: the stream cannot be read", error)
            return
        self._notices.over(trouble, f"{self.label}: the stream can be read again")
        self._follow(listed, now)

    def _made_context(self) -> WorkerContext | None:
        try:
            keeps = compile_filters(self.settings.source.kind, self.settings.filter_patterns)
        except InvalidPattern as error:
            self.problem = f"invalid filter pattern: {error}"
            self._notices.say(f"{self.label}: {self.problem}; AWS refuses it, and nothing is read")
            return None
        try:
            role_arn = self._endpoint.role_of(self.settings.function_arn)
        except (NotFound, Refused):
            role_arn = ""
        return WorkerContext(
            settings=self._effective,
            keeps=keeps,
            role_arn=role_arn,
            endpoint=self._endpoint.in_role(role_arn, self.settings.function_arn),
            notices=self._notices,
            pool=self._pool,
            clock=self._clock,
            told=self._told,
            report=self._report,
            observe=self._observe,
            admissions=self._admissions,
        )

    def _follow(self, listed: list[Shard], now: float) -> None:
        """Start workers on the shards that may be read: parents before their children."""
        self._listed = {shard.id: shard for shard in listed}
        with self._lock:
            before = dict(self._progress.shards)
            known = {i: shard for i, shard in before.items() if i in self._listed or i in self._workers}
            for shard in listed:
                starting = self._name_of(shard)
                if not before:
                    known[shard.id] = replace(self._starting(now), starting=starting)
                elif shard.id not in known or (shard.id not in self._workers and known[shard.id].starting != starting):
                    # A child of a reshard, or a shard of a stream that was created again: all of it is new.
                    known[shard.id] = ShardProgress(starting=starting)
                elif known[shard.id].drained and not shard.closed and self.settings.source.kind == "kinesis":
                    # A response without a next iterator was mistaken for the end of the shard.
                    known[shard.id] = replace(known[shard.id], drained=False)
            if known != before:
                self._progress.shards = known
                self._dirty = True
            ready = {shard.id: known[shard.id] for shard in listed if self._may_be_read(shard, known)}
        for shard_id, progress in ready.items():
            worker, starting = self._workers.get(shard_id), self._name_of(self._listed[shard_id])
            if worker is None:
                self._start(shard_id, progress)
            elif worker.starting != starting:
                worker.reopen(starting)

    def _name_of(self, shard: Shard) -> str:
        """Tells shards with the same id apart. DynamoDB never reuses an id, and trims the first record of a shard."""
        return shard.starting_sequence_number if self.settings.source.kind == "kinesis" else ""

    def _may_be_read(self, shard: Shard, known: dict[str, ShardProgress]) -> bool:
        return not known[shard.id].drained and all(
            parent not in self._workers and (parent not in self._listed or self._is_drained(parent, known))
            for parent in shard.parents
        )

    @staticmethod
    def _is_drained(shard_id: str, known: dict[str, ShardProgress]) -> bool:
        return shard_id in known and known[shard_id].drained

    def _starting(self, now: float) -> ShardProgress:
        """Where to begin without a checkpoint. LATEST becomes a time, so that a restart does not move it."""
        settings = self.settings
        if settings.starting_position == "AT_TIMESTAMP":
            return ShardProgress(timestamp=settings.starting_timestamp)
        if settings.starting_position == "LATEST":
            return ShardProgress(timestamp=min(now, settings.last_modified or now))
        return ShardProgress()

    def _start(self, shard_id: str, progress: ShardProgress) -> None:
        if self._context is None:
            raise RuntimeError("a worker is started before the context exists")
        self._workers[shard_id] = ShardWorker(self._context, shard_id, progress)
        self._workers[shard_id].start()
