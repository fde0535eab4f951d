"""Items of tables are held as bytes: a dict for each attribute takes ten times as much.

An item is unpacked for each reader, so that nobody changes what is stored but by `_set_item`, as all of ministack does.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, MutableMapping
from typing import Any

INTERNALS = {"ministack.services.dynamodb": ("_set_item",)}

Item = dict[str, Any]


class PackedItems(MutableMapping[Any, Item]):
    """The items of a partition key by their sort keys."""

    __slots__ = ("_packed",)

    def __init__(self) -> None:
        self._packed: dict[Any, bytes] = {}

    def __getitem__(self, key: Any) -> Item:
        found: Item = marshal.loads(self._packed[key])
        return found

    def __setitem__(self, key: Any, item: Item) -> None:
        self._packed[key] = marshal.dumps(item)

    def __delitem__(self, key: Any) -> None:
        del self._packed[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __deepcopy__(self, memo: Any) -> PackedItems:
        copied = PackedItems()
        copied._packed = dict(self._packed)
        return copied


def patch() -> None:
    """Pack what is stored under each partition key from now on."""
    from ministack.services import dynamodb

    store = dynamodb._set_item

    def stored(table: dict[str, Any], partition_key: Any, sort_key: Any, item: Item) -> Any:
        if partition_key not in table["items"]:
            table["items"][partition_key] = PackedItems()
        return store(table, partition_key, sort_key, item)

    dynamodb._set_item = stored
