"""What a simulated service answers with when it does not do what it is asked."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


class Refusal(Exception):
    """An error that a service answers with.

    Attributes:
        status: the HTTP status.
        code: the error's code, such as ``"ConditionalCheckFailedException"``.
        more: further members of the answer, such as the Item of a failed condition.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more

    def as_client_error(self, operation: str) -> ClientError:
        """The error as botocore raises it; `operation` is the API's name, such as ``"PutItem"``."""
        response: Any = {
            "Error": {"Code": self.code, "Message": str(self)},
            "ResponseMetadata": {"HTTPStatusCode": self.status},
            **self.more,
        }
        return ClientError(response, operation)
