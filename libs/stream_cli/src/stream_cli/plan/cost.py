"""What a month costs, service by service: what a simulation has found, multiplied by the price table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from stream_cli.plan.model import Load, Outcome, Series, Stream, StreamOutcome, Table
from stream_cli.plan.prices import UNITS, Price, Prices
from stream_cli.plan.system import Inventory

MONTH_S = 730 * 3_600.0
"""A month has 730 hours, as on AWS's bills."""
_DAYS = MONTH_S / 86_400.0
_KIB = 1024.0


@dataclass(frozen=True)
class Line:
    """A line of the bill: how many units of something a month, and what they cost.

    Attributes:
        part: what it is of: `event-hub/Stream1`.
    """

    price: Price
    part: str
    units: float
    cost: float


@dataclass(frozen=True)
class Bill:
    """A month's bill.

    Attributes:
        events: how many events and requests come from outside in that month.
        months: for how long the system has run; what has been stored since is paid, too.
    """

    lines: tuple[Line, ...]
    events: float
    months: float
    prices: Prices

    @property
    def total(self) -> float:
        """Of the whole month."""
        return sum(line.cost for line in self.lines)

    @property
    def per_million(self) -> float:
        """Of a million events from outside; 0 without events."""
        return self.total / self.events * 1e6 if self.events else 0.0

    def services(self) -> dict[str, float]:
        """The cost of each service, the dearest first."""
        costs: dict[str, float] = {}
        for line in self.lines:
            costs[line.price.service] = costs.get(line.price.service, 0.0) + line.cost
        return dict(sorted(costs.items(), key=lambda each: -each[1]))


def bill_of(inventory: Inventory, load: Load, outcome: Outcome, prices: Prices, months: float = 12.0) -> Bill:
    """What a month of a load costs.

    Args:
        outcome: of this load; its seconds stand for the whole month.
        months: for how long the load has gone on, which counts for what is stored.
    """
    return _Billing(inventory, outcome, prices, months).bill(float(load.total.sum()))


