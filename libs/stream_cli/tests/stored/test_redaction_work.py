"""The work of redaction grows with the size of a fault, not with its square, whatever an attacker puts into it."""

import base64
import gc
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sample_sizes import part_of
from stream_cli.faults.redaction import TOO_DEEP, readable
from stream_cli.faults.secret_text import redacted_text
from stream_runtime.payload.compression import compressed

MB = 1024 * 1024
SMALL, LARGE = MB // 256, MB // 32
SHORT_S = 0.1  # of so little, nobody can say how it grows


def repeated(*parts: str) -> Callable[[int], str]:
    """The parts again and again, the last one once at the end."""
    *unit, end = parts
    return lambda size: "".join(unit) * (size // len("".join(unit))) + end


TEXTS = {
    "the text of the issue": repeated("passw", ""),
    "names without a value": repeated("password ", ""),
    "one long name": repeated("x", "password"),
    "names in camels": repeated("passWord", "="),
    "equals": repeated("password=", ""),
    "colons": repeated("password:", ""),
    "only equals": repeated("=", ""),
    "blanks behind a name": lambda size: "password" + " " * size,
    "names and blanks": repeated("password" + " " * 50, ""),
    "lines behind names": repeated("password:\n\n\n", ""),
    "quotes": repeated("'", ""),
    "both quotes": repeated("\"'", ""),
    "open quotes": repeated("password='", ""),
    "open escaped quotes": repeated('password=\\"', ""),
    "quotes that do not close": repeated('value:"\\"', ""),
    "names of pairs": repeated("name: password, ", ""),
    "pairs that do not close": repeated('"value": "x\\', ""),
    "quoted names in a list": repeated("['password', 'a\\'", ""),
    "backslashes": repeated("\\", '"password"'),
    "backslashes behind names": repeated("password\\\\\\\\", ""),
    "backslashes in values": repeated("password=\\n\\", ""),
    "braces": repeated("{", ""),
    "names of objects": repeated("password={", ""),
    "objects with quotes": repeated("token={'\\'", ""),
    "brackets": repeated("token=[", "]"),
    "closing brackets": repeated("password=])}", ""),
    "commas": repeated("password=a,", ""),
    "only commas": lambda size: "password=" + "," * size,
    "ampersands": repeated("password=a&b", ""),
    "words and ampersands": lambda size: "password=" + ("&" + "a" * 64) * (size // 65),
    "bearers": repeated("Bearer ", ""),
    "bearers with tokens": repeated("Bearer a1", ""),
    "bearers in a header": repeated("Authorization: Bearer ", ""),
    "headers with commas": lambda size: "Authorization: " + ", a" * (size // 3),
    "cookies with quotes": repeated('Cookie: a="', ""),
    "digests": repeated("Digest a", ""),
    "eyJ": repeated("eyJ", ""),
    "eyJ and dots": repeated("eyJ.", ""),
    "eyJ and blanks": repeated("eyJ" + "a" * 40 + " ", ""),
    "base64 in base64": lambda size: base64_of_base64(size),
    "AKIA": repeated("AKIA", ""),
    "keys of AWS": repeated("AKIA" + "A" * 16 + ",", ""),
    "private keys that begin": repeated("-----BEGIN PRIVATE KEY-----", ""),
    "keys that begin": repeated("-----BEGIN ", ""),
    "hyphens": repeated("-", ""),
    "schemes": repeated("a://", ""),
    "users": repeated("a://b:", "@"),
    "ats": repeated("a://b@", ""),
    "many ats": repeated("a://b:c/@", ""),
    "percent signs": repeated("%25", "22password"),
    "encoded names": repeated("%22password%22%3A%22", ""),
    "numbers": lambda size: "card number: " + "4111 " * (size // 5),
    "inputs of pydantic": repeated("input_value='", ""),
    "cut inputs of pydantic": repeated("input_value=..., input_type=", ""),
    "options": repeated("--password ", ""),
    "tags": repeated("<password>", ""),
    "names before a word": repeated("api key", ""),
    "lines": repeated("\n", ""),
    "places of code": repeated('  File "a", line 1\n    password = "x"\n', ""),
    "spaces before a place": lambda size: " " * size + 'File "',
    "other letters": repeated("пароль密码", ""),
    "surrogates": repeated("\ud800", "password=x"),
    "words": repeated("password is not what it was, said ", ""),
}


def base64_of_base64(size: int) -> str:
    text = '{"a": 1}'
    while len(text) < size:
        text = base64.b64encode(f'{{"a": "{text}"}}'.encode()).decode()
    return text[:size]


FAULTS: dict[str, Callable[[int], Any]] = {
    "nested objects": lambda size: [nested(300)] * (size // 2400),
    "JSON nested deeper than Python goes": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "JSON in JSON": lambda size: json_in_json(size),
    "many secrets": lambda size: {"password": [f"secret-{number}" for number in range(size // 10)]},
    "secrets that begin alike": lambda size: {"token": ["a" * length for length in range(4, 4 + int(size**0.5))]},
    "a long secret": lambda size: {"password": "a" * size + "b"},
    "pairs": lambda size: [{"name": "password", "value": "hunter2"}] * (size // 20),
    "a list of names": lambda size: ["Authorization", "x"] * (size // 16),
    "base64": lambda size: {"kinesis": {"data": base64.b64encode(b"password=" * (size // 9)).decode()}},
    "bytes": lambda size: {"blob": base64.b64encode(b"\xffpassword=" * (size // 10)).decode()},
    "long names": lambda size: {"passw" * (size // 5): 1, "x" * size: "y"},
}


def nested(levels: int) -> Any:
    return json.loads('{"secrets":' * levels + "1" + "}" * levels)


def json_in_json(size: int) -> str:
    text = json.dumps({"user": "ada", "password": "hunter2"})
    while len(text) < size:
        text = json.dumps([text])
    return text


def seconds(work: Callable[[], Any]) -> float:
    """Of the processor, without the collections of garbage: these take longer the more other tests have left."""
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()


def assert_linear(name: str, given: Callable[[int], Any], work: Callable[[Any], Any]) -> None:
    """Eight times the size takes about eight times as long; of a square it would be sixty-four times."""
    small, large = given(SMALL), given(LARGE)
    times = []
    for _ in range(3):
        times.append((seconds(lambda: work(small)), seconds(lambda: work(large))))
        if times[-1][1] < max(20 * times[-1][0], SHORT_S):
            return
    raise AssertionError(f"{name}: seconds for {SMALL} and {LARGE} characters: {times}")


def test_the_time_for_a_text_grows_with_its_length() -> None:
    for name, given in part_of(TEXTS.items()):
        assert_linear(name, given, redacted_text)


def test_the_time_for_a_fault_grows_with_its_size() -> None:
    def fault(given: Callable[[int], Any], size: int) -> dict[str, Any]:
        record = given(size)
        return {"id": "f", "err": {"name": "E", "message": "a" * size, "stack": str(record)}, "uow": {"record": record}}

    for name, given in part_of(FAULTS.items()):
        assert_linear(name, partial(fault, given), readable)


def test_a_megabyte_of_everything_is_redacted_in_seconds() -> None:
    text = "\n".join(make(MB // len(TEXTS)) for make in TEXTS.values())
    assert len(text) > MB * 0.9
    assert seconds(lambda: readable({"id": "f", "err": {"message": text, "stack": text}, "uow": {"record": text}})) < 15


def test_the_text_of_the_issue_at_a_megabyte() -> None:
    assert seconds(lambda: redacted_text("passw" * (MB // 5))) < 5


def test_what_is_nested_too_deeply_is_left_out() -> None:
    shown = readable({"id": "f", "uow": {"record": {"it": json.loads('{"a":' * 500 + '"hunter2"' + "}" * 500)}}})
    text = json.dumps(shown)
    assert TOO_DEEP in text
    assert "hunter2" not in text


def test_compressed_fields_in_compressed_fields_are_opened_up_to_a_size() -> None:
    bomb: Any = {"a": " " * 1_000_000}
    for _ in range(4):
        bomb = {"b": [compressed(bomb, 1)] * 100}  # 100 TB in all, in a few hundred bytes
    record = {"body": json.dumps({"id": "e1", "password": "opensesame-42", **compressed(bomb, 1)})}

    began = time.process_time()
    shown = json.dumps(readable({"id": "f1", "uow": {"record": record}}))

    assert time.process_time() - began < 5
    assert "opensesame" not in shown
    assert len(shown) < 20_000_000
