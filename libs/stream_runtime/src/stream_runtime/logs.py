"""The log lines of a function: JSON as Powertools' Logger writes it, with the unit of work that a line is about.

`stream_handler` and `StreamPipeline` set this up; any other handler does with `logged`. It holds for every logger:
those of `logging`, the rule's ``logger``, and Loggers of Powertools. Nothing is paid for it until a line is written:
only then is Powertools imported, and the unit of work looked up.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

from . import settings
from .engine.naming import uow_in_hand
from .engine.records import identify, uows_of
from .engine.run import current_run

__all__ = ["logged"]

_CHATTY = ("boto3", "botocore", "s3transfer", "urllib3")
"""Libraries that log every request at DEBUG, with its content, and their credentials' source at INFO."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def logged(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A handler whose log lines are JSON at the level of LOG_LEVEL, with service, function and request.

    Example:
        >>> @logged
        ... def handler(event, context): ...
    """
    set_up()

    @wraps(handler)
    def invoked(event: Any, context: Any) -> Any:
        note_request(context)
        return handler(event, context)

    return invoked


def note_request(context: Any) -> None:
    """The request that the following lines are about, by its Lambda context."""
    _request_id.set(getattr(context, "aws_request_id", None))


def set_up_once() -> None:
    """As `set_up`, if nothing has done it in this process."""
    if not isinstance(logging.getLogRecordFactory(), _RecordFactory):
        set_up()


def set_up() -> None:
    """Set the root logger's level, and write its lines as JSON.

    The handler that Lambda's runtime or ``logging.basicConfig`` gave it is replaced. One of another kind, such as
    pytest's, stays, and then nothing is added. A level that the function's code has set stays, unless Lambda's advanced
    logging controls set one.
    """
    root = logging.getLogger()
    if root.level == logging.WARNING or settings.AWS_LAMBDA_LOG_LEVEL.read():
        root.setLevel(level())
    for name in _CHATTY:
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(logging.WARNING)
    if not isinstance(logging.getLogRecordFactory(), _RecordFactory):
        logging.setLogRecordFactory(_RecordFactory(logging.getLogRecordFactory()))
    is_lambda = False
    for handler in tuple(root.handlers):
        of_lambda = type(handler).__name__.startswith("LambdaLogger")
        if of_lambda or type(handler) is logging.StreamHandler:
            is_lambda = is_lambda or of_lambda
            root.removeHandler(handler)
    if not root.handlers:
        root.addHandler(_JsonHandler(sys.stdout if is_lambda else sys.stderr))


def level() -> str:
    """The level of the root logger, in the order in which Powertools' Logger looks for it.

    Source: Powertools for AWS Lambda (Python), "Logger", "AWS Lambda Advanced Logging Controls": AWS_LAMBDA_LOG_LEVEL,
    what the code sets, then POWERTOOLS_LOG_LEVEL; LOG_LEVEL is its older name.
    """
    return settings.AWS_LAMBDA_LOG_LEVEL.read() or settings.POWERTOOLS_LOG_LEVEL.read() or settings.LOG_LEVEL.read()


class _JsonHandler(logging.StreamHandler[Any]):
    """Writes the lines of all loggers but those of Powertools, which write their own."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.setFormatter(_JsonFormatter())

    def filter(self, record: logging.LogRecord) -> Any:
        return super().filter(record) and _formatter_of_powertools(record.name) is None

    def addFilter(self, filter: Any) -> None:
        """Add a filter, but not Powertools' own: it drops the lines of every logger whose name holds its service's."""
        if type(filter).__name__ != "SuppressFilter":
            super().addFilter(filter)


def _formatter_of_powertools(name: str) -> Any:
    """The formatter of the Logger of Powertools that writes the lines of a logger; None if none does."""
    formatting = sys.modules.get("aws_lambda_powertools.logging.formatter")
    logger: logging.Logger | None = logging.getLogger(name)
    while formatting is not None and logger is not None:
        for handler in logger.handlers:
            if isinstance(handler.formatter, formatting.BasePowertoolsFormatter):
                return handler.formatter
        logger = logger.parent
    return None


def _service() -> str:
    return settings.POWERTOOLS_SERVICE_NAME.read() or settings.SERVICE.read()


