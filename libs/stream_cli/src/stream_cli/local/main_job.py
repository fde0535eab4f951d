"""The main job: a local cloud, the five services deployed to it, the sample through all of them, and the proof."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_cli.local import feed
from stream_cli.local.cloud import LocalCloud, running_emulator
from stream_cli.local.deploy import deploy, find_services
from stream_cli.local.endpoint import Endpoint
from stream_cli.local.expectations import Expectation, settled
from stream_cli.local.observation import Observer, Teller
from stream_cli.local.processes import Supervisor
from stream_cli.local.progress import Steps, console_for
from stream_cli.local.signals import Stopped
from stream_cli.local.state import CloudError, StateFolder, launchers

CONTROL_STACK = "control-service-local"

_LOOK_S = 0.5
_LOOK_WHEN_IDLE_S = 1.0


def start(state: StateFolder, *, port: int | None, once: bool, as_json: bool, services: Path) -> int:
    """Run the main job; returns the exit code: 0 when every expectation holds.

    Args:
        state: the cloud's folder.
        port: port on 127.0.0.1, or None for a free one.
        once: end after the table, instead of staying up.
        as_json: print the table as one line of JSON, last on stdout; everything else goes to stderr then.
        services: the folder of the services.

    Raises:
        CloudError: a part could not be started, deployed or fed.
        Stopped: a stop signal came before the table.
    """
    try:
        return _start(state, port, once, as_json, services)
    except CloudError as error:
        if as_json:
            _print_line({"ok": False, "error": str(error), "expectations": []})
        raise


def _start(state: StateFolder, port: int | None, once: bool, as_json: bool, services: Path) -> int:
    began = time.monotonic()
    console = console_for(as_json=as_json)
    with contextlib.ExitStack() as running:
        with Steps(console) as steps:
            cloud = start_cloud(running, state, port, services, steps, launchers())
            cloud.announce(deployed=True)
            entries = feed.sample()
            observer = running.enter_context(Observer(cloud.endpoint))
            table = send_and_observe(cloud.endpoint, cloud.supervisor, observer, entries, steps)
        seconds = time.monotonic() - began
        ok = all(line.ok for line in table)
        console.print(shown(table))
        if ok:
            console.print(Text(f"All is as expected, after {seconds:.0f} s."))
        else:
            console.print(Text(f"Not all is as expected, after {seconds:.0f} s. {where_to_look(state)}"))
        if not once:
            console.print(Text(reached(cloud.endpoint)), soft_wrap=True)
        if as_json:
            print_json(table, ok, steps.seconds, seconds, cloud.endpoint)
        if not once:
            console.print("Ctrl-C stops it. Events are shown as they come.", style="bold")
            try:
                _stay(cloud, observer, entries, console)
            except Stopped:
                # This is how a cloud that stays up is ended: no failure, and the table decides.
                console.print("Stopping")
    console.print("Stopped; nothing is left running.")
    return 0 if ok else 1


def where_to_look(state: StateFolder) -> str:
    """Where the reasons are when something is missing."""
    return (
        f"The logs are in {state.logs}: what functions wrote is in emulator.log, retries and records given up in "
        "mappings.log, what rules could not deliver in deliveries.log."
    )


def start_cloud(
    running: contextlib.ExitStack,
    state: StateFolder,
    port: int | None,
    services: Path,
    steps: Steps,
    launched_by: Sequence[Mapping[str, Any]] = (),
) -> LocalCloud:
    """Start everything up to the deployed services; ``running`` ends it.

    Raises:
        CloudError: a part could not be started or deployed.
    """
    found = find_services(services)
    with steps.step("Start ministack") as note:
        cloud = running.enter_context(running_emulator(state, port, launched_by))
        note(cloud.endpoint.url)
    deploy(cloud, found, steps)
    with steps.step("Start delivery from bus rules to streams"):
        cloud.start_deliveries()
    with steps.step("Start the mapping engine"):
        cloud.start_mappings()
    return cloud


def send_and_observe(
    endpoint: Endpoint, supervisor: Supervisor, observer: Observer, entries: Sequence[feed.Entry], steps: Steps
) -> list[Expectation]:
    """Feed the sample in, show what travels, and wait for the table.

    Raises:
        CloudError: an item or an event was refused, or a process has died.
    """
    followed = next(entry.id for entry in entries if entry.throttled)
    teller = Teller(followed, {entry.id: str(entry.item["title"]) for entry in entries})

    def look() -> bool:
        supervisor.check()
        events, objects = observer.look()
        for line in teller.lines(events, objects):
            steps.say(line)
        return bool(events or objects)

    with steps.step(f"Feed in {len(entries)} items and their analyses") as note:
        feeding = feed.Feed(endpoint, entries)
        throttles = feeding.arm_throttles()
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            fed = pool.submit(feeding.run, stop)
            try:
                while not fed.done():
                    note(f"{feeding.fed.items} items posted, {feeding.fed.analyses} analyses published")
                    look()
                    concurrent.futures.wait([fed], _LOOK_S)
                fed.result()
            finally:
                stop.set()
        note(f"{feeding.fed.items} items posted, {feeding.fed.analyses} analyses published")
    with steps.step("Wait until all has arrived and is quiet"):
        return settled(entries, throttles, observer, endpoint, look)


def _stay(cloud: LocalCloud, observer: Observer, entries: Sequence[feed.Entry], console: Console) -> None:
    teller = Teller("", {entry.id: str(entry.item["title"]) for entry in entries})
    while True:
        cloud.supervisor.check()
        for line in teller.lines(*observer.look()):
            console.print(Text(line), soft_wrap=True)
        time.sleep(_LOOK_WHEN_IDLE_S)


def shown(table: Sequence[Expectation]) -> Table:
    """The table for people."""
    view = Table(show_lines=False)
    for heading in ("", "what", "expected", "seen"):
        view.add_column(heading, overflow="fold")
    for line in table:
        mark = Text("✓", style="green") if line.ok else Text("✗", style="red")
        seen = Text("\n".join([line.seen, *line.details]), style="" if line.ok else "red")
        view.add_row(mark, Text(line.name), Text(line.expected), seen)
    return view


def reached(endpoint: Endpoint) -> str:
    """How to reach the cloud, for people, with something to try for each service that is deployed."""
    pages = endpoint.client("cloudformation").get_paginator("describe_stacks").paginate()
    stacks = {stack["StackName"] for page in pages for stack in page["Stacks"]}
    tries = []
    if feed.REST_STACK in stacks:
        host = f"{feed.stack_output(endpoint, feed.REST_STACK, 'HttpApiId')}.execute-api.localhost:{endpoint.port}"
        tries.append(f"curl -H 'Host: {host}' {endpoint.url}/items?limit=1")
    if feed.HUB_STACK in stacks:
        bus = feed.stack_output(endpoint, feed.HUB_STACK, "busName")
        tries.append(f"aws events list-rules --event-bus-name {bus}")
    if CONTROL_STACK in stacks:
        tries.append("cd services/control-service && npx sls invoke --stage local -f listener -d '{\"Records\": []}'")
    lines = [f"Endpoint: {endpoint.url}", "With these lines aws, boto3 and sls reach it:"]
    lines += [f"  {line}" for line in endpoint.shell_lines()]
    if tries:
        lines += ["Try, in a second terminal:", *(f"  {each}" for each in tries)]
    return "\n".join(lines)


def print_json(
    table: Sequence[Expectation], ok: bool, steps: dict[str, float], seconds: float, endpoint: Endpoint
) -> None:
    """The table as one line of JSON on stdout."""
    content = {
        "ok": ok,
        "seconds": round(seconds, 1),
        "steps": {name: round(value, 1) for name, value in steps.items()},
        "endpoint": endpoint.url,
        "environment": endpoint.environment,
        "expectations": [line.as_json() for line in table],
    }
    _print_line(content)


def _print_line(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
    sys.stdout.flush()
