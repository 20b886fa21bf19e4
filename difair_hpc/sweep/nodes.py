"""Nodes that are left out for a while because runs failed on them, `studies/<name>/nodes.json`."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.files import fits, read_json, write_atomically
from difair_hpc.sweep.ends import Accident, bad_nodes

_NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRule:
    """When a node is left out."""

    after: int = 2
    """Different runs that failed on it."""
    minutes: float = 60.0
    """For how long, and within what time."""


def is_node(name: str) -> bool:
    """Whether a text can be the name of a node: it stands in the scripts of jobs, and comes from everybody's files."""
    return _NODE.fullmatch(name) is not None


class BadNodes:
    """Remembers who is left out, also when the runs that failed there have since finished elsewhere."""

    def __init__(self, path: Path, rule: NodeRule) -> None:
        """Keep the file and the rule; nothing is read yet."""
        self._path = path
        self._rule = rule

    def now(self, accidents: Iterable[Accident]) -> list[str]:
        """Return the nodes to leave out at this moment, and put new ones on record."""
        now = time.time()
        known = {node: entry for node, entry in self.read().items() if entry["until"] > now}
        found = bad_nodes(
            [one for one in accidents if is_node(one.node)], now=now, after=self._rule.after, minutes=self._rule.minutes
        )
        new = {node: {"until": now + 60 * self._rule.minutes, "why": why} for node, why in found.items()}
        if new.keys() - known.keys():
            write_atomically(self._path, json.dumps(new | known, indent=1))
        return sorted({*known, *new})

    def read(self) -> dict[str, Any]:
        """Return node to `until` (seconds since 1970) and `why`, as on record."""
        entries = read_json(self._path, dict) or {}
        return {
            node: entry
            for node, entry in entries.items()
            if is_node(node) and fits(entry, {"until": float, "why": str})
        }
