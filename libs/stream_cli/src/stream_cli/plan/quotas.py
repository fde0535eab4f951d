"""How much of each limit a load uses: what is refused or falls behind first, and what helps there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from math import inf, isnan

import numpy as np

from stream_cli.errors import CommandError
from stream_cli.plan.model import AWS, Limits, Outcome, Series, System

_ACCOUNT = "the account"
_MINUTE = 60
_HELD = ("lanes", "reserved", "concurrency")
"""Limits that the simulation keeps to: what would be more waits or is refused, and so no more than all is used."""
_FULL = 0.999
_REFUSED = 0.01
"""Of so many attempts refused, all of a function's concurrency is used, though not in the mean of a second."""
_BEHIND = 1.02


@dataclass(frozen=True)
class Quotas:
    """Quotas of an account in us-east-1 that the simulation does not act on: it says where they are passed.

    Attributes:
        delivery_bytes, delivery_records: to a delivery stream a second
            (https://docs.aws.amazon.com/firehose/latest/dev/limits.html).
        table_writes, table_reads: units a second of a table in on-demand mode
            (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html).
        stream_bytes: to a stream in on-demand mode a second
            (https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html).
        shards: of the account; the same page.
        fifo_messages: to a FIFO topic a second, with deduplication for the whole topic
            (https://docs.aws.amazon.com/general/latest/gr/sns.html).
        api_requests: to all HTTP APIs of the account a second
            (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
    """

    delivery_bytes: float = 5 * 1024.0 * 1024.0
    delivery_records: float = 500_000.0
    table_writes: float = 40_000.0
    table_reads: float = 40_000.0
    stream_bytes: float = 10 * 1024.0**3
    shards: float = 20_000.0
    fifo_messages: float = 3_000.0
    api_requests: float = 10_000.0


@dataclass(frozen=True)
class Use:
    """How much of a limit is used in the busiest second, or minute where a backlog evens it out.

    Attributes:
        limit: its id, such as `put_events`.
        part: what it is a limit of: `event-hub/Stream1`, or "the account".
        what: what is limited, for people.
        used, most: in `unit`.
        helps: what to change where it is reached.
        raised: whether AWS raises it on request.
        grows: whether more is used at a higher load.
    """

    limit: str
    part: str
    what: str
    used: float
    most: float
    unit: str
    helps: str
    raised: bool = False
    grows: bool = True

    @property
    def share(self) -> float:
        """Of the limit; 1 is all of it."""
        return self.used / self.most if self.most else inf

    @property
    def is_passed(self) -> bool:
        """Whether more is asked for than there is."""
        return self.share > 1 or (self.limit in _HELD and self.share >= _FULL)


def limits_with(given: dict[str, float], limits: Limits = AWS, quotas: Quotas | None = None) -> tuple[Limits, Quotas]:
    """Limits and quotas with other values by name, as an account has them on which AWS has raised some.

    Raises:
        CommandError: there is no such limit.
    """
    quotas = quotas or Quotas()
    ours, theirs = ({each.name for each in fields(of)} for of in (limits, quotas))
    if unknown := sorted(given.keys() - ours - theirs):
        raise CommandError(f"There is no limit {unknown[0]}.\nThe limits are {', '.join(sorted(ours | theirs))}.")
    whole = {each.name for each in fields(limits) if each.type == "int"}
    changed = {name: int(value) if name in whole else value for name, value in given.items() if name in ours}
    return (
        replace(limits, **changed),  # type: ignore[arg-type]
        replace(quotas, **{name: value for name, value in given.items() if name in theirs}),
    )


def uses(system: System, outcome: Outcome, limits: Limits, quotas: Quotas) -> list[Use]:
    """Every limit that the load comes near, the nearest first; those without an end are left out."""
    measuring = _Measuring(system, outcome, limits, quotas)
    parts: tuple[Callable[[], Iterator[Use]], ...] = (
        measuring.account, measuring.streams, measuring.mappings, measuring.functions, measuring.tables,
        measuring.deliveries, measuring.apis,
    )  # fmt: skip
    found = [use for part in parts for use in part() if use.most != inf and not isnan(use.used) and use.used > 0]
    short = {use.part for use in found if use.is_passed and use.limit in ("reserved", "concurrency")}
    kept = [
        use for use in found if use.limit != "keeps_up" or not short & {system.mappings[use.part].function, _ACCOUNT}
    ]
    return sorted(kept, key=lambda use: -use.share)


