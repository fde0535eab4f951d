"""The format of field encryption: recorded vectors, a second implementation on Node.js, and attacks."""

import copy
import json
import subprocess
from base64 import b64decode, b64encode
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_runtime.payload import codec
from stream_runtime.payload.encryption import (
    HEADER,
    MARK,
    DataKey,
    check_bound,
    decrypted,
    encrypted,
    header_of,
    is_encrypted,
    is_path,
)

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "vectors" / "field_encryption.json").read_text())
MOST = 16_777_216
KEY = DataKey(bytes(range(32)), {"us-east-1": b"wrapped in us-east-1", "eu-west-1": b"wrapped in eu-west-1"})
BOUND = ("id", "type", "partition_key")
EVENT = {
    "id": "e1",
    "type": "order-placed",
    "timestamp": 1548967022000,
    "partition_key": "o1",
    "order": {"id": "o1", "email": "ada@example.org", "lines": [{"card": "4111", "sku": "a"}, {"card": "4222"}]},
}
FIELDS = ("order.email", "order.lines.*.card")


def opened(value: Any, key: bytes = KEY.plaintext, most: int = MOST) -> dict[str, Any]:
    header = header_of(value)
    check_bound(value, header)
    return decrypted(value, header, key, most)


def closed(value: Any = EVENT, fields: Any = FIELDS, bound: Any = BOUND) -> dict[str, Any]:
    return encrypted(value, fields, bound, KEY)


def in_node(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    script = HERE / "harness" / "field_encryption.mjs"
    done = subprocess.run(["node", script], input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Given:
    """Random bytes that have been recorded."""

    def __init__(self, texts: list[str]) -> None:
        self.left = [b64decode(text) for text in texts]

    def __call__(self, size: int) -> bytes:
        data = self.left.pop(0)
        assert len(data) == size
        return data


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_a_recorded_object_is_decrypted_and_encrypted_to_the_same_bytes(vector: dict[str, Any]) -> None:
    key = DataKey(b64decode(vector["key"]), {name: b64decode(each) for name, each in vector["wrapped"].items()})
    assert opened(vector["encrypted"], key.plaintext) == vector["object"]
    made = encrypted(vector["object"], vector["fields"], vector["bound"], key, Given(vector["random"]))
    assert made == vector["encrypted"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_a_recorded_object_that_was_changed_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=vector["error"]):
        opened(vector["encrypted"], b64decode(vector["key"]))


def test_the_second_implementation_agrees_with_every_vector() -> None:
    valid = VECTORS["valid"]
    asked = [{"do": "decrypt", "object": each["encrypted"], "key": each["key"]} for each in valid]
    asked += [{"do": "encrypt", **each} for each in valid]
    asked += [{"do": "decrypt", "object": each["encrypted"], "key": each["key"]} for each in VECTORS["refused"]]
    answers = in_node(asked)
    assert [each.get("value") for each in answers[: len(valid)]] == [each["object"] for each in valid]
    assert [each.get("value") for each in answers[len(valid) : 2 * len(valid)]] == [each["encrypted"] for each in valid]
    assert all("error" in each for each in answers[2 * len(valid) :])


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "c"])
OBJECTS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)
PATHS = st.builds(lambda first, rest: ".".join([first, *rest]), NAMES, st.lists(NAMES | st.just("*"), max_size=3))


@settings(deadline=None)
@given(st.dictionaries(NAMES, OBJECTS, max_size=3), st.lists(PATHS, min_size=1, max_size=4), TEXTS)
def test_what_is_encrypted_comes_back_and_nothing_of_it_shows(value: Any, fields: list[str], id_: str) -> None:
    whole = {**value, "id": id_}
    before = copy.deepcopy(whole)
    made = encrypted(whole, fields, ("id",), KEY)
    assert whole == before
    assert not is_encrypted(whole)
    if not is_encrypted(made):
        assert made == whole
        return
    assert opened(made) == whole
    assert opened(json.loads(json.dumps(made))) == whole


def test_generated_objects_mean_the_same_to_the_second_implementation() -> None:
    made: list[tuple[Any, Any]] = []

    @settings(deadline=None, max_examples=60, database=None)
    @given(st.dictionaries(NAMES, OBJECTS, max_size=3), st.lists(PATHS, min_size=1, max_size=4), TEXTS)
    def collect(value: Any, fields: list[str], id_: str) -> None:
        whole = {**value, "id": id_}
        encrypted_ = encrypted(whole, fields, ("id",), KEY)
        if is_encrypted(encrypted_):
            made.append((whole, encrypted_))

    collect()
    assert made
    key = b64encode(KEY.plaintext).decode()
    answers = in_node([{"do": "decrypt", "object": each, "key": key} for _, each in made])
    assert [each.get("value") for each in answers] == [whole for whole, _ in made]


