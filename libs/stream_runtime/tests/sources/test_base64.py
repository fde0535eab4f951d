"""Base64 means the same with and without pybase64, in small and in large batches."""

import base64
import sys
from binascii import a2b_base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.payload.binary import LARGE, decoder_for

DIGITS = st.text("ABCwxyz0189+/=", max_size=40)
ENCODED = st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
OTHERS = st.sampled_from(["-", "_", "\n", " ", "=", "==", "\u00e9", "\x00", ""])
TEXTS = st.one_of(ENCODED, DIGITS, st.tuples(ENCODED, OTHERS, DIGITS).map("".join))


@given(TEXTS)
def test_what_pybase64_decodes_the_standard_library_decodes_to_the_same(text: str) -> None:
    try:
        decoded = decoder_for(LARGE)(text, None, True)
    except ValueError:
        return
    assert decoded == a2b_base64(text, strict_mode=True)


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("records", [10, LARGE])
def test_a_batch_gives_the_same_events_and_faults(
    records: int, is_installed: bool, bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_installed:
        monkeypatch.setitem(sys.modules, "pybase64", None)
    invocation = to_kinesis_records({"id": f"e{n}", "type": "thing"} for n in range(records))
    for place, data in enumerate(("e30=\n", "e-_=", "\u00e9", "", None, "eyJpZCI6ICJlNSIsICJ0eXBlIjogInRoaW5nIn0=")):
        invocation["Records"][place]["kinesis"]["data"] = data
    taken: list[str] = []
    rule = {"id": "a", "flavor": lambda _: lambda source: source, "event_type": "thing"}

    StreamPipeline(initialize_from([rule]), DEFAULT_OPTIONS).assemble(
        from_kinesis(invocation), on_next=lambda _, uow: taken.append(uow["event"]["id"])
    )

    assert taken == [f"e{n}" for n in range(5, records)]
    assert len(bus.events) == 5


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("records", [1, LARGE])
def test_no_byte_of_the_data_is_passed_over(records: int, is_installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_installed:
        monkeypatch.setitem(sys.modules, "pybase64", None)
    invocation = to_kinesis_records({"id": f"e{n}", "type": "thing"} for n in range(records))
    kinesis = invocation["Records"][0]["kinesis"]
    kinesis["data"] = kinesis["data"][:8] + "*" + kinesis["data"][8:]

    first, *rest = from_kinesis(invocation)

    assert "not base64" in str(first["invalid"])
    assert not [uow for uow in rest if "invalid" in uow]
