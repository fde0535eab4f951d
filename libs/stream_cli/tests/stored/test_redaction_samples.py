"""Two hundred texts and values: no secret is shown, and what is none stays readable."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from stream_cli.faults.redaction import REDACTED, readable
from stream_cli.faults.secret_text import redacted_text

SAMPLES = yaml.safe_load(Path(__file__).with_name("secret_samples.yml").read_text(encoding="utf-8"))
# Made here, so that the file has nothing that a scanner of secrets would report.
BODY = "\n".join(["FAKE" * 16] * 3)
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"
FILLED = {
    "{jwt}": ".".join(["eyJGQUtFIjoiRkFLRSJ9", "eyJGQUtFIjoiRkFLRSJ9", "FAKE" * 5]),
    "{pem}": PEM,
    "{escaped_pem}": PEM.replace("\n", "\\n"),
    "{open_pem}": PEM[:120],
    **{f"{{known:{prefix}}}": prefix + "FAKE0" * 8 for prefix in ("ghp_", "xoxb-", "sk_live_")},
}


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: filled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each) for each in value]
    if isinstance(value, str):
        for placeholder, text in FILLED.items():
            value = value.replace(placeholder, text)
    return value


def shown(value: Any) -> str:
    """A sample as `faults show` prints it, in a record and, if it is a text, in the message of the error."""
    message = value if isinstance(value, str) else ""
    fault = {"id": "f", "err": {"name": "E", "message": message, "stack": message}, "uow": {"record": {"it": value}}}
    made = readable(fault)
    if isinstance(value, str):
        alone = readable({**fault, "uow": {}})["err"]
        assert alone["message"] == alone["stack"] == redacted_text(value)
        return f"{alone['message']}\n{json.dumps(made, ensure_ascii=False)}"
    return json.dumps(made["uow"], ensure_ascii=False)


def test_there_are_200_samples() -> None:
    assert len(SAMPLES["secret"]) >= 100
    assert len(SAMPLES["plain"]) >= 100


@pytest.mark.parametrize("sample", [filled(each) for each in SAMPLES["secret"]], ids=lambda each: str(each["in"])[:40])
def test_a_secret_is_hidden_and_the_rest_stays(sample: dict[str, Any]) -> None:
    text = shown(sample["in"])

    assert [secret for secret in sample["hides"] if secret in text] == []
    assert [each for each in sample["shows"] if each not in text and json.dumps(each)[1:-1] not in text] == []
    assert REDACTED in text


@pytest.mark.parametrize("sample", SAMPLES["plain"], ids=lambda each: str(each)[:40])
def test_what_is_no_secret_stays(sample: Any) -> None:
    made = readable({"id": "f", "err": {"message": str(sample)}, "uow": {"record": {"it": sample}}})

    assert json.dumps(made).count(REDACTED) == 2 * json.dumps(sample).count(REDACTED)
    if isinstance(sample, str):
        assert made["err"]["message"] == sample
    else:
        assert made["uow"]["record"]["it"] == sample
