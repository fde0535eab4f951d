"""The state of one invocation: unfinished records, faults to publish, time left.

Every record ends in exactly one of three ways: its effects are done, a fault was published for it, or its identifier
is returned for retry (docs/design.md, "Delivery", rule 1). Steps report failures to the run, and ask it before they
start anything that has an effect.
"""

import logging
import threading
import time
import traceback
from collections.abc import Hashable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_runtime.errors import MissingModule, UnfinishedBatch, UnhandledFault

from .naming import Call, Place, call_of, names_of, place_of
from .naming import told as named
from .records import STREAM, UNIDENTIFIED, Positions, Record, as_received, holds_fault, uows_of
from .retry import Retry, classify

if TYPE_CHECKING:
    from stream_runtime.payload.redaction import Redaction

    from .metrics import Meter

logger = logging.getLogger(__name__)

_MOST_CAUSES = 10
_MOST_CHARACTERS = 16384

FAULT_OF_A_FAULT = "fault_of_a_fault"
"""The outcome that is counted for a fault event that failed."""


class ErrorTexts(NamedTuple):
    """What a fault tells of an error, and where it arose in the function's own code, if it did."""

    message: str
    stack: str
    place: Place | None = None


class Fault(NamedTuple):
    """A poisoned unit of work: what failed, with what error, at which positions of the batch.

    Attributes:
        told: the texts of the error without secrets, where it has let go of events that were opened.
    """

    error: BaseException
    uow: Mapping[str, Any]
    positions: Sequence[int]
    told: ErrorTexts | None = None


