"""The lean client compared with botocore: generated calls of every operation give the same bytes, results and errors.

Both clients talk to a server on loopback. botocore signs at the time at which the lean client has signed, so that whole
requests are compared, signatures included. ``COMPARED_CALLS=50`` compares more calls of each operation,
``npm run soak -- --calls`` those of every service with AWS's JSON protocols.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from compared_calls import ComparedCalls, compared_calls
from generated_calls import operations_of

CALLS = int(os.environ.get("COMPARED_CALLS", "1"))
SERVICES = ("dynamodb", "events", "kinesis", "firehose", "sqs", "kms", "secretsmanager", "stepfunctions")


@pytest.fixture
def calls(environment: None) -> Iterator[ComparedCalls]:
    with compared_calls() as calls:
        yield calls


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_gives_the_same_request_result_and_error(service: str, calls: ComparedCalls) -> None:
    met: Counter[str] = Counter()
    for number, operation in enumerate(operations_of(service)):
        for seed in range(number, number + CALLS):  # of each two seeds, one has wrong parameters
            outcome = calls.check(operation, seed).outcome
            met[outcome.error[0] if outcome.error else "a response"] += 1

    assert met["a response"] > 0
    assert met["ParamValidationError"] > 0
    assert met["ClientError"] > 0
