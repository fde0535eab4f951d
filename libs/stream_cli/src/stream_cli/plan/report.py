"""A plan in the terminal: does it hold, how long do things take, what is near its limit, what does it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stream_cli.terminal.output import VisibleConsole, line

_NEAREST = 10
_NEAR = 0.5
_FOLDED = ("through", "what", "most of it", "solves")
"""Columns that may take several lines."""
Row = Sequence[str | tuple[str, str]]


def show(content: Mapping[str, Any], console: VisibleConsole) -> None:
    """Print what `content.content_of` has found."""
    load, cost = content["load"], content["cost"]
    rates = load["events_per_second"]
    mix = ", ".join(f"{name} {number(each['mean'])}" for name, each in load["types"].items())
    shape = "" if rates["max"] == rates["mean"] else f", {number(rates['max'])} at most"
    _say(
        console,
        f"{content['stage']} with {number(rates['mean'])} events/s from outside{shape}, for {span(load['seconds'])}",
        style="bold",
    )
    how = "record by record" if content["simulated_by"] == "exact" else "second by second"
    _say(console, f"({mix}; simulated {how} in {content['took_s']:.1f} s)", style="dim")
    for change in content["changes"]:
        _say(console, f"with {change}")
    for note in content["notes"]:
        _say(console, note, style="yellow")
    _holds(content, console)
    if content["remedy"] is not None:
        _remedy(content["remedy"], console)
    _journeys(content["journeys"], console)
    _mappings(content, console)
    _functions(content, console)
    _stores(content, console)
    _limits(content["limits"], console)
    if content["doubling"] is not None:
        _doubling(content["doubling"], console)
    _costs(cost, console, holds=content["holds"])
    if content["advice"] is not None:
        _advice(content["advice"], cost["currency"], console)
    _origins(content, console)


def _holds(content: Mapping[str, Any], console: VisibleConsole) -> None:
    passed = [each for each in content["limits"] if each["is_passed"]]
    if not passed:
        _say(console, "It holds: nothing is refused for long, and nothing falls behind.", style="green")
        return
    _say(console, "It does not hold:", style="bold red")
    for each in passed:
        _say(console, f"  {_passed(each)}", style="red")


def _remedy(remedy: Mapping[str, Any], console: VisibleConsole) -> None:
    _say(console, "What makes it hold:")
    for each in remedy["changes"]:
        _say(console, f"  --set {each}")
    for each in remedy["spread"]:
        _say(console, f"  --spread {each}, whose items share a key: add a day, a tenant or a number to it in the code")
    for each in remedy["limits"]:
        _say(console, f"  --limit {each}, which AWS has to raise")
    for each in remedy["unsolved"]:
        _say(console, f"  No setting helps: {_passed(each)}", style="yellow")


def _passed(use: Mapping[str, Any]) -> str:
    return f"{use['part']}, {use['what']}: {_of_most(use)}. Helps: {use['helps']}."


def _journeys(journeys: Mapping[str, Any], console: VisibleConsole) -> None:
    rows = [
        (name, *(seconds(each["latency_s"][figure]) for figure in ("p50", "p99", "max")), " → ".join(each["steps"]))
        for name, each in journeys.items()
    ]
    _table(console, "How long it takes", ["", "p50", "p99", "max", "through"], rows, left=(0, 4))


def _mappings(content: Mapping[str, Any], console: VisibleConsole) -> None:
    rows = [
        (
            name,
            _beside(each["source"], each["function"]),
            number(each["records_per_second"]["max"]),
            f"{number(each['batch']['mean'])} of {each['batch_size']}",
            f"{share(each['utilisation']['max'])} of {number(each['lanes'])}",
            seconds(each["lag_s"]["p99"]),
            seconds(each["lag_s"]["max"]),
            number(each["backlog"]),
        )
        for name, each in content["mappings"].items()
    ]
    columns = ["mapping", "reads", "records/s", "batch", "busiest lane", "lag p99", "max", "waiting"]
    _table(console, "Event source mappings", columns, rows, left=(0, 1))


def _beside(name: str, other: str) -> str:
    """The name of a part; without its service, if that is also the other's."""
    service, _, own = name.partition("/")
    return own if service == other.partition("/")[0] else name


