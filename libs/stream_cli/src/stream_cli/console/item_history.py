"""How a row came to be as it is: its changes, as its table's journal has them, and who made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from stream_cli.console.item_values import plain, shown
from stream_cli.faults.secret_text import REDACTED
from stream_cli.journal.lines import ChangeLine, Item, NamedEvent
from stream_cli.journal.questions import Questions

_MOST = 100
_LARGEST = 2 * 1024 * 1024
"""Characters of the images that are compared for one answer: secrets are looked for in all of them."""
_PAGE = 200
_PAGES = 20
_MOST_ATTRIBUTES = 200
_MOST_EVENTS = 5
_NONE = object()


def history(questions: Questions, table: str, keys: Item, partition: str) -> dict[str, Any]:
    """The changes of a row, the newest first; ``older`` says whether there are more than were looked at.

    Args:
        partition: the value of its partition key, as text.
    """
    found: list[ChangeLine] = []
    before = None
    for _ in range(_PAGES):
        page = questions.changes(table=table, key=partition, before=before, limit=_PAGE)
        found += [line for line in page.lines if line["keys"] == keys]
        before = page.older
        if before is None or len(found) > _MOST:
            break
    shown = [_change(questions, each) for each in islice(_within_bounds(found), _MOST)]
    return {"changes": shown, "older": before is not None or len(shown) < len(found)}


def _within_bounds(lines: list[ChangeLine]) -> Iterator[ChangeLine]:
    """The newest changes whose images are not too large together, at least one."""
    size = 0
    for line in lines:
        size += sum(len(str(line[name])) for name in ("old", "new") if name in line)
        if size > _LARGEST and line is not lines[0]:
            return
        yield line


def _change(questions: Questions, line: ChangeLine) -> dict[str, Any]:
    old, new = line.get("old"), line.get("new")
    request = line.get("by")
    return {
        "at": line["at"],
        "change": line["change"],
        "expired": line.get("expired", False),
        "request": request,
        "function": line.get("by_function"),
        "events": _events(questions, request, old, new) if request else [],
        "attributes": list(differences(old, new)),
        # Without the image before it, what has changed is not known.
        "has_old": old is not None or line["change"] == "INSERT",
    }


def _events(questions: Questions, request: str, *images: Item | None) -> list[NamedEvent]:
    """The events for which an invocation changed a row: of those that it was called with, the ones that the row names.

    Where it was called with one alone, that one.
    """
    held = _called_with(questions, request)
    texts = {text for image in images for text in _texts(image or {})}
    return ([each for each in held if each["id"] in texts] or (held if len(held) == 1 else []))[:_MOST_EVENTS]


def _called_with(questions: Questions, request: str) -> list[NamedEvent]:
    """The events that an invocation was called with: by a mapping, or, as for a resubmission, by somebody else."""
    held = [line for line in questions.held(request) if line["kind"] == "stream" and "id" in line]
    if held:
        return [{"id": str(line.get("id")), "type": str(line.get("type", ""))} for line in held]
    return [event for call in questions.calls(request=request, limit=1).lines for event in call.get("events", ())]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def differences(old: Item | None, new: Item | None) -> Iterator[dict[str, Any]]:
    """What differs, attribute by attribute: ``path``, and the values ``old`` and ``new`` where there are such.

    Values are shown without secrets. That a secret has changed is said, and neither value.
    """
    before, after = plain(old or {}), plain(new or {})
    found = _walk("", before, after, shown(before), shown(after))
    for number, (path, was, now) in enumerate(found):
        if number == _MOST_ATTRIBUTES:
            yield {"path": "…", "new": "more attributes have changed"}
            return
        yield {"path": path, **({} if was is _NONE else {"old": was}), **({} if now is _NONE else {"new": now})}


def _walk(path: str, old: Any, new: Any, old_shown: Any, new_shown: Any) -> Iterator[tuple[str, Any, Any]]:
    """Paths at which two values differ, with what is shown of both."""
    if old is not _NONE and new is not _NONE and old == new:
        return
    if not (isinstance(old_shown, Mapping) and isinstance(new_shown, Mapping)):
        yield path, old_shown, new_shown
        return
    inner = [
        each
        for name in dict.fromkeys((*old_shown, *new_shown))
        for each in _walk(
            f"{path}.{name}" if path else name,
            _within(old, old_shown, name), _within(new, new_shown, name),
            old_shown.get(name, _NONE), new_shown.get(name, _NONE),
        )
    ]  # fmt: skip
    if inner or not path:
        yield from inner
    else:
        yield path, REDACTED, REDACTED  # what differs is not shown


def _within(value: Any, decoded: Mapping[str, Any], name: str) -> Any:
    """A member of a value; of what is packed, that which is within it."""
    return (value if isinstance(value, Mapping) else decoded).get(name, _NONE)
