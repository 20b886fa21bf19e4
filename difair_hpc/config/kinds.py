"""What sort of value each key takes, as its dataclass says: where a key is text, nothing in its value is a number."""

import functools
import types
import typing
from typing import Any, Literal

from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.spec import METHOD_SPECS, NetworkSpec
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec
from difair_hpc.train.spec import ProtocolSpec

Kind = Literal["text", "text or null", "texts", "option", "other"]
"""option: of sbatch, text but for true, false and null; texts: a list of text; other: numbers, truths, mappings."""

GROUPS = ("benchmark", "method", "protocol")
"""Keys whose value is the name of a file in sweeps/<key>/."""
AXIS_KEYS = ("low", "high", "log", "whole", "chosen_in")
"""Keys of an axis that is a mapping; no key of a run ends in one of them."""

_WHOLE: dict[str, Kind] = {
    **dict.fromkeys(("root", "data_root", "cluster", "study", *GROUPS), "text"),
    **dict.fromkeys(("tracking_uri", "storage"), "text or null"),
}
_SECTIONS: dict[str, tuple[type, ...]] = {
    "benchmark": (BenchmarkSpec,),
    "method": tuple(METHOD_SPECS.values()),
    "network": (NetworkSpec,),
    "protocol": (ProtocolSpec,),
    "execution": (ExecutionSpec,),
    "cluster": (Profile,),
}


def kind_of(key: str) -> Kind:
    """Return what a key takes, by its whole name, such as root, cluster.account or stages.final.methods."""
    first, _, rest = key.partition(".")
    if not rest:
        return _WHOLE.get(first, "other")
    if first == "stages":
        return _of_stage(rest)
    if first == "cluster" and rest.startswith("sbatch."):
        return "option"
    found = [_of_field(part, rest) for part in _SECTIONS.get(first, ())]
    return next((kind for kind in found if kind != "other"), "other")


def _of_stage(key: str) -> Kind:
    """Return what a key takes that follows `stages.`, the name of a stage first."""
    _, _, own = key.partition(".")
    field, _, rest = own.partition(".")
    if field == "base" and rest:
        return kind_of(rest)
    if field == "space" and rest:
        axis, _, leaf = rest.rpartition(".")
        if axis and leaf in AXIS_KEYS:
            return _of_field(Axis, leaf)
        return "other" if kind_of(rest) == "other" else "texts"
    return _of_field(ChoiceRule, rest) if field == "choose" and rest else _of_field(StageSpec, own)


def _of_field(cls: type, name: str) -> Kind:
    return _of_type(_hints(cls).get(name))


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _of_type(hint: Any) -> Kind:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is str or (origin is Literal and all(isinstance(part, str) for part in parts)):
        return "text"
    if origin in (types.UnionType, typing.Union):
        inner = [_of_type(part) for part in parts if part is not types.NoneType]
        return "text or null" if inner == ["text"] else "other"
    return "texts" if origin is tuple and _of_type(parts[0]) == "text" else "other"
