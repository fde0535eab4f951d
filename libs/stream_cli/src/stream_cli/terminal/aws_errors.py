"""What errors of AWS mean for whoever runs a command: credentials that have expired, and what a role may not do."""

from __future__ import annotations

from typing import Any

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
"""AWS's codes for credentials that were good before."""

_INVALID = frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"})
_DENIED = frozenset({
    "403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "Forbidden", "KMSAccessDeniedException",
    "NotAuthorized", "UnauthorizedOperation",
})  # fmt: skip
# Of botocore's own errors, by name: some exist in newer versions only.
_NO_CREDENTIALS = frozenset({
    "CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound",
})  # fmt: skip
_LOGGED_OUT = frozenset({
    "LoginRefreshRequired", "LoginTokenLoadError", "SSOError", "SSOTokenLoadError", "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
})  # fmt: skip
_SIGN_IN = "Sign in again, for example with `aws sso login`, or set new keys"


def advice_on(error: BaseException) -> str | None:
    """What to do about an error of AWS or boto3, one line; None where its own text says it."""
    names = {each.__name__ for each in type(error).__mro__}
    if code_of(error) in EXPIRED or names & _LOGGED_OUT:
        return f"The credentials have expired. {_SIGN_IN}."
    if code_of(error) in _INVALID:
        return f"AWS does not know these credentials. {_SIGN_IN}."
    if names & _NO_CREDENTIALS:
        return "There are no credentials for AWS. Set AWS_PROFILE to a profile that has some, or sign in."
    return advice_on(error.__cause__) if error.__cause__ is not None else None


def is_of_aws(error: BaseException) -> bool:
    """Whether an error is an answer of AWS, or of boto3 where there was none."""
    return any(each.__module__ == "botocore.exceptions" for each in type(error).__mro__)


def is_denied(error: BaseException) -> bool:
    """Whether AWS has refused a request because the caller may not make it."""
    return code_of(error) in _DENIED


def code_of(error: BaseException) -> str | None:
    """AWS's code of an error; None for what is no answer of AWS."""
    response: Any = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(found) if found is not None else None


def message_of(error: BaseException) -> str:
    """AWS's message of an error, without the name of the operation before it; the error's text where there is none."""
    response: Any = getattr(error, "response", None)
    found = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
    return str(found or error)
