"""What botocore would raise: exceptions by error code, and what they carry. botocore is imported when one is raised.

Source: botocore's parsers.py (`JSONParser`), errorfactory.py, and retries/special.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import models
from .connections import Response
from .shapes import Parsers, Unusual, check

_CLOCK_CODES = frozenset(
    {
        *("AuthFailure", "InvalidSignatureException", "RequestExpired", "RequestInTheFuture"),
        *("RequestTimeTooSkewed", "SignatureDoesNotMatch"),
    }
)
_CLOCK_TOLERANCE_S = 240
"""AWS refuses requests that are five minutes off; less is not the reason."""


class ClientExceptions:
    """The exceptions of a service, by name and by code.

    Args:
        service: as boto3 names it.
        errors: shapes by their codes.
    """

    def __init__(self, service: str, errors: Mapping[str, str]) -> None:
        from botocore.exceptions import ClientError

        self.ClientError = ClientError
        self._service = service
        self._by_name: dict[str, Any] = {name: type(name, (ClientError,), {}) for name in errors.values()}
        self._by_code = {code: self._by_name[name] for code, name in errors.items()}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_by_name"][name]
        except KeyError:
            raise AttributeError(f"the exceptions of {self.__dict__.get('_service')} have no {name}") from None

    def from_code(self, code: str | None) -> Any:
        """The class for an error code."""
        return self._by_code.get(code or "", self.ClientError)

    def of_answer(self, answer: Mapping[str, Any], operation: str) -> Exception:
        """The exception of an answer of AWS."""
        error = answer["Error"]
        code = error.get("QueryErrorCode") if self._service == "sqs" else None
        raised: Exception = self.from_code(code or error.get("Code"))(answer, operation)
        return raised


def answer_of(response: Response, model: models.ServiceModel, parsers: Parsers) -> dict[str, Any]:
    """What botocore makes of a response that is an error."""
    metadata = metadata_of(response)
    text = response.body.strip()
    if response.status >= 500 and (not text or text.startswith(b"<html>")):
        metadata.pop("RequestId", None)
        return {
            "Error": {"Code": str(response.status), "Message": _phrase(response.status)},
            "ResponseMetadata": metadata,
        }
    body = _error_body(response.body)
    error = {"Message": body.get("message", body.get("Message", "")), "Code": _code_of(body, response.status)}
    kind, _, fault = response.headers.get("x-amzn-query-error", "").partition(";")
    if kind and fault and ";" not in fault:
        error |= {"QueryErrorCode": error["Code"], "Type": fault, "Code": kind}
    answer = {"Error": error, "ResponseMetadata": metadata}
    shape = model.errors().get(error["Code"])
    if shape is not None:
        try:
            check(model.shapes, shape)
        except Unusual:
            return answer | _parsed_by_botocore(response, model.service, shape)
        parse = parsers.of(shape)
        if parse is not None:
            try:
                answer.update(parse(body))
            except (ValueError, AttributeError, TypeError):
                return answer  # what failed is told by its code; members of other types than the model's are not
    return answer


def _parsed_by_botocore(response: Response, service: str, shape: str) -> dict[str, Any]:
    """The members of an error with traits that are not known here."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.parsers import create_parser

    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    raw = {"body": response.body, "headers": response.headers, "status_code": response.status}
    parsed: dict[str, Any] = create_parser("json").parse(raw, model.shape_for(shape))
    return {name: value for name, value in parsed.items() if name not in ("Error", "ResponseMetadata")}


def _error_body(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        parsed = json.loads(body.decode())
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {"message": body.decode(errors="replace")}


def _code_of(body: Mapping[str, Any], status: int) -> str:
    """``com.amazonaws.dynamodb.v20120810#X`` and ``X:http://...`` are X."""
    named = body.get("__type", status)
    return "" if named is None else str(named).partition(":")[0].rpartition("#")[2]


def _phrase(status: int) -> str:
    from http import HTTPStatus

    return next((each.phrase for each in HTTPStatus if each == status), "")


def metadata_of(response: Response) -> dict[str, Any]:
    """ResponseMetadata, as of a botocore client that makes one attempt."""
    metadata: dict[str, Any] = {}
    request_id = response.headers.get("x-amzn-requestid")
    if request_id is not None:
        metadata["RequestId"] = request_id
    metadata["HTTPStatusCode"] = response.status
    metadata["HTTPHeaders"] = response.headers
    metadata["MaxAttemptsReached"] = True
    metadata["RetryAttempts"] = 0
    return metadata


def time_of_refusal(answer: Mapping[str, Any], response: Response, signed_at: float) -> float | None:
    """AWS's time, if it refused a request that was signed at another: by the error code and the Date of its answer."""
    date = response.headers.get("date")
    if answer["Error"]["Code"] not in _CLOCK_CODES or not date:
        return None
    from email.utils import parsedate_to_datetime

    try:
        refused_at = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    return refused_at if abs(refused_at - signed_at) > _CLOCK_TOLERANCE_S else None


def wrong_checksum(expected: str, actual: int) -> Exception:
    """For a response of DynamoDB that was damaged on its way."""
    from botocore.exceptions import ChecksumError

    return ChecksumError(checksum_type="crc32", expected_checksum=expected, actual_checksum=str(actual))


def unreadable(url: str, error: Exception) -> Exception:
    """For a success that is not the JSON of its operation. botocore takes it for an empty response."""
    from botocore.exceptions import HTTPClientError

    return HTTPClientError(error=f"{url} answered what is not the response of the operation: {error}")
