"""What words change in a file that was read: any key of a sweep file, a profile or a run is set, or removed."""

import copy
from collections.abc import Mapping
from typing import Any

from difair_hpc.config.kinds import AXIS_KEYS, GROUPS
from difair_hpc.config.words import REMOVED, Values
from difair_hpc.errors import InvalidValue, UnknownKey


def edited(content: Mapping[str, Any], words: Mapping[str, Any]) -> Values:
    """Return a sweep file as the words `study=…`, `stages.…=…` and `~stages.…` want it.

    A group that a word chooses for a stage comes as it is: what the file had changed in its own choice goes.

    Raises:
        UnknownKey, InvalidValue: names the key and what is allowed.
    """
    result: Values = copy.deepcopy(dict(content))
    stages = result["stages"]
    for key in words:
        path = _path(key)
        if path[0] == "stages" and (len(path) == 1 or path[1] not in stages):
            raise UnknownKey(key, [f"stages.{stage}" for stage in stages])
        if len(path) == 4 and path[2] == "base" and path[3] in GROUPS:
            stage = stages[path[1]]
            base = stage.get("base") if isinstance(stage, dict) else None
            if not isinstance(base, dict):
                continue
            for changed in [name for name in base if name.startswith(f"{path[3]}.")]:
                del base[changed]
    for key, value in words.items():
        set_key(result, key, value)
    if not result["stages"]:
        raise InvalidValue("stages", "nothing", "at least one stage: the words remove them all")
    return result


def said_of(stage: str, words: Mapping[str, Any]) -> set[str]:
    """Return the keys of a run that the words set in the base of one stage: there they win over those for all."""
    paths = [_path(key) for key in words]
    return {path[3] for path in paths if len(path) == 4 and path[:3] == ("stages", stage, "base")}


def set_key(content: Values, key: str, value: Any) -> None:
    """Set the key to the value in place, or take it away.

    Raises:
        UnknownKey: what is above it is no mapping, or the key to be removed is not there.
    """
    *parents, leaf = _path(key)
    for parent in parents:
        if content.get(parent) is None:
            content[parent] = {}
        content = content[parent]
        if not isinstance(content, dict):
            raise UnknownKey(key, [parent])
    if value is not REMOVED:
        content[leaf] = value
        return
    if leaf not in content:
        raise InvalidValue(f"~{key}", "nothing", "one of " + (", ".join(content) or "none: the file sets nothing here"))
    del content[leaf]


def _path(key: str) -> tuple[str, ...]:
    """Return the parts of a key; a key of a run within space or base is one part, its dots included."""
    parts = key.split(".")
    if parts[0] != "stages" or len(parts) < 5 or parts[2] not in ("space", "base"):
        return tuple(parts)
    rest = parts[3:]
    if parts[2] == "space" and rest[-1] in AXIS_KEYS:
        return (*parts[:3], ".".join(rest[:-1]), rest[-1])
    return (*parts[:3], ".".join(rest))