class Run:
    """The state of one `StreamPipeline.assemble`. Thread-safe."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        deadline: float | None = None,
        end: float | None = None,
        redaction: "Redaction | None" = None,
    ) -> None:
        self.retry = Retry(deadline)
        self.redaction = redaction
        self._secrets: set[str] = set()
        self.outcomes: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.causes: list[BaseException] = []
        self.untraceable: list[BaseException] = []
        self.checkpoints: dict[Hashable, int] = {}
        self.publishing_faults = False
        self.meter: Meter | None = None
        self.deadline = deadline
        self._end = end
        self._records = records
        self._positions: Positions | None = None
        self._lock = threading.Lock()

    @property
    def positions(self) -> Positions:
        """The position of each record; computed on first use, since most batches never need it."""
        if self._positions is None:
            with self._lock:
                if self._positions is None:
                    self._positions = Positions(self._records)
        return self._positions

    def begin_faults(self) -> None:
        """Start publishing faults, in the time reserved for them after the deadline.

        Faults for which that time is too short stay with their records, so even a batch full of faults makes progress.
        """
        self.publishing_faults = True
        if self.deadline is not None:
            self.deadline = self.retry.deadline = self._end

    def left_s(self) -> float | None:
        """Seconds until no more work is started, 0 when it is time; None where there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def may_start(self, uow: Any) -> bool:
        """Whether work with an effect may start for a unit of work; if not, the unit has been left for retry.

        Nothing starts at or after a checkpoint, since those records come again, nor after the deadline.
        """
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.leave(uow, TimeoutError("the invocation is about to end; the rest of the batch is left for retry"))
            return False
        return self.may_go_on(uow)

    def may_go_on(self, uow: Any) -> bool:
        """Whether a unit of work goes on to the next step; it does not if its records come again."""
        if self.untraceable:
            return False
        if not self.checkpoints:
            return True
        positions = self.positions
        for position in positions.of(uow):
            checkpoint = self.checkpoints.get(positions.identities[position].domain)
            if checkpoint is not None and position >= checkpoint:
                self._leave_at(positions.of(uow))
                return False
        return True

    def fail(self, error: BaseException, uow: Any) -> None:
        """Record the failure of a unit of work: poison becomes a fault, anything else is left for retry.

        While faults are being published, every failure leaves its records for retry. So does the failure of a unit of
        work about a fault: a fault event about it would come back, and fail again.
        """
        if isinstance(error, UnhandledFault):
            self._note_secrets(uow)
            self.abandon(error)
            return
        if not self.positions.of(uow):
            uow = getattr(error, "uow", None) or uow
        if not isinstance(uow, Mapping):
            uow = {"batch": uows_of(uow)}
        if isinstance(error, ImportError):
            error = _missing(error, uow)
        if classify(error) == "poison" and not self.publishing_faults:
            positions = self.positions.of(uow)
            if not positions:
                self.abandon(error)
                return
            if holds_fault(uow):
                logger.error(
                    "pipeline %s failed on a fault event; it is left for retry, since a fault about a fault could "
                    "come back here",
                    uow.get("pipeline"),
                    exc_info=error,
                )
                self.count(FAULT_OF_A_FAULT)
                self.leave(uow, error)
                return
            logger.debug("fault in pipeline %s", uow.get("pipeline"), exc_info=error)
            received = as_received(uow)
            told = None if received is uow else self._let_go(error, uow)
            with self._lock:
                self.faults.append(Fault(error, received, positions, told))
            return
        self.leave(uow, error)

    def leave(self, uow: Any, cause: BaseException) -> None:
        """Leave the records of a unit of work for retry."""
        positions = self.positions.of(uow)
        if not positions:
            self._note_secrets(uow)
            self.abandon(cause)
            return
        with self._lock:
            is_told = len(self.causes) < _MOST_CAUSES
            if is_told:
                self.causes.append(cause)
        call = call_of(cause) if is_told else None
        if as_received(uow) is not uow:
            self._let_go(cause, uow)
        if is_told:
            self._note_secrets(uow)
            _tell_left(cause, uow, call)
        self._leave_at(positions)

    def abandon(self, cause: BaseException) -> None:
        """Return the whole batch for retry: the failure belongs to no record."""
        self._note_secrets(getattr(cause, "uow", None))
        with self._lock:
            self.untraceable.append(cause)

    def _note_secrets(self, uow: Any) -> None:
        """Remember the secret values of a unit of work, which the error of the invocation must not tell."""
        if self.redaction is not None:
            secrets = self.redaction.secrets_of(uows_of(uow))
            with self._lock:
                self._secrets |= secrets

    def _let_go(self, error: BaseException, uow: Any) -> ErrorTexts:
        """The texts of an error, without secrets; its frames hold opened events, so it lets go of them."""
        message, stack, place = texts_of(error)
        if self.redaction is not None:
            secrets = self.redaction.secrets_of(uows_of(uow))
            message, stack = self.redaction.hidden(message, secrets), self.redaction.hidden(stack, secrets)
        message, stack = message[:_MOST_CHARACTERS], stack[-_MOST_CHARACTERS:]
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (error.args[0][:_MOST_CHARACTERS],)
        if hasattr(error, "__dict__"):
            error.stack, error.place = stack, place  # type: ignore[attr-defined]  # for others that fail with it
        seen: BaseException | None = error
        while seen is not None:
            seen.__traceback__ = None
            if hasattr(seen, "uow"):
                del seen.uow
            seen.__cause__, seen.__context__, seen = None, None, seen.__cause__ or seen.__context__
        return ErrorTexts(message, stack, place)

    def _told(self, cause: BaseException) -> str:
        text = f"{type(cause).__name__}: {cause}"
        return text if self.redaction is None else self.redaction.hidden(text, self._secrets)

    def count(self, outcome: str, number: int = 1) -> None:
        """Count an outcome that is neither success nor failure, such as a failed condition."""
        with self._lock:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + number

    def is_unfinished(self, positions: Sequence[int]) -> bool:
        """Whether any of the records comes again."""
        return any(self._comes_again(position) for position in positions)

    def is_left(self, positions: Sequence[int]) -> bool:
        """Whether all of the records come again."""
        return all(self._comes_again(position) for position in positions)

    def _comes_again(self, position: int) -> bool:
        identities = self.positions.identities
        return position >= self.checkpoints.get(identities[position].domain, len(identities))

    def response(self) -> dict[str, list[dict[str, str]]]:
        """The response to Lambda: the identifiers to deliver again, at most one for a stream.

        Raises:
            UnfinishedBatch: something unfinished has no identifier, so the invocation has to fail.
        """
        if self.untraceable:
            first = self.untraceable[0]
            raise UnfinishedBatch(
                f"the whole batch has to be delivered again: {self._told(first)}",
                [*self.untraceable, *self.causes],
            ) from first
        if not self.checkpoints:
            return {"batchItemFailures": []}
        identifiers = self._identifiers_for_retry()
        if None in identifiers:
            first = self.causes[0]
            raise UnfinishedBatch(
                f"{len(identifiers)} records are left for retry: {self._told(first)}", self.causes
            ) from first
        return {"batchItemFailures": [{"itemIdentifier": str(identifier)} for identifier in identifiers]}

    def _identifiers_for_retry(self) -> list[str | None]:
        identifiers = []
        stream_is_left = False
        for position, identity in enumerate(self.positions.identities):
            checkpoint = self.checkpoints.get(identity.domain)
            if checkpoint is None or position < checkpoint:
                continue
            if identity.domain == STREAM:
                if stream_is_left:
                    continue
                stream_is_left = True
            identifiers.append(identity.identifier)
        return identifiers

    def _leave_at(self, positions: Sequence[int]) -> None:
        identities = self.positions.identities
        with self._lock:
            for position in positions:
                domain, first = identities[position].domain, position
                if domain == UNIDENTIFIED:
                    first = 0
                self.checkpoints[domain] = min(first, self.checkpoints.get(domain, first))


def _missing(error: ImportError, uow: Mapping[str, Any]) -> MissingModule:
    singles = uows_of(uow)
    missing = MissingModule(error, singles[0].get("pipeline") if singles else None)
    missing.__cause__ = error
    return missing


def _tell_left(cause: BaseException, uow: Any, call: Call | None) -> None:
    """Log which rule left which event for retry, and by which call; the line has these names as fields, too."""
    from stream_runtime.payload.visible import visible

    names = named(uow, call)
    fields = {**names_of(uow), **({"operation": call.operation, "target": call.target} if call is not None else {})}
    text = f"{type(cause).__name__}: {cause}" + (f" ({names})" if names else "")
    logger.error("left for retry: %s", visible(text), extra=fields)


def texts_of(error: BaseException) -> ErrorTexts:
    """The message and the stack of an error, and where it arose."""
    try:
        message = str(error)
    except Exception as broken:
        message = f"its message cannot be read: {type(broken).__name__}"
    if stack := getattr(error, "stack", ""):
        return ErrorTexts(message, stack, getattr(error, "place", None))
    return ErrorTexts(message, "".join(traceback.format_exception(error)), place_of(error))


current_run: ContextVar[Run | None] = ContextVar("current_run", default=None)
"""The run of the batch that is being processed."""
