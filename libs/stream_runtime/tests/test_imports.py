"""What a cold start pays for: importing the runtime imports no AWS client, no Powertools and no ReactiveX."""

import subprocess
import sys

import pytest


def loaded_after(statements: str) -> set[str]:
    code = f"import sys\n{statements}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    "statements",
    [
        "import stream_runtime",
        "from stream_runtime.flavors import task, collect, evaluate\nfrom stream_runtime.events import from_kinesis",
        "from stream_runtime import stream_handler\nfrom stream_runtime.flavors import task\n"
        "from stream_runtime.events import from_kinesis\n"
        "stream_handler([{'id': 'r', 'flavor': task, 'event_type': 'x', 'execute': len}], from_kinesis)"
        "({'Records': []}, None)",
    ],
)
def test_nothing_is_imported_before_something_needs_it(statements: str) -> None:
    unneeded = {"boto3", "botocore", "aws_lambda_powertools", "urllib3", "reactivex"}

    assert not loaded_after(statements) & unneeded
