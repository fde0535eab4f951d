"""Errors of AWS in what the console asks or does, told to people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from stream_cli.errors import CommandError
from stream_cli.faults.secret_text import redacted_text


@contextlib.contextmanager
def aws_errors_told() -> Iterator[None]:
    """Raise an error of AWS, or of the connection to it, as a `CommandError`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CommandError(redacted_text(str(error))) from error