class _JsonFormatter(logging.Formatter):
    """Powertools' formatter, imported and made for the first line."""

    _formatter: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._formatter is None:
            from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

            # Lambda filters lines by level only if their timestamp is RFC 3339. Source: Lambda developer guide,
            # "Log-level filtering".
            self._formatter = LambdaPowertoolsFormatter(use_rfc3339=True, service=_service(), name="%(name)s")
            _escape(self._formatter)
        return self._formatter.format(record)


def _escape(formatter: Any) -> None:
    """Let a formatter of Powertools escape what would act on a terminal, or hide: it leaves all but C0 as it is."""
    serialize = getattr(formatter, "json_serializer", None)
    if serialize is None or isinstance(serialize, _Escaping):
        return
    formatter.json_serializer = _Escaping(serialize)


class _Escaping:
    """A serializer whose JSON has such characters escaped."""

    def __init__(self, serialize: Callable[[Any], Any]) -> None:
        from .payload.visible import visible_json

        self._serialize = serialize
        self._visible = visible_json

    def __call__(self, line: Any) -> Any:
        text = self._serialize(line)
        return self._visible(text) if isinstance(text, str) else text


class _RecordFactory:
    """Makes log records with the attributes of `_about`; a line's own ``extra`` of the same name wins."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        uow = uow_in_hand() or {}
        hide = _hiding(uow)
        record.__dict__ = _Attributes({**_about(uow), **record.__dict__}, hide)
        if hide is not None:
            _hide(record, hide)
        formatter = _formatter_of_powertools(record.name)
        _escape(formatter)
        if formatter is not None and formatter.get_current_keys().get("service") == "service_undefined":
            record.__dict__["service"] = _service()
        return record


class _Attributes(dict[str, Any]):
    """A log record's attributes. Those added here are hidden from ``in``, so that ``extra`` may replace them.

    Args:
        attributes: those of the record as it was made.
        hide: masks what ``extra`` adds; None masks nothing.
    """

    def __init__(self, attributes: Mapping[str, Any], hide: Hide | None) -> None:
        super().__init__(attributes)
        self._hide = hide

    def __contains__(self, name: object) -> bool:
        return name not in _ADDED and super().__contains__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value if self._hide is None else self._hide({name: value})[name])


_ADDED = frozenset({"event_id", "function_name", "function_request_id", "pipeline", "record_id", "service"})


Hide = Callable[[Any], Any]


def _hiding(uow: Mapping[str, Any]) -> Hide | None:
    """A function that masks secret fields, and the values that they have in a unit of work; None if none are named."""
    run = current_run.get()
    redaction = None if run is None else run.redaction
    if redaction is None:
        fields = settings.REDACT.read()
        if not fields:
            return None
        from .payload.redaction import redaction_of

        redaction = redaction_of(fields)
    secrets = redaction.secrets_of(uows_of(uow))
    return partial(redaction.hidden_in, secrets=secrets)


def _hide(record: logging.LogRecord, hide: Hide) -> None:
    """Mask what a line says: its text, or the object in its place, and the text of its exception."""
    if isinstance(record.msg, Mapping):
        record.msg = hide(record.msg)
    else:
        try:
            text = record.getMessage()
        except Exception:
            text = str(record.msg)  # its arguments do not fit, which the handler would report with all of them
        record.msg, record.args = hide(text), ()
    if record.exc_info and record.exc_info[0] is not None:
        written = "".join(traceback.format_exception(*record.exc_info))
        hidden = hide(written)
        if hidden != written:
            record.__dict__ |= {"exception": hidden, "exception_name": record.exc_info[0].__name__}
            record.exc_info, record.exc_text = None, hidden


def _about(uow: Mapping[str, Any]) -> dict[str, Any]:
    """What the line that is being logged is about: function, request, and unit of work."""
    event, record = uow.get("event"), uow.get("record")
    found = {
        "function_name": settings.FUNCTION_NAME.read(),
        "function_request_id": _request_id.get(),
        "pipeline": uow.get("pipeline"),
        "record_id": _record_id(record) if isinstance(record, Mapping) else None,
        "event_id": event.get("id") if isinstance(event, Mapping) else None,
    }
    return {name: value for name, value in found.items() if value not in (None, "undefined")}


def _record_id(record: Mapping[str, Any]) -> Any:
    """What names a record: sequence number or message id, or the id that its source gave it."""
    message = record.get("Sns")
    of_message = message.get("MessageId") if isinstance(message, Mapping) else None
    return (
        identify(record).identifier or record.get("eventID") or record.get("recordId") or of_message or record.get("id")
    )
