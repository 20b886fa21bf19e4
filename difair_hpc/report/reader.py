"""Typed access to a result file: a value of the wrong kind is named with its file and key, never passed on."""

import math
from collections.abc import Mapping, Sequence

from difair_hpc.errors import DataDamaged


class Reader:
    """Typed access to nested plain data by dotted name; every complaint is a DataDamaged with file and key."""

    def __init__(self, content: Mapping[str, object], where: str) -> None:
        """Read `content`, which stands in the file `where`."""
        self._content, self._where = content, where

    def damaged(self, key: str, problem: str) -> DataDamaged:
        """Return the complaint about a key, to be raised."""
        return DataDamaged(
            f"{self._where}: {key} {problem}. If the file was edited or cut short, remove it and resume the run: "
            "the result is written anew from the last checkpoint."
        )

    def value(self, key: str) -> object:
        """Return whatever stands under the key."""
        found: object = self._content
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise self.damaged(key, "is missing")
            found = found[part]
        return found

    def mapping(self, key: str) -> Mapping[str, object]:
        """Return keys and values."""
        found = self.value(key)
        if not isinstance(found, Mapping):
            raise self.damaged(key, f"is {found!r} where a mapping belongs")
        return found

    def sequence(self, key: str) -> Sequence[object]:
        """Return a list."""
        found = self.value(key)
        if not isinstance(found, list | tuple):
            raise self.damaged(key, f"is {found!r} where a list belongs")
        return found

    def text(self, key: str) -> str:
        """Return a text."""
        found = self.value(key)
        if not isinstance(found, str):
            raise self.damaged(key, f"is {found!r} where a text belongs")
        return found

    def number(self, key: str) -> float:
        """Return a finite number."""
        found = self.value(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise self.damaged(key, f"is {found!r} where a number belongs")
        return float(found)

    def whole(self, key: str) -> int:
        """Return a whole number."""
        found = self.number(key)
        if not found.is_integer():
            raise self.damaged(key, f"is {found!r} where a whole number belongs")
        return int(found)

    def share(self, key: str) -> float:
        """Return a number from 0 to 1."""
        found = self.number(key)
        if not 0 <= found <= 1:
            raise self.damaged(key, f"is {found!r} where a share from 0 to 1 belongs")
        return found

    def shares(self, key: str) -> dict[str, float]:
        """Return numbers from 0 to 1 by name."""
        return {name: self.share(f"{key}.{name}") for name in self.mapping(key)}

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        parent, _, leaf = key.rpartition(".")
        holder = self.value(parent) if parent else self._content
        return isinstance(holder, Mapping) and holder.get(leaf) is not None