def test_fields_are_encrypted_where_they_stand_and_the_rest_stays_readable() -> None:
    made = closed()
    assert made["order"]["id"] == "o1"
    assert made["order"]["lines"][0]["sku"] == "a"
    assert made["order"]["email"].startswith(MARK)
    assert [line["card"][: len(MARK)] for line in made["order"]["lines"]] == [MARK, MARK]
    text = json.dumps(made)
    assert not any(secret in text for secret in ("ada", "4111", "4222"))
    assert opened(made) == EVENT


@pytest.mark.parametrize("changed", [{"id": "e2"}, {"type": "order-cancelled"}, {"partition_key": "o2"}])
def test_the_fields_of_one_event_do_not_pass_for_those_of_another(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is of another object"):
        opened({**closed(), **changed})
    own = [[name, changed.get(name, value)] for name, value in closed()[HEADER]["bound"]]
    forged = {**(made := closed()), **changed, HEADER: {**made[HEADER], "bound": own}}
    with pytest.raises(ValueError, match="do not belong together"):
        opened(forged)


def test_a_copy_in_another_event_is_decrypted_where_that_is_asked_for() -> None:
    copy_ = {**closed(), "id": "e2", "type": "order-reported"}
    assert decrypted(copy_, header_of(copy_), KEY.plaintext, MOST) == {**EVENT, "id": "e2", "type": "order-reported"}


def test_values_do_not_change_places() -> None:
    made = closed()
    first, second = made["order"]["lines"]
    made["order"]["lines"] = [{**first, "card": second["card"]}, {**second, "card": first["card"]}]
    with pytest.raises(ValueError, match=r"field 'order\.lines\.0\.card' is damaged, or from another place"):
        opened(made)


def test_a_value_of_another_object_with_the_same_data_key_is_refused() -> None:
    made, other = closed(), closed({**EVENT, "id": "e2"})
    made["order"]["email"] = other["order"]["email"]
    with pytest.raises(ValueError, match=r"field 'order\.email' is damaged"):
        opened(made)
    with pytest.raises(ValueError, match="is of another object"):
        opened({**made, HEADER: other[HEADER]})


def test_plain_text_in_place_of_an_encrypted_value_is_refused() -> None:
    made = closed()
    made["order"]["email"] = "eve@example.org"
    with pytest.raises(ValueError, match=r"field 'order\.email' is damaged: it is not encrypted"):
        opened(made)


@pytest.mark.parametrize("member", ["fields", "bound", "salt", "commitment"])
def test_a_header_that_was_changed_is_refused_before_any_path_is_followed(member: str) -> None:
    made = closed()
    other = {"fields": ["order"], "bound": [["id", "e1"]], "salt": b64encode(bytes(16)).decode()}
    header = {**made[HEADER], member: other.get(member, b64encode(bytes(32)).decode())}
    with pytest.raises(ValueError, match="do not belong together"):
        opened({**made, HEADER: header})


def test_every_byte_of_a_value_counts() -> None:
    made = encrypted({"id": "e", "a": "x"}, ["a"], ["id"], KEY)
    data = b64decode(made["a"][len(MARK) :])
    for place in range(len(data)):
        for cut in (data[:place], data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]):
            with pytest.raises(ValueError, match="field 'a' is damaged"):
                opened({**made, "a": MARK + b64encode(cut).decode()})


@pytest.mark.parametrize(
    "text", [MARK, MARK + "=", MARK + "A", MARK + "é", MARK + "A" * 1_000_001, "ENCRYPTE", "", 5, True, [], {}]
)
def test_what_is_no_encrypted_value_is_refused_by_its_place(text: Any) -> None:
    with pytest.raises(ValueError, match=r"field 'order\.email' is damaged") as error:
        opened({**(made := closed()), "order": {**made["order"], "email": text}})
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "header",
    [
        {"v": 2},
        {"v": True},
        {"v": 1},
        {"fields": []},
        {"fields": "order.email"},
        {"fields": ["*"]},
        {"fields": ["a." * 40 + "a"]},
        {"fields": ["a"] * 65},
        {"fields": [5]},
        {"fields": ["a" * 1025]},
        {"bound": "id"},
        {"bound": [None]},
        {"bound": [["id"]]},
        {"bound": [["id", 0.5]]},
        {"bound": [["id", ["e1"]]]},
        {"bound": [[5, "e1"]]},
        {"keys": {}},
        {"keys": []},
        {"keys": {"us-east-1": 5}},
        {"keys": {"us-east-1": "not base64"}},
        {"keys": {"us-east-1": "A" * 8196}},
        {"keys": {str(number): "AAAA" for number in range(9)}},
        {"salt": "AAAA"},
        {"commitment": None},
        {"more": 1},
    ],
)
def test_a_header_of_another_form_is_refused(header: dict[str, Any]) -> None:
    whole = {HEADER: header if header == {"v": 1} else {**closed()[HEADER], **header}}
    with pytest.raises(ValueError, match=r"encryption|bound to it") as error:
        header_of(whole)
    assert len(str(error.value)) < 400


