"""Runs the demo: a local cloud with the five services, the sample through all of them, and a table of the outcome."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.table import Table
from stream_cli.deployment.stacks import outputs_by_stack
from stream_cli.errors import CommandError
from stream_cli.local.background import CONSOLE
from stream_cli.local.cloud import LocalCloud, attach
from stream_cli.local.deploy import start_cloud
from stream_cli.local.endpoint import LocalEndpoint, how_to_reach
from stream_cli.local.processes import Supervisor
from stream_cli.local.state import StateFolder, launchers
from stream_cli.local.troubles import Troubles
from stream_cli.terminal.output import VisibleConsole, console_for, line, lines, say_json
from stream_cli.terminal.progress import Steps
from stream_cli.terminal.signals import Stopped

from demo import feed
from demo.expectations import Expectation, evaluate, settled
from demo.observation import Observer, Teller
from demo.published import PublishedTable

CONTROL_STACK = "control-service-local"

_LOOK_S = 0.5
_LOOK_WHEN_IDLE_S = 1.0


def start(state: StateFolder, *, port: int | None, iam: bool = True, once: bool, as_json: bool, services: Path) -> int:
    """Start a cloud, feed the sample in and print the table; returns 0 when every expectation holds, else 1.

    Args:
        port: port on 127.0.0.1, or None for a free one.
        iam: whether the policies that are deployed are enforced.
        once: end after the table, instead of running until a stop signal.
        as_json: print the table as one line of JSON, last on stdout; everything else goes to stderr.

    Raises:
        CommandError: something could not be started, deployed or fed in.
        Stopped: a stop signal came before the table.
    """
    try:
        return _start(state, port, iam, once, as_json, services)
    except CommandError as error:
        if as_json:
            say_json({"ok": False, "error": str(error), "expectations": []})
        raise


def _start(state: StateFolder, port: int | None, iam: bool, once: bool, as_json: bool, services: Path) -> int:
    began = time.monotonic()
    console = console_for(as_json=as_json)
    with contextlib.ExitStack() as running:
        with Steps(console) as steps:
            cloud = start_cloud(running, state, port, services, steps, launchers(), with_console=not once, iam=iam)
            published = PublishedTable(state)
            cloud.announce(deployed=True)
            entries = feed.sample()
            observer = running.enter_context(Observer(cloud.endpoint))
            troubles = running.enter_context(contextlib.closing(Troubles(state)))
            table = send_and_observe(cloud.endpoint, cloud.supervisor, observer, entries, steps, troubles, published)
        seconds = time.monotonic() - began
        ok = all(each.ok for each in table)
        console.print(shown(table))
        where_to_look = (
            f" The logs are in {state.logs}: what functions wrote is in emulator.log, retries and records given up in "
            "mappings.log, what rules could not deliver in deliveries.log."
        )
        said = f"{'All' if ok else 'Not all'} is as expected, after {seconds:.0f} s."
        console.print(said + ("" if ok else where_to_look))
        if not once:
            reached = how_to_reach(cloud.endpoint, state.root, tries_of(cloud.endpoint), cloud.console_url())
            console.print(lines(reached), soft_wrap=True)
        if as_json:
            print_json(table, ok, steps.seconds, seconds, cloud.endpoint)
        if not once:
            console.print("Ctrl-C stops it. Events are shown as they come.", style="bold")
            try:
                _stay(cloud, observer, entries, console, troubles)
            except Stopped:
                # Not a failure: a cloud that stays up is stopped this way.
                console.print("Stopping")
    console.print("Stopped; nothing is left running.")
    return 0 if ok else 1


def send(state: StateFolder, *, as_json: bool) -> int:
    """Feed the sample in to a running cloud and print the table; returns 0 when every expectation holds, else 1.

    This works once for each cloud: the second time, the stories' ids are taken.

    Raises:
        CommandError: no cloud runs, or a story or an event was refused.
    """
    began = time.monotonic()
    endpoint = attach(state)
    console = console_for(as_json=as_json)
    with Observer(endpoint) as observer, Steps(console) as steps, contextlib.closing(Troubles(state)) as troubles:
        published = PublishedTable(state)
        table = send_and_observe(endpoint, Supervisor(state), observer, feed.sample(), steps, troubles, published)
    console.print(shown(table))
    ok = all(each.ok for each in table)
    if as_json:
        print_json(table, ok, steps.seconds, time.monotonic() - began, endpoint)
    return 0 if ok else 1


def send_and_observe(
    endpoint: LocalEndpoint,
    supervisor: Supervisor,
    observer: Observer,
    entries: Sequence[feed.SampleStory],
    steps: Steps,
    troubles: Troubles,
    published: PublishedTable,
) -> list[Expectation]:
    """Feed the sample in, show events and troubles on their way, and return the table, which the console shows, too.

    Raises:
        CommandError: a story or an event was refused, or a process has died.
    """
    followed = next(entry.id for entry in entries if entry.throttled)
    teller = Teller(followed, {entry.id: str(entry.story["title"]) for entry in entries})

    def look() -> bool:
        supervisor.check()
        for told in troubles.new():
            steps.say(f"{datetime.now():%H:%M:%S}  note   {told}")
        events, objects = observer.look()
        for told in teller.lines(events, objects):
            steps.say(told)
        return bool(events or objects)

    with steps.step(f"Feed in {len(entries)} stories and their analyses") as note:
        feeding = feed.Feed(endpoint, entries)
        throttles = feeding.arm_throttles()
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            fed = pool.submit(feeding.run, stop)
            try:
                while not fed.done():
                    note(str(feeding.fed))
                    look()
                    published.feeding(str(feeding.fed), lambda: evaluate(entries, throttles, observer, endpoint))
                    concurrent.futures.wait([fed], _LOOK_S)
                fed.result()
            finally:
                stop.set()
        note(str(feeding.fed))
    with steps.step("Wait until all has arrived and is quiet"):
        table = settled(entries, throttles, observer, endpoint, look, published.waiting)
    published.settled(table)
    return table


def _stay(
    cloud: LocalCloud,
    observer: Observer,
    entries: Sequence[feed.SampleStory],
    console: VisibleConsole,
    troubles: Troubles,
) -> None:
    teller = Teller("", {entry.id: str(entry.story["title"]) for entry in entries})
    while True:
        cloud.supervisor.revive({CONSOLE})
        for told in troubles.new():
            console.print(f"{datetime.now():%H:%M:%S}  note   {told}", soft_wrap=True)
        for told in teller.lines(*observer.look()):
            console.print(told, soft_wrap=True)
        time.sleep(_LOOK_WHEN_IDLE_S)


def shown(table: Sequence[Expectation]) -> Table:
    """The table for people."""
    view = Table(show_lines=False)
    for heading in ("", "what", "expected", "seen"):
        view.add_column(heading, overflow="fold")
    for each in table:
        mark = line("✓", style="green") if each.ok else line("✗", style="red")
        seen = lines([each.seen, *each.details], style="" if each.ok else "red")
        view.add_row(mark, each.name, each.expected, seen)
    return view


def tries_of(endpoint: LocalEndpoint) -> list[str]:
    """A command to try for each service of the example that is deployed."""
    stacks = outputs_by_stack(endpoint.client("cloudformation"))
    tries = []
    if feed.REST_STACK in stacks:
        host = endpoint.api_host(stacks[feed.REST_STACK]["HttpApiId"])
        tries.append(f"curl -H 'Host: {host}' {endpoint.url}/stories?limit=1")
    if feed.HUB_STACK in stacks:
        tries.append(f"aws events list-rules --event-bus-name {stacks[feed.HUB_STACK]['busName']}")
    if CONTROL_STACK in stacks:
        tries.append("cd services/control-service && npx osls invoke --stage local -f listener -d '{\"Records\": []}'")
    return tries


def print_json(
    table: Sequence[Expectation], ok: bool, steps: dict[str, float], seconds: float, endpoint: LocalEndpoint
) -> None:
    """The table as one line of JSON on stdout."""
    content = {
        "ok": ok,
        "seconds": round(seconds, 1),
        "steps": {name: round(value, 1) for name, value in steps.items()},
        "endpoint": endpoint.url,
        "environment": endpoint.environment,
        "expectations": [asdict(each) for each in table],
    }
    say_json(content)
