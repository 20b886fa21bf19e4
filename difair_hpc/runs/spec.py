"""What one run is, as plain values (no torch), and its signature: the hash of all fields that can change the result."""

import dataclasses
import functools
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import sharing
from difair_hpc.errors import DataDamaged, InvalidValue, NewerSchema, UnknownKey, UserError
from difair_hpc.osr.spec import METHOD_SPECS, ArplCsSpec, DifairSpec, MethodSpec, NetworkSpec
from difair_hpc.train.spec import ProtocolSpec

SCHEMA = 2
"""Version of the files in a run folder; a folder of a newer one is refused, never rewritten."""

T = TypeVar("T")

SEED_LIMIT = 2**32
"""Seeds lie below it."""


_WITHOUT_EFFECT = {"method.allow_overlap"}
"""Fields that permit a value but cannot change what is trained."""
_ADDED: dict[str, Any] = {
    "protocol.augment": "none",
    "protocol.augment_operations": 1,
    "protocol.augment_magnitude": 0.0,
    "protocol.augment_exclude": [],
}
"""Fields that came later, with the value that stands for how it was before: with it a run keeps its signature."""


def check_device(key: str, name: str) -> None:
    """Refuse a device that no run could compute on.

    Raises:
        InvalidValue: names the key and what is allowed.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InvalidValue(key, name, "auto, cpu, cuda or cuda:NUMBER")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionSpec:
    """How a run is executed on the machine at hand: nothing here can change what is trained, so no part of RunSpec."""

    data_root: str = "data"
    """Folder of the data sets."""
    device: str = "auto"
    """auto (CUDA if there is one), cpu, cuda or cuda:1."""
    threads: int | None = None
    """CPU threads; None: one for each CPU that the process may use, and never more than that. A run repeats to the bit
    only at the same count."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of training arithmetic. auto: bfloat16 where the device has it natively (sm_80 and newer, CPUs with AVX512-BF16
    or AMX), float16 on older GPUs that are fast in it (sm_70, sm_75), else float32. What was used is on record with the
    result."""
    checkpoint_epochs: int = 10
    """Save at least every so many epochs."""
    checkpoint_seconds: float = 300.0
    """Save at least every so many seconds (at the end of an epoch)."""
    pause_seconds: float = 0.0
    """Wait so long before every step: a training that lasts without computing, for rehearsals and tests of faults."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        check_device("execution.device", self.device)
        if self.threads is not None and self.threads < 1:
            raise InvalidValue("execution.threads", self.threads, "null or a whole number of at least 1")
        if self.checkpoint_epochs < 1:
            raise InvalidValue("execution.checkpoint_epochs", self.checkpoint_epochs, "a whole number of at least 1")
        if self.pause_seconds < 0:
            raise InvalidValue("execution.pause_seconds", self.pause_seconds, "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """One training and its evaluation. Where and how fast it runs is no part of it."""

    benchmark: BenchmarkSpec = field(default_factory=BenchmarkSpec)
    method: MethodSpec = field(default_factory=DifairSpec)
    network: NetworkSpec = field(default_factory=NetworkSpec)
    protocol: ProtocolSpec = field(default_factory=ProtocolSpec)
    seed: int = 0
    """Every random choice follows from it."""

    def __post_init__(self) -> None:
        """Refuse a seed outside of its range, and a size that no generator ends in."""
        if not 0 <= self.seed < SEED_LIMIT:
            raise InvalidValue("seed", self.seed, f"a whole number from 0 to {SEED_LIMIT - 1}")
        if isinstance(self.method, ArplCsSpec) and self.benchmark.image_size.bit_count() != 1:
            allowed = "a power of 2 with arpl_cs, whose generator doubles its maps"
            raise InvalidValue("benchmark.image_size", self.benchmark.image_size, allowed)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as nested plain values, complete and in a fixed order, as JSON gives them back."""
        return dataclasses.asdict(
            self,
            dict_factory=lambda pairs: {key: list(part) if isinstance(part, tuple) else part for key, part in pairs},
        )

    @property
    def signature(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the spec."""
        # Through `run_spec`, which makes a float of 10 where the field is one: 10 and 10.0 are the same run.
        complete = flat(run_spec(self.to_dict()).to_dict())
        values = {
            key: value
            for key, value in complete.items()
            if key not in _WITHOUT_EFFECT and (key, value) not in _ADDED.items()
        }
        text = json.dumps({"schema": SCHEMA, "spec": _canonical(values)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def trained_for(spec: RunSpec) -> RunSpec:
    """Return the run whose training serves the benchmark and split of `spec`: itself, or the first that shares it."""
    own = spec.benchmark
    name, split = sharing(own.name, own.split, cifar_plus_known=own.cifar_plus_known)[0]
    return dataclasses.replace(spec, benchmark=dataclasses.replace(own, name=name, split=split))


def run_spec(values: Mapping[str, Any]) -> RunSpec:
    """Build a spec from nested plain values, as in spec.json; every complaint names key, value and what is allowed.

    Raises:
        UnknownKey: a key that no field has.
        InvalidValue: a value of the wrong type, or out of range.
    """
    known = {part.name for part in dataclasses.fields(RunSpec)}
    for key in values:
        if key not in known:
            raise UnknownKey(key, known)
    parts = {name: _checked_plain(name, values.get(name, {}), Mapping) for name in known - {"seed"}}
    method = dict(parts["method"])
    name = method.get("name", "difair")
    if not isinstance(name, str) or name not in METHOD_SPECS:
        raise InvalidValue("method", name, "one of " + ", ".join(METHOD_SPECS))
    return RunSpec(
        benchmark=build(BenchmarkSpec, parts["benchmark"], key="benchmark"),
        method=build(METHOD_SPECS[name], method, key="method"),
        network=build(NetworkSpec, parts["network"], key="network"),
        protocol=build(ProtocolSpec, parts["protocol"], key="protocol"),
        seed=_checked("seed", values.get("seed", 0), int),
    )


def run_spec_from_file(content: Mapping[str, Any], *, where: str) -> RunSpec:
    """Build the spec that a run folder's spec.json holds.

    Raises:
        NewerSchema: a newer version of this package wrote it.
        DataDamaged: no run has such a spec.
    """
    schema = content.get("schema", SCHEMA)
    if schema > SCHEMA:
        message = f"{where} was written by a newer difair-hpc (schema {schema}, this one reads up to {SCHEMA})"
        raise NewerSchema(f"{message}; update difair-hpc or choose another root=FOLDER. Nothing was changed.")
    try:
        return run_spec(content["spec"])
    except UserError as error:
        raise DataDamaged(f"{where} is no run of this version: {error}") from error


def build(cls: type[T], values: Mapping[str, Any], *, key: str) -> T:
    """Build one frozen dataclass from plain values, checking names and types; `key` is its place in messages."""
    fields = {part.name: part for part in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = _hints(cls)  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise UnknownKey(f"{key}.{name}", fields)
    return cls(**{name: _checked(f"{key}.{name}", value, hints[name]) for name, value in values.items()})


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; asking takes longer than the rest of `build`."""
    return typing.get_type_hints(cls)


def plain(spec: ExecutionSpec) -> dict[str, Any]:
    """Return the execution as plain values, which `build` takes back."""
    return dataclasses.asdict(spec)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested plain values under dotted keys."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        result |= flat(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return result


def _checked(key: str, value: Any, kind: Any) -> Any:
    """Return `value` if it is of the annotated `kind`, with whole numbers widened to floats where floats are wanted."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is typing.Literal:
        if value not in parts:
            raise InvalidValue(key, value, "one of " + ", ".join(map(str, parts)))
        return value
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _checked(key, value, next(part for part in parts if part is not type(None)))
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidValue(key, value, "a list")
        return tuple(_checked(key, element, parts[0]) for element in value)
    if origin is not None:
        kind = origin
    return _checked_plain(key, value, kind)


def _checked_plain(key: str, value: Any, kind: type) -> Any:
    truth = isinstance(value, bool)
    if kind is float and isinstance(value, int) and not truth:
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, kind) or (truth and kind is not bool):
        raise InvalidValue(key, value, _IN_WORDS.get(kind, "a mapping of keys to values"))
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue(key, value, "a number")
    return value


_IN_WORDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _canonical(value: Any) -> Any:
    """Make equal settings hash equally: 10 and 10.0, and a coefficient that was computed in another order."""
    if isinstance(value, dict):
        return {name: _canonical(part) for name, part in value.items()}
    if isinstance(value, float):
        return format(value, ".10g")
    return value
