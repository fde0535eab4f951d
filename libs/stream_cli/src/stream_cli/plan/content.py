"""A plan as JSON: figures of each part, and series for plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import inf
from typing import Any

import numpy as np

from stream_cli.plan.advice import Advice, Effect
from stream_cli.plan.cost import Bill
from stream_cli.plan.doubling import Doubling, Level
from stream_cli.plan.model import Figures, Outcome, Series, figures
from stream_cli.plan.planning import Plan
from stream_cli.plan.quotas import Use
from stream_cli.plan.remedies import Remedy

POINTS = 720
"""How many points a series has at most."""
_DIGITS = 6
_NOTHING = 1e-9


def content_of(plan: Plan) -> dict[str, Any]:
    """Everything that was found, rounded to six digits. Seconds, bytes, and USD a month, unless a name says more."""
    asked, system = plan.asked, plan.inventory.system
    content = {
        "stage": system.stage,
        "region": system.region,
        "load": {
            "seconds": plan.outcome.seconds,
            "events_per_second": asdict(figures(asked.load.total)),
            "types": {name: asdict(figures(each.per_second)) for name, each in asked.load.types.items()},
            "transient": asked.load.transient,
        },
        "changes": [str(each) for each in asked.changes],
        "is_new": asked.is_new,
        "simulated_by": plan.outcome.by,
        "took_s": plan.took_s,
        "times": {"measured": asked.times.measured, "command": asked.times.command, "machine": asked.times.machine},
        "holds": not plan.passed,
        "journeys": {
            name: {"steps": list(each.steps), "latency_s": asdict(each.latency)}
            for name, each in plan.outcome.journeys.items()
        },
        **_parts(plan),
        "limits": [_use(each, plan) for each in plan.uses],
        "remedy": _remedy(plan.remedy),
        "doubling": _doubling(plan.doubling),
        "cost": _cost(plan.bill),
        "advice": None if plan.advice is None else [_advice(each) for each in plan.advice],
        "notes": list(plan.notes),
        "series": series_of(plan),
    }
    rounded: dict[str, Any] = _rounded(content)
    return rounded


def _parts(plan: Plan) -> dict[str, Any]:
    outcome, system = plan.outcome, plan.inventory.system
    return {
        "streams": {
            name: {
                "mode": system.streams[name].mode,
                "records_per_second": asdict(figures(each.records)),
                "shards": {"first": float(each.shards[0]), "last": float(each.shards[-1])},
                "hottest_shard": each.hottest_shard,
                "hottest_shard_share": each.hottest_share,
                "hottest_key_share": each.hottest_key,
                "utilisation": asdict(figures(each.utilisation)),
                "read_utilisation": asdict(figures(each.read_utilisation)),
                "refused": float(each.throttled.sum()),
            }
            for name, each in outcome.streams.items()
        },
        "mappings": {
            name: {
                "source": system.mappings[name].source,
                "function": system.mappings[name].function,
                "batch_size": system.mappings[name].settings.batch_size,
                "records_per_second": asdict(figures(each.done)),
                "filtered": float(each.filtered.sum()),
                "batch": asdict(figures(each.batch, each.invocations)),
                "utilisation": asdict(figures(each.utilisation)),
                "lanes": float(each.lanes.max()) if len(each.lanes) else 0.0,
                "lag_s": asdict(each.lag),
                "backlog": float(each.backlog.max()) if len(each.backlog) else 0.0,
                "given_up": float(each.given_up.sum()),
            }
            for name, each in outcome.mappings.items()
        },
        "functions": {
            name: {
                "invocations_per_second": asdict(figures(each.invocations)),
                "concurrency": asdict(figures(each.concurrency)),
                "duration_s": asdict(figures(each.duration_s, each.invocations)),
                "gb_seconds": float(each.gb_seconds.sum()),
                "throttled": float(each.throttled.sum()),
                "cold_starts": float(each.cold_starts.sum()),
                "timed_out": each.timed_out,
            }
            for name, each in outcome.functions.items()
            if each.invocations.any()
        },
        "account_concurrency": asdict(figures(outcome.account_concurrency)),
        "buses": {
            name: {
                "events_per_second": asdict(figures(each.events)),
                "deliveries_per_second": asdict(figures(each.deliveries)),
                "throttled": float(each.throttled.sum()),
            }
            for name, each in outcome.buses.items()
        },
        "tables": {
            name: {
                "writes_per_second": asdict(figures(each.writes)),
                "index_writes_per_second": asdict(figures(each.index_writes)),
                "reads_per_second": asdict(figures(each.reads)),
                "partitions": float(each.partitions.max()),
                "hottest_key_share": each.hottest_key,
                "hottest_key_writes": asdict(figures(each.hottest_key_writes)),
                "throttled": float(each.throttled.sum()),
            }
            for name, each in outcome.tables.items()
        },
        "delivery_streams": {
            name: {
                "bytes_per_second": asdict(figures(each.bytes)),
                "objects": float(each.objects.sum()),
                "delay_s": asdict(figures(each.delay_s, each.records)),
            }
            for name, each in outcome.delivery_streams.items()
        },
        "queues": {name: float(each.messages.sum()) for name, each in outcome.queues.items() if each.messages.any()},
        "topics": {name: float(each.messages.sum()) for name, each in outcome.topics.items() if each.messages.any()},
        "routes": {
            name: {"requests_per_second": asdict(figures(each.requests)), "refused": float(each.throttled.sum())}
            for name, each in outcome.routes.items()
            if each.requests.any()
        },
    }


def _use(use: Use, plan: Plan) -> dict[str, Any]:
    """A limit, and the rate at which it is reached if its use grows in proportion; None if it does not grow."""
    busiest = float(plan.asked.load.total.max()) if plan.asked.load.seconds else 0.0
    at = busiest / use.share if use.grows and 0 < use.share < inf else None
    return {**_limit(use), "at_events_per_second": at}


def _limit(use: Use) -> dict[str, Any]:
    return {**asdict(use), "share": use.share, "is_passed": use.is_passed}


def _remedy(remedy: Remedy | None) -> dict[str, Any] | None:
    if remedy is None:
        return None
    return {
        "changes": [str(each) for each in remedy.changes],
        "limits": [f"{name}={value:.0f}" for name, value in remedy.raised],
        "spread": list(remedy.spread),
        "unsolved": [_limit(each) for each in remedy.unsolved],
    }


def _doubling(doubling: Doubling | None) -> dict[str, Any] | None:
    if doubling is None:
        return None
    return {
        "holds_events_per_second": doubling.holds,
        "gives": _level(doubling.gives) if doubling.gives else None,
        "levels": [_level(each) for each in doubling.levels],
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "events_per_second": level.rate,
        "passed": [_limit(each) for each in level.passed],
        "nearest": [_limit(each) for each in level.uses[:3]],
    }


def _cost(bill: Bill) -> dict[str, Any]:
    table = bill.prices
    return {
        "region": table.region,
        "currency": table.currency,
        "as_of": table.as_of,
        "months": bill.months,
        "events": bill.events,
        "total": bill.total,
        "per_million_events": bill.per_million,
        "services": bill.services(),
        "lines": [
            {
                "id": line.price.id, "service": line.price.service, "part": line.part, "what": line.price.what,
                "units": line.units, "unit": line.price.unit, "cost": line.cost, "source": line.price.source,
            }
            for line in sorted(bill.lines, key=lambda line: -line.cost)
        ],
        "assumptions": dict(table.assumptions),
    }  # fmt: skip


def _advice(advice: Advice) -> dict[str, Any]:
    return {
        "change": str(advice.change),
        "solves": [" ".join(each) for each in sorted(advice.solves)],
        "before": _effect(advice.before),
        "after": _effect(advice.after),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {"cost": effect.cost, "latency_p99_s": effect.latency_s}


def series_of(plan: Plan) -> dict[str, Any]:
    """Series for plots: of each step the highest value, of delays too, as a peak is what one looks for."""
    seconds = plan.outcome.seconds
    step = max(1, -(-seconds // POINTS))
    plots = [
        {"title": title, "unit": unit, "of": {name: _points(values, step) for name, values in of.items()}}
        for title, unit, of in _plots(plan.outcome, plan)
        if of
    ]
    return {"step_s": step, "plots": plots}


def _plots(outcome: Outcome, plan: Plan) -> Iterator[tuple[str, str, Mapping[str, Series]]]:
    load = {name: each.per_second for name, each in plan.asked.load.types.items()}
    yield "Events from outside", "1/s", load
    yield "Time from beginning to end", "s", {name: each.delay_s for name, each in outcome.journeys.items()}
    yield "Lag of the oldest record", "s", {name: each.lag_s for name, each in outcome.mappings.items()}
    yield "Records that wait", "", {name: each.backlog for name, each in outcome.mappings.items()}
    busy = {name: each.concurrency for name, each in outcome.functions.items() if each.invocations.any()}
    yield "Environments that are busy", "", busy
    yield "Hottest shard", "%", {name: 100 * each.utilisation for name, each in outcome.streams.items()}
    yield "Shards", "", {name: each.shards for name, each in outcome.streams.items()}
    written = {name: each.writes for name, each in outcome.tables.items() if each.writes.any()}
    yield "Write units of tables", "1/s", written
    yield (
        "Records in buffers of deliveries wait",
        "s",
        {name: each.delay_s for name, each in outcome.delivery_streams.items() if each.records.any()},
    )


def _points(values: Series, step: int) -> list[float | None]:
    missing = -len(values) % step
    padded = np.concatenate([values, np.full(missing, np.nan)]).reshape(-1, step)
    kept = ~np.isnan(padded).all(axis=1)
    highest = np.full(len(padded), np.nan)
    highest[kept] = np.nanmax(padded[kept], axis=1)
    return [None if np.isnan(each) else float(each) for each in highest]


def _rounded(value: Any) -> Any:
    if isinstance(value, Figures):
        return _rounded(asdict(value))
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        if value != value or value in (inf, -inf):
            return None
        return 0.0 if abs(value) < _NOTHING else float(f"{value:.{_DIGITS}g}")
    return value
