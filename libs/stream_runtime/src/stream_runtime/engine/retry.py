"""Decides which failures to retry, and how long to wait.

A failure is one of three kinds (docs/design.md, "Delivery", rule 2): *poison* fails every time with this record,
*transient* may go away by itself, *configuration* goes away when someone fixes the set-up.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from stream_runtime import settings
from stream_runtime.errors import ConfigurationError, TransientError

from .naming import Call, call_of, names_of, told, uow_in_hand

Kind = Literal["poison", "transient", "configuration"]
T = TypeVar("T")

logger = logging.getLogger(__name__)

_MOST_TOLD = 10
"""Retries that a batch logs."""

# Sources: "Error retries and exponential backoff" and "Common errors" of the services' API references, botocore's
# retry rules (data/_retry.json).
_TRANSIENT = """
BandwidthLimitExceeded ConcurrentAccess ConcurrentInvocationLimitExceeded ConcurrentModificationException
ConditionalRequestConflict EC2ThrottledException EFSIOException EFSMountConnectivityException
EFSMountTimeoutException IDPCommunicationError InternalError InternalException InternalFailure
InternalFailureException InternalServerError InternalServiceError InternalServiceException
KMS.ThrottlingException KMSThrottling KMSThrottlingException KmsThrottled LimitExceededException
OperationAborted PriorRequestNotComplete ProvisionedThroughputExceededException ReplicatedWriteConflictException
RequestLimitExceeded RequestThrottled RequestThrottledException RequestTimeout RequestTimeoutException
ResourceConflictException ResourceInUseException ServiceException ServiceUnavailable ServiceUnavailableException
SlowDown SnapStartNotReadyException SnapStartTimeoutException Throttled ThrottledException Throttling
ThrottlingException TooManyRequestsException TransactionConflictException TransactionInProgressException
TransientError UnavailableException
"""
_CONFIGURATION = """
AWS.SimpleQueueService.NonExistentQueue AccessDenied AccessDeniedException AllAccessDisabled AuthFailure
AuthorizationError AuthorizationErrorException DisabledException ExpiredToken ExpiredTokenException
IncompleteSignature IncorrectKeyException InvalidAccessKeyId InvalidArnException InvalidClientTokenId
InvalidKMSResourceException InvalidKeyUsageException InvalidSecurity InvalidSignatureException
InvalidToken KMSAccessDenied KMSAccessDeniedException KMSDisabled KMSDisabledException KMSInvalidState
KMSInvalidStateException KMSNotFound KMSNotFoundException KMSOptInRequired KmsAccessDenied KmsDisabled
KmsInvalidKeyUsage KmsInvalidState KmsNotFound KmsOptInRequired MissingAuthenticationToken NoSuchBucket
NotAuthorized NotFound NotFoundException OptInRequired QueueDeletedRecently QueueDoesNotExist RequestExpired
ResourceNotFound ResourceNotFoundException SignatureDoesNotMatch TableNotFoundException UnauthorizedOperation
UnrecognizedClientException
"""
TRANSIENT_CODES = frozenset(_TRANSIENT.split())
CONFIGURATION_CODES = frozenset(_CONFIGURATION.split())
_CONTENTION = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"})
_TRANSIENT_BOTOCORE = (
    "HTTPClientError",
    "ConnectionError",
    "IncompleteReadError",
    "ResponseStreamingError",
    "ChecksumError",
)
_CONFIGURATION_BOTOCORE = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "NoRegionError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "EndpointProviderError",
)


class RequestFailed(Exception):
    """One entry of a batch call failed inside a successful response.

    Attributes:
        code: the entry's error code, as the service gave it.
        call: the call, where it is known.
    """

    def __init__(self, code: str, message: str, call: Call | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.call = call


def classify(error: BaseException) -> Kind:
    """The kind of a failure. What is not known to be transient or configuration is poison."""
    if isinstance(error, ConfigurationError | ImportError):  # what the package lacks is no fault of a record
        return "configuration"
    if isinstance(error, TransientError | TimeoutError | ConnectionError):
        return "transient"
    if isinstance(error, RequestFailed):
        return _classify_code(error.code, 200)
    exceptions: Any = sys.modules.get("botocore.exceptions")  # what botocore raised, it has imported
    if exceptions is None:
        return "poison"
    if isinstance(error, exceptions.ClientError):
        response = error.response
        code = str(response.get("Error", {}).get("Code", ""))
        if code == "TransactionCanceledException":
            return _classify_reasons(response.get("CancellationReasons") or ())
        return _classify_code(code, int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)))
    if any(isinstance(error, getattr(exceptions, name)) for name in _TRANSIENT_BOTOCORE):
        return "transient"
    if any(isinstance(error, getattr(exceptions, name)) for name in _CONFIGURATION_BOTOCORE):
        return "configuration"
    parsers: Any = sys.modules.get("botocore.parsers")
    if parsers is not None and isinstance(error, parsers.ResponseParserError):  # a proxy's answer, or half of one
        return "transient"
    return "poison"


def _classify_code(code: str, status: int) -> Kind:
    if code in TRANSIENT_CODES or status >= 500 or status == 429:
        return "transient"
    if code in CONFIGURATION_CODES or status in (401, 403):
        return "configuration"
    return "poison"


def _classify_reasons(reasons: Iterable[Mapping[str, Any]]) -> Kind:
    """The kind of a cancelled transaction: transient if contention was the only reason.

    Source: DynamoDB API reference, "TransactWriteItems", cancellation reasons.
    """
    codes = {str(reason.get("Code", "None")) for reason in reasons} - {"None"}
    return "transient" if codes and codes <= _CONTENTION else "poison"


def backoff_s(attempt: int) -> float:
    """Seconds to wait after attempt 1, 2, ...: full jitter, a random part of a bounded exponential.

    Source: AWS Architecture Blog, "Exponential Backoff and Jitter".
    """
    import random  # most functions never wait

    longest = min(settings.RETRY_MAX_MS.read(), settings.RETRY_BASE_MS.read() * 2 ** (attempt - 1))
    return random.uniform(0, longest) / 1000


class Retry:
    """Retries transient failures in place while attempts and time are left.

    Attributes:
        deadline: `time.monotonic()` seconds after which nothing is retried, or None.
        retries: how many retries there were.
    """

    def __init__(self, deadline: float | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.deadline = deadline
        self.retries = 0
        self._sleep = sleep
        self._attempts = settings.RETRY_ATTEMPTS.read()
        self._told = 0

    def again(self, error: BaseException, attempt: int) -> bool:
        """Whether to repeat a call that failed at attempt 1, 2, ...; waits before it returns True."""
        return classify(error) == "transient" and self.pause(attempt, error)

    def pause(self, attempt: int, error: BaseException | None = None, uow: Any = None) -> bool:
        """Wait after attempt 1, 2, ...; return False at once if no attempt or no time is left.

        Args:
            error: what the attempt failed with; the log says so.
            uow: the unit of work that it was for; by default the one that this thread is busy with.
        """
        if attempt >= self._attempts:
            return False
        wait = backoff_s(attempt)
        if self.deadline is not None and time.monotonic() + wait >= self.deadline:
            return False
        self.retries += 1
        if error is not None and self._told < _MOST_TOLD and logger.isEnabledFor(logging.INFO):
            self._told += 1
            self._tell(attempt, wait, error, uow_in_hand() if uow is None else uow)
        if wait:
            self._sleep(wait)
        return True

    def _tell(self, attempt: int, wait_s: float, error: BaseException, uow: Any) -> None:
        """Log what is tried again: rule, event and table stand in the line and in its fields."""
        from stream_runtime.payload.visible import visible

        call = call_of(error)
        names = told(uow, call) or "a call"
        fields = {**names_of(uow), **({"operation": call.operation, "target": call.target} if call else {})}
        text = f"{names}: attempt {attempt} of {self._attempts} failed with {type(error).__name__}: {error}"
        last = " (more retries of this batch are not logged)" if self._told == _MOST_TOLD else ""
        logger.info("%s; again in %.0f ms%s", visible(text), wait_s * 1000, last, extra=fields)

    def call(self, request: Callable[[], T]) -> T:
        """The result of a request, repeated while it fails transiently.

        Raises:
            Exception: what the last attempt raised.
        """
        attempt = 1
        while True:
            try:
                return request()
            except Exception as error:
                if not self.again(error, attempt):
                    raise
                attempt += 1
