"""Errors of AWS say what to do, where their own text does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)
from stream_cli.errors import CommandError
from stream_cli.terminal.aws_errors import advice_on, is_denied, is_of_aws, message_of
from stream_cli.terminal.commands import errors_in_one_line


def answered(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as AWS says"}}, "ListFunctions")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (answered("ExpiredToken"), "The credentials have expired. Sign in again"),
        (answered("ExpiredTokenException"), "The credentials have expired. Sign in again"),
        (UnauthorizedSSOTokenError(), "The credentials have expired. Sign in again"),
        (SSOTokenLoadError(error_msg="x"), "The credentials have expired. Sign in again"),
        (answered("UnrecognizedClientException"), "AWS does not know these credentials. Sign in again"),
        (NoCredentialsError(), "There are no credentials for AWS. Set AWS_PROFILE"),
        (ProfileNotFound(profile="x"), "There are no credentials for AWS. Set AWS_PROFILE"),
    ],
)
def test_what_helps_with_credentials_is_said(error: Exception, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (advice_on(error) or "").startswith(advice)
    with pytest.raises(typer.Exit), errors_in_one_line():
        raise error
    said, helps = capsys.readouterr().err.splitlines()
    assert said == str(error)
    assert helps.startswith(f"  {advice}")


def test_an_error_about_a_file_begins_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), errors_in_one_line():
        (tmp_path / "events.json").read_text()
    assert capsys.readouterr().err == f"{tmp_path / 'events.json'}: No such file or directory\n"


def test_an_error_that_another_one_has_led_to_has_its_advice() -> None:
    error = CommandError("There is no account to work on.")
    error.__cause__ = answered("ExpiredToken")
    assert advice_on(error) is not None


def test_other_errors_speak_for_themselves() -> None:
    assert advice_on(answered("ThrottlingException")) is None
    assert advice_on(OSError("no")) is None
    assert is_denied(answered("AccessDeniedException"))
    assert not is_denied(answered("ExpiredToken"))
    assert is_of_aws(answered("x"))
    assert is_of_aws(NoCredentialsError())
    assert not is_of_aws(OSError("no"))
    assert message_of(answered("x")) == "as AWS says"
