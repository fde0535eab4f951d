"""An environment in which nothing of this machine's leaks into a test, and no test waits between attempts."""

import logging
import os
from collections.abc import Iterator

import pytest
from stream_runtime import clients

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
    "BUS_NAME": "test-bus",
    "RETRY_BASE_MS": "0",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of every test; clients are built anew in each, so that moto's mocks reach them."""
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clients.reset()
    yield
    clients.reset()
    logging.getLogger("stream_runtime").setLevel(logging.NOTSET)