@dataclass(frozen=True)
class _Measuring:
    system: System
    outcome: Outcome
    limits: Limits
    quotas: Quotas

    def account(self) -> Iterator[Use]:
        buses = self.outcome.buses.values()
        yield Use(
            "put_events", _ACCOUNT, "events put to buses", _most(*(each.events for each in buses)),
            self.limits.put_events, "events/s", "have the quota of PutEvents raised, or split into cells", True,
        )  # fmt: skip
        yield Use(
            "bus_invocations", _ACCOUNT, "targets that buses call", _most(*(each.deliveries for each in buses)),
            self.limits.bus_invocations, "calls/s", "have the quota of Invocations raised, or split into cells", True,
        )  # fmt: skip
        yield Use(
            "concurrency", _ACCOUNT, "environments of all functions", _most(self.outcome.account_concurrency),
            self.limits.concurrency, "at once", "have concurrent executions raised; larger batches need fewer", True,
        )  # fmt: skip
        yield Use(
            "shards", _ACCOUNT, "shards", _most(*(each.shards for each in self.outcome.streams.values())),
            self.quotas.shards, "shards", "have shards raised, or split into cells", True,
        )  # fmt: skip

    def streams(self) -> Iterator[Use]:
        for name, outcome in self.outcome.streams.items():
            on_demand = self.system.streams[name].mode == "ON_DEMAND"
            more = "wait until on-demand mode has split it, or warm it up" if on_demand else "a higher ShardCount"
            yield Use(
                "shard_writes", name, f"writes of its hottest shard ({outcome.hottest_shard})",
                100 * _most(outcome.utilisation), 100, "%", f"{more}; with a hot key, another partition key",
            )  # fmt: skip
            yield Use(
                "key_writes", name, "writes of its hottest key", outcome.hottest_key * _most(outcome.records),
                self.limits.shard_records, "records/s", "another partition key: no number of shards helps",
            )  # fmt: skip
            yield Use(
                "shard_read_bytes", name, "reads of its hottest shard", 100 * _most(outcome.read_utilisation), 100,
                "%", "enhanced fan-out for a reader (param reading: own)",
            )  # fmt: skip
            shared = sum(each.source == name and not each.fan_out for each in self.system.mappings.values())
            yield Use(
                "shard_reads", name, "reads of each shard by mappings", shared / self.limits.poll_s,
                self.limits.shard_reads, "reads/s", "enhanced fan-out for some readers (param reading: own)",
                grows=False,
            )  # fmt: skip
            if on_demand:
                yield Use(
                    "stream_bytes", name, "data written", _most(outcome.bytes), self.quotas.stream_bytes, "B/s",
                    "another stream: streams by domain, each with a rule of its own", True,
                )  # fmt: skip

    def mappings(self) -> Iterator[Use]:
        for name, outcome in self.outcome.mappings.items():
            busiest = _busiest_minute(outcome.utilisation)
            yield Use(
                "lanes", name, "time of its busiest lane", 100 * busiest, 100, "%",
                "a larger ParallelizationFactor or BatchSize, more memory, or more shards",
            )  # fmt: skip
            done = float(outcome.done.sum())
            come = done + (float(outcome.backlog[-1] - outcome.backlog[0]) if len(outcome.backlog) else 0.0)
            if busiest < _FULL and come - self._in_windows(name, done) > _BEHIND * done:
                yield Use(
                    "keeps_up", name, "records that come, over those that it finishes", come / self.outcome.seconds,
                    done / self.outcome.seconds, "records/s", "what its function, its lanes or its table are short of",
                )  # fmt: skip

    def _in_windows(self, mapping: str, done: float) -> float:
        """Records that wait for a poll or in a window, which `exact` counts as a backlog, and `fluid` does not."""
        if self.outcome.by != "exact":
            return 0.0
        wait_s = self.limits.poll_s + self.system.mappings[mapping].settings.batch_window
        return done / self.outcome.seconds * wait_s

    def functions(self) -> Iterator[Use]:
        for name, outcome in self.outcome.functions.items():
            function = self.system.functions[name]
            if function.reserved_concurrency:
                refused = outcome.throttled.sum() > _REFUSED * outcome.invocations.sum()
                yield Use(
                    "reserved", name, "its reserved concurrency",
                    float(function.reserved_concurrency) if refused else _most(outcome.concurrency),
                    function.reserved_concurrency, "at once", "a higher reservedConcurrency, or larger batches",
                )  # fmt: skip
            durations = outcome.duration_s[~np.isnan(outcome.duration_s)]
            longest = float(durations.max()) if len(durations) else 0.0
            longest = max(longest, function.timeout_s * 1.001) if outcome.timed_out else longest
            yield Use(
                "timeout", name, "its time-out", longest, function.timeout_s, "s",
                "a smaller BatchSize, more memory, or a longer timeout",
            )  # fmt: skip

    def tables(self) -> Iterator[Use]:
        for name, outcome in self.outcome.tables.items():
            table = self.system.tables[name]
            writes, reads = _most(outcome.writes), _most(outcome.reads)
            yield Use(
                "key_units", name, "writes of the hottest key of it or an index", _most(outcome.hottest_key_writes),
                self.limits.partition_writes, "units/s", "spread the key: add a day, a tenant or a number to it",
            )  # fmt: skip
            if table.mode == "PROVISIONED":
                yield Use(
                    "provisioned_writes", name, "its write capacity", writes, table.write_capacity, "units/s",
                    "a higher WriteCapacityUnits, or PAY_PER_REQUEST",
                )  # fmt: skip
                yield Use(
                    "provisioned_reads", name, "its read capacity", reads, table.read_capacity, "units/s",
                    "a higher ReadCapacityUnits, or PAY_PER_REQUEST",
                )  # fmt: skip
                continue
            for id, what, used, most in (
                ("table_writes", "writes", writes, self.quotas.table_writes),
                ("table_reads", "reads", reads, self.quotas.table_reads),
            ):
                yield Use(
                    id, name, what, used, most, "units/s", "have the table's throughput raised, or split into cells",
                    True,
                )  # fmt: skip

    def deliveries(self) -> Iterator[Use]:
        helps = "have the delivery stream's quota raised, or add another with a rule of its own"
        for name, outcome in self.outcome.delivery_streams.items():
            yield Use(
                "delivery_bytes", name, "data taken in", _most(outcome.bytes), self.quotas.delivery_bytes, "B/s",
                helps, True,
            )  # fmt: skip
            yield Use(
                "delivery_records", name, "records taken in", _most(outcome.records), self.quotas.delivery_records,
                "records/s", helps, True,
            )  # fmt: skip
        for name, topic in self.outcome.topics.items():
            if self.system.topics[name].fifo:
                yield Use(
                    "fifo_messages", name, "messages", _most(topic.messages), self.quotas.fifo_messages, "messages/s",
                    "deduplication for each group: FifoThroughputScope MessageGroup", True,
                )  # fmt: skip

    def apis(self) -> Iterator[Use]:
        requests = [each.requests for each in self.outcome.routes.values()]
        yield Use(
            "api_requests", _ACCOUNT, "requests to its APIs", _most(*requests), self.quotas.api_requests,
            "requests/s", "have the throttle of API Gateway raised, or split into cells", True,
        )  # fmt: skip
        by_api: dict[tuple[str, float], list[Series]] = {}
        for key, outcome in self.outcome.routes.items():
            route = self.system.routes[key]
            if route.rate:
                by_api.setdefault((route.function.partition("/")[0], route.rate), []).append(outcome.requests)
        for (service, rate), series in by_api.items():
            yield Use(
                "api_rate", service, "requests that its API lets through", _most(*series), rate, "requests/s",
                "a higher ThrottlingRateLimit (param throttlingRate)",
            )  # fmt: skip


def _most(*series: Series) -> float:
    """The highest value of the sum of series, second by second."""
    total = sum(series[1:], series[0]) if series else np.zeros(0)
    return float(np.nanmax(total)) if len(total) and not np.isnan(total).all() else 0.0


def _busiest_minute(series: Series) -> float:
    """The highest mean of a minute."""
    kept = np.nan_to_num(series)
    if len(kept) < _MINUTE:
        return float(kept.mean()) if len(kept) else 0.0
    sums = np.cumsum(np.concatenate([[0.0], kept]))
    return float((sums[_MINUTE:] - sums[:-_MINUTE]).max() / _MINUTE)
