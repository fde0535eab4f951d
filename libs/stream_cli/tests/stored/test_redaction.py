"""Faults are shown decoded and without secrets."""

import base64
import json

import pytest
from stream_cli.faults.redaction import REDACTED, readable
from stream_runtime.events import to_firehose_records, to_kinesis_records, to_sns_records, to_sqs_records
from stream_runtime.payload.compression import compressed

CUSTOMER = {"id": "c-1", "type": "customer-joined", "customer": {"email": "ada@example.com", "apiKey": "key-12345"}}


def fault(record, message="no", stack="", **uow):
    return {"id": "f", "err": {"name": "E", "message": message, "stack": stack}, "uow": {"record": record, **uow}}


@pytest.mark.parametrize(
    "record",
    [
        to_kinesis_records([CUSTOMER])["Records"][0],
        to_kinesis_records([compressed(CUSTOMER, 10)])["Records"][0],
        to_sns_records([CUSTOMER])["Records"][0],
        to_sqs_records([CUSTOMER])["Records"][0],
        to_firehose_records([CUSTOMER])["records"][0],
        {"body": json.dumps({"Type": "Notification", "Message": json.dumps(CUSTOMER)})},
        {"dynamodb": {"NewImage": {"email": {"S": "ada@example.com"}, "apiKey": {"S": "key-12345"}}}},
    ],
)
def test_secrets_are_hidden_however_a_record_is_encoded(record):
    shown = json.dumps(readable(fault(record)))
    assert "ada@example.com" not in shown
    assert "key-12345" not in shown
    assert shown.count(REDACTED) >= 2


def test_other_values_are_shown_decoded():
    record = to_kinesis_records([CUSTOMER])["Records"][0]
    data = readable(fault(record))["uow"]["record"]["kinesis"]["data"]
    assert (data["id"], data["customer"]["email"]) == ("c-1", REDACTED)


def test_data_that_cannot_be_decoded_is_shown_as_it_is():
    for data in ("no base64!", base64.b64encode(b"\xff\xfe").decode()):
        assert readable(fault({"kinesis": {"data": data}}))["uow"]["record"]["kinesis"]["data"] == data


def test_an_error_that_quotes_a_secret_of_its_record_is_shown_without_it():
    record = to_kinesis_records([CUSTOMER])["Records"][0]
    text = "'ada@example.com' is not a number"
    err = readable(fault(record, message=text, stack=f"Traceback\nValueError: {text}"))["err"]
    assert err["message"] == f"'{REDACTED}' is not a number"
    assert "ada@example.com" not in err["stack"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2, user=ada", f"password={REDACTED}, user=ada"),
        ("{'email': 'a b@c', 'id': 1}", f"{{'email': {REDACTED}, 'id': 1}}"),
        ('{"access_token": "t", "id": 1}', f'{{"access_token": {REDACTED}, "id": 1}}'),
        ("KeyError: 'email'", "KeyError: 'email'"),
    ],
)
def test_a_secret_in_the_text_of_an_error_is_found_by_its_name(text, shown):
    assert readable(fault({}, message=text))["err"]["message"] == shown


def test_source_code_in_a_stack_stays():
    stack = 'Traceback\n  File "a.py", line 1, in f\n    token = read(event)\nValueError: token=abc'
    assert readable(fault({}, stack=stack))["err"]["stack"].split("\n")[2:] == [
        "    token = read(event)",
        f"ValueError: token={REDACTED}",
    ]
