"""The errors of the runtime, and the two that rules raise to say how to treat a failure."""

from __future__ import annotations

from collections.abc import Sequence


class TransientError(Exception):
    """Raise it from a rule if a retry may help: the record is returned for retry."""


class ConfigurationError(Exception):
    """Raise it if the data is good and the set-up is not (permissions, a missing table, a wrong setting).

    The record is returned for retry at once; it succeeds when someone has fixed the set-up.
    """


class InvalidRule(ValueError):
    """A rule is not valid; the message names the rule, the field and what was expected."""


class InvalidSetting(ConfigurationError):
    """An environment variable is missing or not valid; the message names it."""


class MissingModule(ConfigurationError):
    """A rule cannot import something; the message names the rule, the line of the import and what to do."""

    def __init__(self, error: ImportError, rule: object) -> None:
        at = f" at {place}" if (place := _place_of(error)) else ""
        where = "pythonRequirements.noDeploy or slimPatterns in serverless.yml"
        if isinstance(error, ModuleNotFoundError) and error.name:
            super().__init__(
                f"rule {rule!r} imports {error.name}{at}, and {error.name} is not in this package: remove it from "
                f"{where}, or add it to requirements.txt"
            )
        else:
            super().__init__(f"rule {rule!r} fails to import{at}: {error}; is it left out by {where}?")


class InvalidRecord(ValueError):
    """A record that no rule can read (not base64, not JSON, not an object, without a type): poison."""


class UnsupportedEvent(ValueError):
    """An invocation event of an unknown form; the message shows what was seen."""


class UnfinishedBatch(Exception):
    """Records are left for retry, and raising is the way to make Lambda deliver them again.

    So it is for sources without a partial-batch response (asynchronous invocations, SNS, S3, EventBridge), and where a
    failure belongs to no single record.

    Attributes:
        causes: the errors that left records for retry, in order.
    """

    def __init__(self, message: str, causes: Sequence[BaseException] = ()) -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class UnhandledFault(Exception):
    """An error that belongs to no single record (``faulty(..., ignore=True)``): the whole batch is retried."""


def _place_of(error: BaseException) -> str:
    """File and line where an error arose, in the code that uses the runtime if there is any; else empty."""
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        places.append((traceback.tb_frame.f_globals.get("__name__", ""), traceback))
        traceback = traceback.tb_next
    others = [each for name, each in places if name.partition(".")[0] != __package__]
    last = others[-1] if others else places[-1][1] if places else None
    return "" if last is None else f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