class _Billing:
    def __init__(self, inventory: Inventory, outcome: Outcome, prices: Prices, months: float) -> None:
        self._inventory, self._system = inventory, inventory.system
        self._outcome, self._prices, self._months = outcome, prices, months
        self._to_month = MONTH_S / outcome.seconds if outcome.seconds else 0.0

    def bill(self, events: float) -> Bill:
        parts: tuple[Callable[[], Iterator[Line]], ...] = (
            self._buses, self._streams, self._functions, self._tables, self._deliveries, self._messages, self._apis,
            self._watched,
        )  # fmt: skip
        lines = [line for part in parts for line in part() if line.units > 0]
        return Bill(tuple(_in_tiers(lines)), events * self._to_month, self._months, self._prices)

    def _line(self, id: str, part: str, number: float) -> Line:
        """A line for a number of requests, bytes or whatever is counted, of a month."""
        price = self._prices.prices[id]
        return Line(price, part, number / UNITS.get(price.unit, 1.0), 0.0)

    def _month(self, series: Series) -> float:
        return float(np.nansum(series)) * self._to_month

    def _kept(self, bytes_a_month: float, days: float | None) -> float:
        """The bytes that are stored after the months."""
        return bytes_a_month * (self._months if days is None else min(self._months, days / _DAYS))

    def _buses(self) -> Iterator[Line]:
        for name, bus in self._outcome.buses.items():
            events, sizes = self._month(bus.events), self._month(bus.bytes)
            chunks = ceil(sizes / events / (64 * _KIB)) if events else 1
            yield self._line("eventbridge.events", name, events * chunks)
            archived = self._month(bus.archived_bytes)
            archives = [each for each in self._system.archives.values() if each.bus == name]
            yield self._line("eventbridge.archive", name, archived)
            days = max((each.retention_days for each in archives), default=0)
            yield self._line("eventbridge.archive_kept", name, self._kept(archived, days or None))
        for name, schedule in self._system.schedules.items():
            yield self._line("eventbridge.schedules", name, MONTH_S / schedule.every_s)

    def _streams(self) -> Iterator[Line]:
        for name, outcome in self._outcome.streams.items():
            stream = self._system.streams[name]
            readers = [each for each in self._system.mappings.values() if each.source == name]
            shared = sum(not each.fan_out for each in readers)
            yield from self._stream(stream, outcome, shared, len(readers) - shared)

    def _stream(self, stream: Stream, outcome: StreamOutcome, shared: int, own: int) -> Iterator[Line]:
        name, records, sizes = stream.name, self._month(outcome.records), self._month(outcome.bytes)
        mean = sizes / records if records else 0.0
        beyond_a_day = max(0.0, stream.retention_hours / 24.0 - 1)
        if stream.mode == "ON_DEMAND":
            counted = records * ceil(mean / _KIB) * _KIB
            yield self._line("kinesis.on_demand_hours", name, MONTH_S / 3_600)
            yield self._line("kinesis.on_demand_in", name, counted)
            yield self._line("kinesis.on_demand_out", name, counted * shared)
            yield self._line("kinesis.on_demand_fan_out", name, counted * own)
            yield self._line("kinesis.on_demand_kept", name, counted / _DAYS * beyond_a_day)
            return
        hours = float(outcome.shards.mean()) * MONTH_S / 3_600
        yield self._line("kinesis.shard_hours", name, hours)
        yield self._line("kinesis.put_units", name, records * ceil(mean / (25 * _KIB)))
        yield self._line("kinesis.fan_out_hours", name, hours * own)
        yield self._line("kinesis.fan_out_bytes", name, sizes * own)
        if beyond_a_day:
            yield self._line("kinesis.kept", name, hours)

    def _functions(self) -> Iterator[Line]:
        for name, outcome in self._outcome.functions.items():
            function = self._system.functions[name]
            yield self._line("lambda.requests", name, self._month(outcome.invocations))
            yield self._line(f"lambda.{function.architecture}", name, self._month(outcome.gb_seconds))
            logged = self._month(outcome.log_bytes)
            yield self._line("cloudwatch.logs", name, logged)
            yield self._line("cloudwatch.logs_kept", name, self._kept(logged, self._inventory.log_days.get(name)))
            if name in self._inventory.traced:
                yield self._line("xray.traces", name, self._month(self._sampled(outcome.invocations)))

    def _sampled(self, invocations: Series) -> Series:
        """Of each second, the first invocation and a share of the others."""
        sampled: Series = np.minimum(invocations, 1.0)
        sampled += np.maximum(invocations - 1.0, 0.0) * self._prices.assumptions["traced_share"]
        return sampled

    def _tables(self) -> Iterator[Line]:
        for name, outcome in self._outcome.tables.items():
            table = self._system.tables[name]
            if table.mode == "PROVISIONED":
                yield self._line("dynamodb.provisioned_writes", name, table.write_capacity * MONTH_S / 3_600)
                yield self._line("dynamodb.provisioned_reads", name, table.read_capacity * MONTH_S / 3_600)
            else:
                yield self._line("dynamodb.writes", name, self._month(outcome.writes + outcome.index_writes))
                yield self._line("dynamodb.reads", name, self._month(outcome.reads))
            stored = self._kept(self._month(outcome.stored_bytes), self._item_days(table))
            yield self._line("dynamodb.storage", name, stored)
            yield self._line("dynamodb.backup", name, stored if table.point_in_time_recovery else 0.0)

    def _item_days(self, table: Table) -> float | None:
        return self._prices.assumptions["item_days"] if table.ttl else None

    def _deliveries(self) -> Iterator[Line]:
        for name, outcome in self._outcome.delivery_streams.items():
            delivery = self._system.delivery_streams[name]
            records, sizes = self._month(outcome.records), self._month(outcome.bytes)
            counted = records * ceil(sizes / records / (5 * _KIB)) * 5 * _KIB if records else 0.0
            yield self._line("firehose.bytes", name, counted)
            yield self._line("s3.puts", delivery.bucket, self._month(outcome.objects))
            share = self._prices.assumptions["gzip"] if delivery.compression == "GZIP" else 1.0
            kept = self._kept(sizes * share, self._inventory.bucket_days.get(delivery.bucket))
            yield self._line("s3.storage", delivery.bucket, kept)

    def _messages(self) -> Iterator[Line]:
        for name, queue in self._outcome.queues.items():
            kind = "sqs.fifo" if self._system.queues[name].fifo else "sqs.standard"
            yield self._line(kind, name, self._month(queue.messages))
        for name, topic in self._outcome.topics.items():
            if self._system.topics[name].fifo:
                yield self._line("sns.fifo", name, self._month(topic.messages))
                yield self._line("sns.fifo_bytes", name, self._month(topic.bytes))
            else:
                yield self._line("sns.standard", name, self._month(topic.messages))

    def _apis(self) -> Iterator[Line]:
        for name, route in self._outcome.routes.items():
            yield self._line("api.requests", name, self._month(route.requests))

    def _watched(self) -> Iterator[Line]:
        counted: Mapping[str, str] = {
            "cloudwatch.alarms": "AWS::CloudWatch::Alarm",
            "cloudwatch.dashboards": "AWS::CloudWatch::Dashboard",
            "kms.keys": "AWS::KMS::Key",
        }
        for id, kind in counted.items():
            yield self._line(id, "all services", self._inventory.counts.get(kind, 0))


def _in_tiers(lines: list[Line]) -> Iterator[Line]:
    """The lines with their costs: tiers are of an account, so all lines of a price share them."""
    units: dict[str, float] = {}
    for line in lines:
        units[line.price.id] = units.get(line.price.id, 0.0) + line.units
    for line in lines:
        yield replace(line, cost=line.price.of(units[line.price.id]) * line.units / units[line.price.id])