def _functions(content: Mapping[str, Any], console: VisibleConsole) -> None:
    rows = [
        (
            name,
            number(each["invocations_per_second"]["max"]),
            number(each["concurrency"]["mean"]),
            number(each["concurrency"]["max"]),
            seconds(each["duration_s"]["mean"]),
            number(each["throttled"]),
            number(each["cold_starts"]),
        )
        for name, each in content["functions"].items()
    ]
    total = content["account_concurrency"]
    rows.append(("all of them", "", number(total["mean"]), number(total["max"]), "", "", ""))
    columns = ["function", "invocations/s", "at once", "at most", "duration", "throttled", "cold starts"]
    _table(console, "Functions", columns, rows)


def _stores(content: Mapping[str, Any], console: VisibleConsole) -> None:
    rows: list[Row] = [
        (
            name,
            _shards(each),
            number(each["records_per_second"]["max"]),
            share(each["utilisation"]["max"]),
            share(each["hottest_key_share"]),
            number(each["refused"]),
        )
        for name, each in content["streams"].items()
    ]
    columns = ["stream", "shards", "records/s", "hottest shard", "hottest key", "refused at first"]
    _table(console, "Streams", columns, rows, left=(0, 1))
    rows = [
        (
            name,
            number(each["writes_per_second"]["max"]),
            number(each["index_writes_per_second"]["max"]),
            number(each["reads_per_second"]["max"]),
            number(each["partitions"]),
            number(each["hottest_key_writes"]["max"]),
            number(each["throttled"]),
        )
        for name, each in content["tables"].items()
        if each["writes_per_second"]["max"] or each["reads_per_second"]["max"]
    ]
    columns = ["table", "writes/s", "of indexes", "reads/s", "partitions", "hottest key/s", "refused at first"]
    _table(console, "Tables, in units", columns, rows)
    rows = [
        (name, f"{size(each['bytes_per_second']['max'])}/s", number(each["objects"]), seconds(each["delay_s"]["p99"]))
        for name, each in content["delivery_streams"].items()
        if each["bytes_per_second"]["max"]
    ]
    _table(console, "Deliveries to buckets", ["delivery stream", "data", "objects", "wait p99"], rows)


def _shards(stream: Mapping[str, Any]) -> str:
    first, last = (number(stream["shards"][each]) for each in ("first", "last"))
    mode = "on demand" if stream["mode"] == "ON_DEMAND" else "provisioned"
    return f"{first}, {mode}" if first == last else f"{first} to {last}, {mode}"


def _limits(limits: Sequence[Mapping[str, Any]], console: VisibleConsole) -> None:
    rows = [
        (
            (share(each["share"]), "red" if each["is_passed"] else "yellow" if each["share"] > _NEAR else ""),
            each["part"],
            each["what"],
            _of_most(each),
            number(each["at_events_per_second"]),
            each["limit"],
        )
        for each in limits[:_NEAREST]
    ]
    columns = ["used", "of", "what", "", "all at events/s", "limit"]
    _table(console, "The nearest limits", columns, rows, left=(1, 2, 5))


def _doubling(doubling: Mapping[str, Any], console: VisibleConsole) -> None:
    if doubling["gives"] is not None and not doubling["holds_events_per_second"]:
        return  # what does not hold stands above
    console.print()
    gives, tried = doubling["gives"], ", ".join(number(each["events_per_second"]) for each in doubling["levels"])
    if gives is None:
        _say(console, f"What gives first: nothing up to {number(doubling['holds_events_per_second'])} events/s.")
        return
    before = doubling["holds_events_per_second"]
    _say(
        console,
        f"What gives first: at {number(gives['events_per_second'])} events/s ({number(before)} still hold):",
        style="bold",
    )
    for each in gives["passed"]:
        _say(console, f"  {_passed(each)}")
    _say(console, f"  Tried, each after the one before has lasted: {tried} events/s.", style="dim")


def _costs(cost: Mapping[str, Any], console: VisibleConsole, *, holds: bool) -> None:
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for each in cost["lines"]:
        lines.setdefault(each["service"], []).append(each)
    currency = cost["currency"]
    rows: list[Row] = [
        (service, money(of, currency), _dearest(lines[service], currency)) for service, of in cost["services"].items()
    ]
    rows.append((("together", "bold"), (money(cost["total"], currency), "bold"), _per_million(cost, currency)))
    of = f"{cost['region']}, list prices of {cost['as_of']}"
    title = f"A month of this load, after {cost['months']:g} months of it ({of})"
    if not holds:
        title += ", of what gets through"
    _table(console, title, ["service", "a month", "most of it"], rows, left=(0, 2))


