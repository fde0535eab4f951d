"""The errors the runtime raises, and the two that user code may raise to say how a failure is to be treated."""

from __future__ import annotations

from collections.abc import Sequence


class TransientError(Exception):
    """Raise it from a rule when trying again later will help: the record is returned for retry."""


class ConfigurationError(Exception):
    """Raise it when the data is good and the set-up is not (permissions, a missing table, a wrong setting).

    The record is returned for retry at once: it is right as soon as someone mends the set-up.
    """


class InvalidRule(ValueError):
    """A rule that cannot be run; the message names the rule, the field and what was expected."""


class InvalidSetting(ConfigurationError):
    """An environment variable with a value that cannot be used; the message names the variable."""


class InvalidRecord(ValueError):
    """A record that no rule can ever read (not base64, not JSON, not an object, without a type): poison."""


class UnsupportedEvent(ValueError):
    """An invocation event that no source of this library knows; the message shows what was seen."""


class UnfinishedBatch(Exception):
    """Records of a source that takes no partial-batch response are left for retry.

    Raising is the only way to make Lambda deliver them again (asynchronous invocations, SNS, S3, EventBridge), and
    the only safe way when a failure cannot be traced to a record.

    Attributes:
        causes: the errors because of which records were left, first one first.
    """

    def __init__(self, message: str, causes: Sequence[BaseException] = ()) -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class UnhandledFault(Exception):
    """An error that was declared not to belong to one record (``faulty(..., ignore=True)``): the batch is retried."""
