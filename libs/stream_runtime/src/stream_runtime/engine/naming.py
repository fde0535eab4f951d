"""Names what failed, for people: the rule, the event, the call to AWS, and the place in the function's own code.

All of it is looked up when something has failed, from the unit of work and the error's traceback: nothing is noted
before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from .records import uows_of

_RUNTIME = "stream_runtime"
_LONGEST_NAME = 256
_LONGEST_EXPRESSION = 160
_TARGETS = (
    *("TableName", "QueueUrl", "TopicArn", "TargetArn", "StreamName", "StreamARN", "DeliveryStreamName"),
    *("FunctionName", "Bucket", "EventBusName", "Namespace"),
)
_SEVERAL = ("TransactItems", "Entries")


class Call(NamedTuple):
    """A call to AWS: the operation, as AWS names it, and the table, queue, bus or bucket that it was about."""

    operation: str
    target: str = ""

    def __str__(self) -> str:
        return f"{self.operation} on {self.target}" if self.target else self.operation


class Place(NamedTuple):
    """Where an error arose, such as ``control/rules/trigger.py:31, to_ready: event["evnt"]``.

    Attributes:
        needed: whether the error's message says too little without it: Python raised it, not the code itself.
    """

    text: str
    needed: bool


def names_of(uow: Any) -> dict[str, str]:
    """What a unit of work is known by, as far as it is: ``pipeline`` (the rule's id), ``event_id``, ``event_type``."""
    singles = uows_of(uow)
    first = singles[0] if singles else {}
    event = first.get("event")
    given = event if isinstance(event, Mapping) else {}
    whole = uow if isinstance(uow, Mapping) else {}
    found = {
        "pipeline": first.get("pipeline") or whole.get("pipeline"),
        "event_id": given.get("id"),
        "event_type": given.get("type"),
    }
    return {name: str(value)[:_LONGEST_NAME] for name, value in found.items() if value not in (None, "", "undefined")}


def told(uow: Any, call: Call | None) -> str:
    """The names in words, such as ``rule collect-item, event e1 (item-submitted), UpdateItem on events``; or empty."""
    names = names_of(uow)
    parts = [f"rule {names['pipeline']}"] if "pipeline" in names else []
    if "event_id" in names:
        kind = f" ({names['event_type']})" if "event_type" in names else ""
        others = len(uows_of(uow)) - 1
        parts.append(f"event {names['event_id']}{kind}" + (f" and {others} more" if others > 0 else ""))
    elif "event_type" in names:
        parts.append(f"an event of type {names['event_type']}")
    return ", ".join([*parts, *([str(call)] if call is not None else [])])


def uow_in_hand() -> Mapping[str, Any] | None:
    """The unit of work that this thread is busy with: the innermost ``uow`` of the runtime's own functions.

    Every step holds its unit of work under that name while it runs a rule's function, in whatever thread. Looking it up
    here, instead of noting it for each step, costs nothing while nothing is told.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(f"{_RUNTIME}."):
            uow = frame.f_locals.get("uow")
            if isinstance(uow, Mapping):
                return uow
        frame = frame.f_back
    return None


# --- the call ---


def call_of(error: BaseException) -> Call | None:
    """The call to AWS that failed with an error, by either client; None if none did."""
    noted = getattr(error, "call", None)
    if isinstance(noted, Call):
        return noted
    found = None
    for each in _entries(error):
        frame = each.tb_frame
        at = (frame.f_globals.get("__name__"), frame.f_code.co_name)
        if at == (f"{_RUNTIME}.aws.operation", "__call__"):
            found = Call(str(getattr(frame.f_locals.get("self"), "name", "")), target_in(frame.f_locals.get("request")))
        elif at == ("botocore.client", "_make_api_call"):
            found = Call(str(frame.f_locals.get("operation_name")), target_in(frame.f_locals.get("api_params")))
    return found


def target_in(request: Any) -> str:
    """What a request is about: the name of its table, queue, topic, stream, bus, bucket or function; or empty."""
    if not isinstance(request, Mapping):
        return ""
    for name in _TARGETS:
        if isinstance(request.get(name), str):
            return _short(request[name])
    tables = request.get("RequestItems")
    if isinstance(tables, Mapping):
        return ", ".join(_short(str(table)) for table in islice(tables, 3))
    for name in _SEVERAL:
        members = request.get(name)
        if isinstance(members, list | tuple):
            found = {target_in(part) for member in members if isinstance(member, Mapping) for part in _parts(member)}
            return ", ".join(sorted(found - {""})[:3])
    return ""


def _parts(member: Mapping[str, Any]) -> Iterator[Any]:
    yield member
    yield from member.values()  # an item of a transaction: {"Put": {"TableName": ...}}


def _short(target: str) -> str:
    """The name in a URL or an ARN."""
    if target.startswith(("http://", "https://", "arn:")):
        target = target.rpartition("/")[2].rpartition(":")[2]
    return target[:_LONGEST_NAME]


# --- the place ---


def place_of(error: BaseException) -> Place | None:
    """Where an error arose in the function's own code; None if it arose elsewhere.

    That is the last line of its own on the way to the error: libraries that it calls are passed over. The very
    expression is given where the source is there; values never are.
    """
    entries = list(_entries(error))
    own = _last_own(entries)
    if own is None:
        return None
    expression = _expression_at(own)
    raised = own is entries[-1] and _is_raise(own)
    code = own.tb_frame.f_code
    name = code.co_qualname.replace(".<locals>", "")
    text = f"{_path_of(own.tb_frame)}:{own.tb_lineno}"
    text += "" if name == "<module>" else f", {name}"
    text += f": {expression}" if expression and not raised else ""
    return Place(text, type(error) is KeyError or not _message_of(error) or (not raised and _is_of_python(error)))


def _entries(error: BaseException) -> Iterator[TracebackType]:
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _last_own(entries: list[TracebackType]) -> TracebackType | None:
    """The last entry of the handler's own package; of another module that is no library, if there is none."""
    handler = os.environ.get("_HANDLER", "").replace("/", ".").partition(".")[0]
    others = [each for each in entries if not _is_library(each.tb_frame)]
    of_handler = [each for each in others if handler and _top_of(each.tb_frame) == handler]
    own = of_handler or others
    return own[-1] if own else None


def _top_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_library(frame: FrameType) -> bool:
    path, top = frame.f_code.co_filename.replace("\\", "/"), _top_of(frame)
    if top == _RUNTIME or path.startswith(("<", _STANDARD_LIBRARY, "/var/runtime/", "/var/lang/", "/opt/")):
        return True
    if "/site-packages/" in path or "/dist-packages/" in path:
        return True
    # In a function's package, libraries lie beside its own modules.
    return "LAMBDA_TASK_ROOT" in os.environ and _is_installed(top)


_STANDARD_LIBRARY = os.path.dirname(os.__file__).replace("\\", "/") + "/"


@cache
def _is_installed(top: str) -> bool:
    from importlib.metadata import distributions, packages_distributions

    return top in packages_distributions() or top in {str(each.name).replace("-", "_") for each in distributions()}


def _path_of(frame: FrameType) -> str:
    """The path of a module from the folder that it is imported from."""
    path = frame.f_code.co_filename.replace("\\", "/")
    parts = str(frame.f_globals.get("__name__", "")).count(".") + 1 + path.endswith("/__init__.py")
    return "/".join(path.split("/")[-parts:])


def _is_of_python(error: BaseException) -> bool:
    """Whether an error is one of Python's own, which say what is wrong with a value, and not which value."""
    return type(error).__module__.partition(".")[0] in sys.stdlib_module_names


def _is_raise(entry: TracebackType) -> bool:
    import opcode

    return opcode.opname[entry.tb_frame.f_code.co_code[entry.tb_lasti]] == "RAISE_VARARGS"


def _expression_at(entry: TracebackType) -> str:
    import linecache

    code = entry.tb_frame.f_code
    line, last, start, end = next(islice(code.co_positions(), entry.tb_lasti // 2, None), (None,) * 4)
    if line is None or last is None or start is None or end is None:
        return ""
    linecache.checkcache(code.co_filename)
    lines = [
        linecache.getline(code.co_filename, number, entry.tb_frame.f_globals).rstrip("\n").encode()
        for number in range(line, min(last, line + 10) + 1)
    ]
    if last < line + len(lines):
        lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]  # columns count bytes
    text = " ".join(b" ".join(lines).decode(errors="replace").split())
    return text if len(text) <= _LONGEST_EXPRESSION else f"{text[:_LONGEST_EXPRESSION]} ..."


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
