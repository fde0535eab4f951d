"""Which failures are tried again, which are returned at once, and which are poison."""

from typing import Any

import botocore.exceptions as aws
import pytest
from botocore.parsers import ResponseParserError
from stream_runtime import ConfigurationError, InvalidSetting, TransientError
from stream_runtime.engine.retry import RequestFailed, Retry, backoff_s, classify


def client_error(code: str, status: int = 400, **response: Any) -> aws.ClientError:
    return aws.ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}, **response}, "Call"
    )


@pytest.mark.parametrize(
    "error",
    [
        client_error("ThrottlingException"),
        client_error("ProvisionedThroughputExceededException"),
        client_error("RequestLimitExceeded"),
        client_error("TransactionConflictException"),
        client_error("SlowDown", 503),
        client_error("RequestTimeout"),
        client_error("OperationAborted", 409),
        client_error("ConditionalRequestConflict", 409),
        client_error("KMS.ThrottlingException"),
        client_error("KmsThrottled"),
        client_error("SomethingNew", 500),
        client_error("SomethingNew", 502),
        client_error("SomethingNew", 429),
        aws.ReadTimeoutError(endpoint_url="u"),
        aws.ConnectTimeoutError(endpoint_url="u"),
        aws.EndpointConnectionError(endpoint_url="u"),
        aws.ConnectionClosedError(endpoint_url="u"),
        aws.ProxyConnectionError(proxy_url="u"),
        aws.SSLError(endpoint_url="u", error="e"),
        aws.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        aws.ResponseStreamingError(error="e"),
        ResponseParserError("Unable to parse response"),
        RequestFailed("InternalFailure", ""),
        RequestFailed("ThrottlingException", "slow"),
        TimeoutError(),
        ConnectionResetError(),
        TransientError(),
    ],
    ids=repr,
)
def test_a_failure_that_may_pass_is_transient(error: Exception) -> None:
    assert classify(error) == "transient"


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException"),
        client_error("AccessDenied", 403),
        client_error("ResourceNotFoundException"),
        client_error("NoSuchBucket", 404),
        client_error("ExpiredTokenException"),
        client_error("UnrecognizedClientException"),
        client_error("AWS.SimpleQueueService.NonExistentQueue"),
        client_error("SomethingNew", 403),
        aws.NoCredentialsError(),
        aws.NoRegionError(),
        aws.EndpointProviderError(msg="m"),
        RequestFailed("AccessDeniedException", ""),
        ConfigurationError(),
        InvalidSetting(),
        ModuleNotFoundError("No module named 'reactivex'", name="reactivex"),
        ImportError("cannot import name"),
    ],
    ids=repr,
)
def test_a_failure_that_someone_has_to_fix_is_configuration(error: Exception) -> None:
    assert classify(error) == "configuration"


@pytest.mark.parametrize(
    "error",
    [
        client_error("ValidationException"),
        client_error("ItemCollectionSizeLimitExceededException"),
        client_error("NoSuchKey", 404),
        client_error("ConditionalCheckFailedException"),
        aws.ParamValidationError(report="r"),
        RequestFailed("MalformedDetail", "no"),
        ValueError(),
        KeyError("a"),
        RecursionError(),
        FileNotFoundError(),
        ZeroDivisionError(),
    ],
    ids=repr,
)
def test_any_other_error_is_poison(error: Exception) -> None:
    assert classify(error) == "poison"


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["None", "TransactionConflict"], "transient"),
        (["ThrottlingError", "None"], "transient"),
        (["ProvisionedThroughputExceeded"], "transient"),
        (["ConditionalCheckFailed", "None"], "poison"),
        (["ValidationError", "ThrottlingError"], "poison"),
        ([], "poison"),
    ],
)
def test_a_cancelled_transaction_is_classified_by_its_reasons(reasons: list[str], kind: str) -> None:
    error = client_error("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in reasons])

    assert classify(error) == kind


class Failing:
    """Fails a number of times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_a_transient_failure_is_tried_again() -> None:
    call = Failing(TransientError(), 3)

    assert Retry(sleep=lambda _: None).call(call) == "answer"
    assert call.calls == 4


@pytest.mark.parametrize("error", [ValueError("bad"), ConfigurationError("missing")])
def test_no_other_failure_is_retried(error: Exception) -> None:
    call = Failing(error, 1)

    with pytest.raises(type(error)):
        Retry(sleep=lambda _: None).call(call)
    assert call.calls == 1


def test_attempts_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "3")
    call = Failing(TransientError(), 9)

    with pytest.raises(TransientError):
        Retry(sleep=lambda _: None).call(call)
    assert call.calls == 3


def test_nothing_is_retried_beyond_the_deadline() -> None:
    call = Failing(TransientError(), 9)

    with pytest.raises(TransientError):
        Retry(deadline=0.0, sleep=lambda _: None).call(call)
    assert call.calls == 1


def test_retries_are_counted() -> None:
    retry = Retry(sleep=lambda _: None)

    retry.call(Failing(TransientError(), 2))

    assert retry.retries == 2


def test_waits_grow_up_to_a_limit_with_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_BASE_MS", "100")
    monkeypatch.setenv("RETRY_MAX_MS", "1000")
    waits = {attempt: [backoff_s(attempt) for _ in range(300)] for attempt in (1, 2, 3, 50)}

    assert max(waits[1]) <= 0.1
    assert 0.1 < max(waits[2]) <= 0.2
    assert 0.2 < max(waits[3]) <= 0.4
    assert 0.8 < max(waits[50]) <= 1.0
    assert all(min(each) < max(each) / 4 for each in waits.values())


def test_each_wait_is_within_its_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_BASE_MS", "100")
    waited: list[float] = []

    Retry(sleep=waited.append).call(Failing(TransientError(), 3))

    assert len(waited) == 3
    assert all(0 <= wait <= 0.1 * 2**number for number, wait in enumerate(waited))