def test_another_data_key_is_refused_by_the_commitment() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        opened(closed(), bytes(32))


def test_data_keys_do_not_show_in_a_representation() -> None:
    assert repr(KEY) == "DataKey(wrapped for us-east-1, eu-west-1)"


def test_no_error_tells_what_was_decrypted() -> None:
    secret = "a secret that is no JSON: "
    made = encrypted({"id": "e", "a": secret}, ["a"], ["id"], KEY)
    deep = codec.encode("x")
    for _ in range(codec.MOST_LEVELS):
        deep = f"[{deep}]"
    nested = encrypted({"id": "e", "a": codec.decode(deep)}, ["a"], ["id"], KEY)
    assert opened(made)["a"] == secret
    with pytest.raises(ValueError, match="field 'a' holds no JSON of at most 200 levels") as error:
        opened(nested)
    assert "xx" not in str(error.value)


def test_levels_count_from_the_object_down() -> None:
    inner: Any = "x"
    for _ in range(codec.MOST_LEVELS - 3):
        inner = [inner]
    fits = {"id": "e", "a": {"b": inner}}
    assert opened(encrypted(fits, ["a.b"], ["id"], KEY)) == fits
    with pytest.raises(ValueError, match="holds no JSON"):
        opened(encrypted({"id": "e", "a": {"b": [[inner]]}}, ["a.b"], ["id"], KEY))


def test_a_wildcard_over_thousands_of_members() -> None:
    event = {"id": "e", "people": [{"name": f"name {number}"} for number in range(5000)]}
    made = encrypted(event, ["people.*.name"], ["id"], KEY)
    assert len({person["name"] for person in made["people"]}) == 5000
    assert opened(made) == event


def test_encrypted_values_count_as_others_do() -> None:
    event = {"id": "e", "a": [0] * 5000}
    made = encrypted(event, ["a"], ["id"], KEY)
    with pytest.raises(ValueError, match="the encrypted fields: there are more than 1024 values"):
        opened(made, most=1024)


def test_the_same_value_looks_different_each_time() -> None:
    assert closed()["order"]["email"] != closed()["order"]["email"]
    assert closed()[HEADER]["salt"] != closed()[HEADER]["salt"]


@pytest.mark.parametrize(
    "value", [{"id": "e"}, {"id": "e", "a": None}, {"id": "e", "a": {"b": None}}, {"id": "e", "a": 5}]
)
def test_without_a_field_to_encrypt_there_is_no_header(value: dict[str, Any]) -> None:
    assert encrypted(value, ["a.b", "b"], ["id"], KEY) == value


def test_the_outermost_of_overlapping_paths_counts() -> None:
    event = {"id": "e", "a": {"b": {"c": 1}}}
    made = encrypted(event, ["a.b.c", "a.b", "a.*.c"], ["id"], KEY)
    assert made["a"]["b"].startswith(MARK)
    assert opened(made) == event


def test_numbers_of_dynamodb_are_bound_and_encrypted_as_numbers() -> None:
    row = {"pk": Decimal(5), "sk": "thing", "price": Decimal("1.5")}
    assert opened(encrypted(row, ["price"], ["pk", "sk"], KEY)) == {**row, "price": 1.5}
    with pytest.raises(ValueError, match="'pk' is neither a text nor a whole number"):
        encrypted({**row, "pk": Decimal("0.5")}, ["price"], ["pk"], KEY)


def test_an_encrypted_object_is_not_encrypted_again() -> None:
    with pytest.raises(ValueError, match="has a field 'encryption' already"):
        closed(closed())


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "*", "*.a", "encryption", "encryption.keys", "a." * 32 + "a", 5])
def test_what_is_no_path_is_refused(path: Any) -> None:
    assert not is_path(path)
    with pytest.raises(ValueError, match="these are no paths"):
        closed(fields=[path])
