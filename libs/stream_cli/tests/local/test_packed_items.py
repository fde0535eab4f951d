"""Items that are packed are read, changed and copied as a dict of dicts is."""

from __future__ import annotations

import copy
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

from stream_cli.local.emulator.packed_items import PackedItems


def item(n: int) -> dict[str, Any]:
    return {
        "pk": {"S": f"id {n}"},
        "text": {"S": "\ud800é"},
        "of": {"M": {"n": {"N": "1.50"}, "l": {"L": [{"B": "AA=="}]}}},
    }


def test_they_are_a_dict_whatever_is_done_to_them() -> None:
    chance, packed, plain = random.Random(1), PackedItems(), dict[Any, Any]()
    for n in range(500):
        key = chance.choice(["a", "b", ("c", 1), "__no_sort__"])
        match chance.randrange(5):
            case 0 | 1:
                packed[key] = plain[key] = item(n)
            case 2:
                assert packed.pop(key, None) == plain.pop(key, None)
            case 3:
                assert packed.setdefault(key, item(n)) == plain.setdefault(key, item(n))
            case 4:
                packed = copy.deepcopy(packed)
        assert packed.get(key) == plain.get(key)
        assert (key in packed, packed.get(key, "none")) == (key in plain, plain.get(key, "none"))
        assert list(packed.items()) == list(plain.items())
        assert list(packed.values()) == list(plain.values())
        assert (list(packed), len(packed)) == (list(plain), len(plain))
    assert dict(packed) == plain


def test_what_a_reader_does_to_an_item_or_to_a_copy_is_not_stored() -> None:
    packed = PackedItems()
    packed["a"] = item(1)
    packed["a"]["pk"]["S"] = "changed"
    packed.setdefault("a", {})["more"] = {"S": ""}
    other = copy.deepcopy(packed)
    del other["a"]
    assert packed["a"] == item(1)


def test_they_take_less_than_a_third_of_the_memory() -> None:
    def taken(made: Callable[[], Any]) -> int:
        tracemalloc.start()
        items = made()
        for n in range(1_000):
            items[n] = item(n)
        now, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return now

    assert taken(PackedItems) * 3 < taken(dict)
