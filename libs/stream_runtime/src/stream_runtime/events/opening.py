"""Opens the events of a batch that a rule wants: redeems claim checks, expands compressed fields; in portions.

What is opened is larger than what came, by any factor. So events are opened one after the other, as they are wanted,
and once those of a portion come to MAX_EXPANDED_SIZE, no more are opened until the pipelines have worked them off.

Pipelines that gather events hold each as several objects, which take many times its bytes. So a portion has at most
`MOST_IN_PORTION` units of work, unless a pipeline needs the whole batch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from stream_runtime import settings
from stream_runtime.engine.records import Uow
from stream_runtime.engine.run import Run
from stream_runtime.engine.scheduling import in_key_order
from stream_runtime.errors import InvalidRecord
from stream_runtime.payload.compression import expanded

from . import claim_check
from .envelope import TO_OPEN

MOST_IN_PORTION = 4000

_MOST_LOOKED_AT = 1000


class Opening:
    """The units of work of a batch; `opened` makes of one what the rules get.

    Attributes:
        is_full: whether the portion has ended, since events have been put off.
        is_divisible: whether a portion may end because it has many events.
    """

    def __init__(self, run: Run, uows: Iterable[Uow], change: Callable[[Any], Any] = lambda event: event) -> None:
        """Take a batch.

        Args:
            run: the run of the batch.
            uows: the units of work, as they were received.
            change: what is done to each event that is opened.
        """
        self.is_full = False
        self.is_divisible = False
        self._run = run
        self._source: Iterator[Uow] = iter(uows)
        self._change = change
        self._ahead: deque[Uow] = deque()
        self._most = settings.MAX_EXPANDED_SIZE.read()
        self._in_hand = 0
        self._opened = 0
        self._at_once = self._most_at_once = settings.PARALLEL.read()
        self._lock = threading.Lock()

    def next_portion(self) -> None:
        """Go on with what was put off."""
        self.is_full = False
        self._opened = 0
        self._in_hand = sum(len(uow[_CONTENT]) for uow in self._ahead if _CONTENT in uow)

    def plain(self) -> Iterable[Uow]:
        """What has not been looked at, for as long as nothing is to be opened; no more than a portion."""
        if self._ahead:
            return ()
        return islice(self._source, MOST_IN_PORTION) if self.is_divisible else self._source

    def put_back(self, uow: Uow) -> None:
        """Have a unit of work again as the next one."""
        self._ahead.appendleft(uow)

    def __iter__(self) -> Iterator[Uow]:
        """What is left of the portion after `plain`."""
        left = MOST_IN_PORTION if self._ahead else 0
        while not self.is_full:
            if self._ahead:
                yield self._ahead.popleft()
                continue
            if self.is_divisible and left <= 0:
                self._end_portion()
                return
            for uow in self._source:
                left -= 1
                yield uow
                if self._ahead or self.is_full or left == 0:
                    break
            else:
                return

    def _end_portion(self) -> None:
        """End the portion if the batch goes on."""
        following = next(self._source, None)
        if following is not None:
            self._source = chain((following,), self._source)
            self.is_full = True

    def opened(self, uow: Uow, is_wanted: Callable[[Uow], bool]) -> Uow | None:
        """The unit of work with its event whole, and the one that came under ``received``.

        Args:
            uow: a unit of work to open, which a rule wants.
            is_wanted: whether a rule wants another one; claim checks of such are read at the same time.

        Returns:
            None if it was put off to the next portion, if that failed, which the run knows, or if no time is left.
        """
        if self._opened and self._in_hand >= self._most:
            self.put_back(uow)
            self.is_full = True
            return None
        received = uow["event"]
        pointer = _pointer(uow)
        if pointer is not None and _CONTENT not in uow:
            found = self._with_content(uow, is_wanted)
            if found is None:
                return None
            uow = found
        rest = {name: value for name, value in uow.items() if name not in (_CONTENT, TO_OPEN)}
        try:
            event = received if pointer is None else claim_check.event_in(uow[_CONTENT], pointer)
            if uow.get(TO_OPEN) == "row":
                event = claim_check.with_event_in_row(received, event)
            event, size = expanded(event, self._most)
        except ValueError as error:
            self._run.fail(InvalidRecord(str(error)), rest)  # without the frames that hold what was expanded
            return None
        self._in_hand += size
        self._opened += 1
        return {**rest, "event": self._change(event), "received": received}

    def _with_content(self, first: Uow, is_wanted: Callable[[Uow], bool]) -> Uow | None:
        """The unit of work of a claim check with the object's bytes, and those behind it looked ahead."""
        batch = [first]
        places = [0]
        while len(places) < self._at_once and len(batch) < _MOST_LOOKED_AT:
            uow = self._ahead.popleft() if self._ahead else next(self._source, None)
            if uow is None:
                break
            if _is_claim(uow) and is_wanted(uow):
                places.append(len(batch))
            batch.append(uow)
        read: list[Uow | None] = list(batch)

        def one(number: int) -> None:
            place = places[number]
            read[place] = self._read(batch[place], is_first=number == 0)

        in_key_order([(number,) for number in range(len(places))], one, self._at_once)
        is_cut = any((uow := read[place]) is not None and _CONTENT not in uow for place in places)
        taken = sum((uow := read[place]) is not None and _CONTENT in uow for place in places)
        self._at_once = max(1, taken) if is_cut else min(self._most_at_once, self._at_once * 2)
        self._ahead.extendleft(uow for uow in reversed(read[1:]) if uow is not None)
        return read[0]

    def _read(self, uow: Uow, *, is_first: bool) -> Uow | None:
        """A unit of work with the object's bytes; without them if they do not fit into this portion."""
        pointer = _pointer(uow)
        if pointer is None or not self._run.may_start(uow):
            return None

        reserved = 0

        def may_read(size: int) -> bool:
            nonlocal reserved
            with self._lock:
                if not is_first and self._in_hand - reserved + size > self._most:
                    return False
                self._in_hand += size - reserved
                reserved = size
                return True

        content = None
        try:
            content = claim_check.fetched(pointer, may_read)
        except InvalidRecord as error:
            self._run.fail(InvalidRecord(str(error)), uow)  # without the frames that hold what was read
            return None
        except Exception as error:
            self._run.fail(error, uow)
            return None
        finally:
            with self._lock:
                self._in_hand += len(content or b"") - reserved
        return uow if content is None else {**uow, _CONTENT: content}


_CONTENT = "claim_check_content"


def _is_claim(uow: Any) -> bool:
    is_open = not isinstance(uow, dict) or _CONTENT in uow or "invalid" in uow or not isinstance(uow.get("event"), dict)
    return not is_open and _pointer(uow) is not None


def _pointer(uow: Uow) -> Mapping[str, Any] | None:
    """The claim check that stands for the event of a unit of work, or for that in the row whose change it is."""
    event = uow["event"]
    if uow.get(TO_OPEN) == "row":
        return claim_check.pointer_of_row(event)
    return event if claim_check.is_pointer(event) else None
