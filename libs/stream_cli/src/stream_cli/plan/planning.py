"""A plan: what a load does to a stage, what it costs, what gives first, and what to change."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from stream_cli.errors import CommandError
from stream_cli.plan import exact, fluid
from stream_cli.plan.advice import Advice, advised
from stream_cli.plan.changes import Change, changed
from stream_cli.plan.cost import Bill, bill_of
from stream_cli.plan.doubling import Doubling, doubled, warmed
from stream_cli.plan.given_load import without_takers
from stream_cli.plan.model import Limits, Load, Outcome, Times
from stream_cli.plan.prices import Prices
from stream_cli.plan.quotas import Quotas, Use, uses
from stream_cli.plan.remedies import Remedy, remedied
from stream_cli.plan.system import Inventory
from stream_cli.plan.ways import ways_of


@dataclass(frozen=True)
class Asked:
    """What a plan is of.

    Attributes:
        changes: to the templates.
        months: for how long the load has gone on, which counts for what is stored.
        is_new: whether the stage has had no load before: streams and tables in on-demand mode have to grow first.
        is_brief: whether to leave out what makes it hold, what gives first, and what to change.
        with_advice: whether to try changes one by one, which takes longest.
        is_exact: whether the load is simulated record by record; what is tried beside it is aggregated.
        notes: what else to tell people.
    """

    inventory: Inventory
    load: Load
    times: Times
    limits: Limits
    quotas: Quotas
    prices: Prices
    changes: tuple[Change, ...] = ()
    months: float = 12.0
    is_new: bool = False
    is_brief: bool = False
    with_advice: bool = True
    is_exact: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What was found.

    Attributes:
        inventory: with the changes.
        uses: of each limit, the nearest first.
        remedy: what makes it hold; None where it holds, or where it was not asked for.
        doubling, advice: None where they were not asked for.
        notes: what the plan does not know, for people.
        took_s: how long the simulation of the load took.
    """

    asked: Asked
    inventory: Inventory
    outcome: Outcome
    uses: tuple[Use, ...]
    bill: Bill
    remedy: Remedy | None
    doubling: Doubling | None
    advice: tuple[Advice, ...] | None
    notes: tuple[str, ...]
    took_s: float

    @property
    def passed(self) -> tuple[Use, ...]:
        """The limits that the load passes."""
        return tuple(use for use in self.uses if use.is_passed)


MOST_EXACT = 200_000
"""Events from outside that are simulated record by record: about a minute, as each leads to some ten records."""

Step = Callable[[str], AbstractContextManager[object]]
"""What tells people of a step by its name, while it runs."""


def plan_of(asked: Asked, step: Step = nullcontext) -> Plan:
    """Simulate a load, and what follows from it.

    Raises:
        CommandError: a change cannot be made, or the load is too much for `is_exact`.
        InvalidPattern: a rule or a filter has a pattern that AWS would refuse.
    """
    events = float(asked.load.total.sum())
    if asked.is_exact and events > MOST_EXACT:
        hours = MOST_EXACT / events * asked.load.seconds // 36 / 100
        raise CommandError(
            f"--exact goes record by record, and this load has {events:,.0f} events: give {MOST_EXACT:,} at most, by a "
            f"lower rate or by fewer hours{f', such as --hours {hours:g}' if hours else ''}."
        )
    system = changed(asked.inventory.system, asked.changes)
    inventory = replace(asked.inventory, system=system)
    with step("Simulate the load"):
        is_new, limits = asked.is_new, asked.limits
        grown, limits = (system, limits) if is_new else warmed(system, asked.load, asked.times, limits)
        began = time.perf_counter()
        by = exact.simulate if asked.is_exact else fluid.simulate
        outcome = by(grown, asked.load, asked.times, limits)
        took_s = time.perf_counter() - began
    found = tuple(uses(grown, outcome, limits, asked.quotas))
    remedy = doubling = advice = None
    if not asked.is_brief:
        if any(use.is_passed for use in found):
            with step("Find what makes it hold"):
                remedy = remedied(system, asked.load, asked.times, asked.limits, asked.quotas)
        with step("Double the load until something gives"):
            doubling = doubled(system, asked.load, asked.times, asked.limits, asked.quotas)
    if asked.with_advice and not asked.is_brief:
        with step("Try other batches, windows, lanes and memory"):
            advice = tuple(
                advised(inventory, grown, asked.load, asked.times, limits, asked.quotas, asked.prices, asked.months)
            )
    return Plan(
        asked,
        inventory,
        outcome,
        found,
        bill_of(inventory, asked.load, outcome, asked.prices, asked.months),
        remedy,
        doubling,
        advice,
        tuple(_notes(inventory, asked)),
        took_s,
    )


def _notes(inventory: Inventory, asked: Asked) -> list[str]:
    system, times = inventory.system, asked.times
    ways = ways_of(system, times, asked.load)
    notes = [*asked.notes, *inventory.not_modelled]
    called = {function for kind in ways.kinds for function in ways.functions(kind, system)}
    if without := sorted(called - times.functions.keys()):
        notes.append(
            f"It is not known how long {', '.join(without)} take, nor what they do: they count as doing nothing. "
            "Give their times with --times."
        )
    unrouted = [name for name in asked.load.types if name not in system.routes and not ways.targets.get(name)]
    notes += [f"No rule takes {name}: it goes nowhere behind the bus." for name in unrouted]
    takers = {kind: ways.functions(kind, system) for kind in ways.kinds if kind not in unrouted}
    return [*notes, *without_takers(asked.load, system, times, takers)]