def _per_million(cost: Mapping[str, Any], currency: str) -> str:
    return f"{money(cost['per_million_events'], currency)} for a million events from outside"


def _dearest(lines: Iterable[Mapping[str, Any]], currency: str) -> str:
    first = max(lines, key=lambda each: float(each["cost"]))
    return f"{first['part']}, {first['what']}: {money(first['cost'], currency)}"


def _advice(advice: Sequence[Mapping[str, Any]], currency: str, console: VisibleConsole) -> None:
    rows = [
        (
            each["change"],
            ", ".join(each["solves"]) or "",
            f"{money(each['before']['cost'], currency)} → {money(each['after']['cost'], currency)}",
            f"{seconds(each['before']['latency_p99_s'])} → {seconds(each['after']['latency_p99_s'])}",
        )
        for each in advice
    ]
    if not rows:
        console.print()
        _say(console, "What to change: no single change of a batch, a window, lanes, memory or shards is worth it.")
        return
    title = "What to change, each by itself, at the busiest rate (--set tries it)"
    _table(console, title, ["--set", "solves", "a month", "p99"], rows, left=(0, 1))


def _origins(content: Mapping[str, Any], console: VisibleConsole) -> None:
    times, assumed = content["times"], content["cost"]["assumptions"]
    console.print()
    origin = f"measured {times['measured']}" if times["measured"] != "given" else "given"
    by = f" by `{times['command']}`" if times["command"] else ""
    _say(console, f"Times of functions: {origin}{by}. Assumed: {_assumptions(assumed)}.", style="dim")


def _assumptions(assumed: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in assumed.items())


def _of_most(use: Mapping[str, Any]) -> str:
    used, most, unit = use["used"], use["most"], use["unit"]
    if unit == "%":
        return f"{used:.0f} %"
    if unit == "B/s":
        return f"{size(used)}/s of {size(most)}/s"
    return f"{number(used)} of {number(most)} {unit}"


def _table(
    console: VisibleConsole, title: str, columns: Sequence[str], rows: Sequence[Row], left: Sequence[int] = (0,)
) -> None:
    """A table under a title; `left` are the columns of texts."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(columns):
        folds = name in _FOLDED
        table.add_column(line(name), justify="left" if place in left else "right", overflow="fold", no_wrap=not folds)
    for row in rows:
        table.add_row(*(line(each) if isinstance(each, str) else line(each[0], style=each[1]) for each in row))
    console.print()
    _say(console, title, style="bold")
    console.print(table)


def _say(console: VisibleConsole, text: str, style: str = "") -> None:
    console.print(line(text, style=style), soft_wrap=True)


def number(value: float | None) -> str:
    """A number with three digits that count, or whole above that.

    >>> [number(each) for each in (0, 0.01234, 12.34, 1234.5, 12_345_678)]
    ['0', '0.0123', '12.3', '1,234', '12,345,678']
    """
    if value is None:
        return "—"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A duration.

    >>> [seconds(each) for each in (0, 0.0123, 5.25, 90, 7200)]
    ['0 ms', '12 ms', '5.2 s', '90 s', '2.0 h']
    """
    if value is None:
        return "—"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 10:
        return f"{value:.1f} s"
    if value < 600:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7_200 else f"{value / 3600:.1f} h"


def span(value: float) -> str:
    """How long a load lasts.

    >>> span(86400), span(600), span(45)
    ('24 h', '10 min', '45 s')
    """
    for length, unit in ((3600, "h"), (60, "min")):
        if value >= length and value % length == 0:
            return f"{value // length:.0f} {unit}"
    return f"{value:.0f} s"


def share(value: float | None) -> str:
    """A share in percent."""
    if value is None:
        return "—"
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def size(value: float) -> str:
    """Bytes.

    >>> size(512), size(5 * 1024 * 1024)
    ('512 B', '5.0 MiB')
    """
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    place = 0
    while value >= 1024 and place < len(units) - 1:
        value, place = value / 1024, place + 1
    return f"{value:.0f} B" if place == 0 else f"{value:.1f} {units[place]}"


def money(value: float, currency: str) -> str:
    """An amount of money.

    >>> money(1234.5, "USD"), money(0.5, "USD"), money(0.00123, "EUR")
    ('$1,234', '$0.50', '0.0012 EUR')
    """
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.01 or value == 0 else f"{value:.2g}"
    return f"${text}" if currency == "USD" else f"{text} {currency}"
