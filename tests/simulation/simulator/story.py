"""A history that breaks a promise, told so that a reader sees what happened: what was done, what failed, and the way
of the item that it is about."""

from __future__ import annotations

import base64
import gc
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulator import promises
from simulator.faults import Trouble, about_of
from simulator.histories import History, Played, Step, begin, play, shrink
from simulator.kernel import MICROSECONDS
from simulator.promises import Broken
from simulator.topology import Deployment
from simulator.world import Happening

MOST_LINES = 200
_DATA = re.compile(r'"data": ?"([A-Za-z0-9+/=]+)"')


@dataclass(frozen=True)
class Failure:
    """A history that has failed.

    Attributes:
        promise: the one that is broken, or what the history ended with instead.
        about: the item that it is about; may be empty.
    """

    played: Played
    promise: str
    about: str
    why: str

    @property
    def history(self) -> History:
        return self.played.history


def failure_of(history: History, deployment: Deployment | None = None) -> Failure | None:
    """Play a history; what it fails with, if it does."""
    try:
        return _failure_of(history, deployment)
    finally:
        gc.collect(0)  # its world, while that is in the processor's caches


def _failure_of(history: History, deployment: Deployment | None) -> Failure | None:
    played = begin(history, deployment)
    try:
        promises.check(play(played))
    except Broken as broken:
        return Failure(played, broken.promise, broken.about, str(broken))
    except Exception as error:  # whatever ends a history is what is wrong with it
        return Failure(played, type(error).__name__, "", str(error)[:2_000])
    return None


def smallest(
    failure: Failure,
    deployment: Deployment | None = None,
    most: int = 150,
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> Failure:
    """The failure with a history without what does not matter, as far as it was found while it is to go on."""
    found = failure

    def fails(history: History) -> bool:
        nonlocal found
        if not go_on():
            return False
        smaller = failure_of(history, deployment)
        if smaller is None or smaller.promise != failure.promise:
            return False
        found = smaller
        return True

    shrink(failure.history, fails, most)
    return found


def told(failure: Failure) -> str:
    """The story of a failure."""
    history = failure.history
    promise = getattr(promises, failure.promise, None)
    meant = textwrap.shorten(promise.__doc__ or "", 300) if promise is not None else ""
    return "\n".join(
        [
            f"Seed {history.seed}: {failure.promise.replace('_', ' ')}.",
            *([f"  {meant}"] if meant else []),
            f"  {textwrap.shorten(failure.why, 1_500)}",
            "",
            "Play it again with: npm run soak -- --system --history",
            f"'{history.to_json()}'",
            "",
            "What was done:",
            *(f"  {_clock(step.at_s)}  {_done(step)}" for step in history.steps),
            *(f"  then people {each}" for each in history.afterwards),
            "What failed:" if history.troubles else "Nothing failed.",
            *(f"  {_clock(each.from_s)} to {_clock(each.until_s)}  {_failed(each)}" for each in history.troubles),
            "",
            f"The way of {failure.about}:" if failure.about else "What happened last:",
            *_way(failure),
        ]
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02}:{minutes:02}:{rest:06.3f}"


def _done(step: Step) -> str:
    how = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in step.how.items())
    return f"{step.do} {step.name}{f' ({how})' if how else ''}"


def _failed(trouble: Trouble) -> str:
    calls = ", ".join(trouble.operations) or "calls"
    services = ", ".join(trouble.services) or "any service"
    by = f" by {', '.join(trouble.functions)}" if trouble.functions else ""
    return f"{trouble.kind}: {trouble.rate:.0%} of {calls} of {services}{by}"


def _way(failure: Failure) -> Iterator[str]:
    world = failure.played.world
    names = _names(failure)
    wanted = [each for each in world.happened if not names or any(name in _text(each) for name in names)]
    wanted = [each for each in wanted if each.what != "logged"]
    shown = wanted[-MOST_LINES:] if not names else wanted[:MOST_LINES]
    again: Counter[str] = Counter()
    for each in shown:
        line = _line(each)
        again[line] += 1
        if again[line] <= 2:
            yield f"  {_clock((each.at_us - world.start_us) / MICROSECONDS)}  {line}"
        elif again[line] == 3:
            yield f"  {_clock((each.at_us - world.start_us) / MICROSECONDS)}  {line}  (and again)"
    if len(wanted) > len(shown):
        yield f"  ... and {len(wanted) - len(shown)} more"


def _names(failure: Failure) -> set[str]:
    """The item, the story that it belongs to, and the events of that."""
    about = failure.about
    if not about:
        return set()
    item = re.split(r"[./ ]|-analysed", about)[0] if about.startswith(("story-", "forged-", "foreign-")) else about
    events = failure.played.archived
    return {item} | {each["id"] for each in events if each.get("partition_key") == item}


def _text(happening: Happening) -> str:
    """What a happening is about, with the data of records of Kinesis as text."""
    return _DATA.sub(lambda found: base64.b64decode(found[1]).decode(errors="replace"), str(happening.about))


def _line(happening: Happening) -> str:
    what, about = happening.what, happening.about
    match what:
        case "trouble":
            who, service, operation, kind, request = about
            return f"{who}: {service} {operation} {about_of(request)}  ** {kind} **"
        case "called":
            who, service, operation, request, answer = about
            failed = answer.get("FailedEntryCount") or answer.get("UnprocessedItems") or answer.get("Failed")
            return f"{who}: {service} {operation} {about_of(request)}{f'  left: {failed}' if failed else ''}"
        case "refused":
            who, service, operation, request, refusal = about
            return f"{who}: {service} {operation} {about_of(request)}  refused: {refusal.code}"
        case "invoked":
            return f"{about[2]} is invoked ({about[1][:8]})"
        case "answered":
            return f"{about[2]} answers {_short(about[3].payload)}{' with an error' if about[3].function_error else ''}"
        case "settled":
            return f"batch of {about[0]}, {len(about[2].records)} records of {about[1][-12:]}: {_short(about[3])}"
        case "responded":
            return f"the client gets {about[2].status} for {about[0]} {about[1]}: {_short(about[2].body)}"
    return f"{what}: {', '.join(_short(each) for each in about)}"


def _short(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return textwrap.shorten(text, 160, placeholder="...") if len(text) > 160 else text
