"""From YAML files and `key=value` words to dataclasses; every complaint names key, value and what is allowed.

Words are read by words.py, files by yamls.py; Hydra composes the group files. A user's own ./sweeps and ./slurm come
before the shipped ones.
"""

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from difair_hpc.config.edits import edited, said_of, set_key
from difair_hpc.config.groups import composed, own_files
from difair_hpc.config.kinds import GROUPS
from difair_hpc.config.places import checked_name, choices, found, own_folder, places_of, shown
from difair_hpc.config.words import ALIASES, Values, parse, typed, word
from difair_hpc.config.yamls import read_yaml
from difair_hpc.data.splits import BENCHMARKS
from difair_hpc.errors import InvalidValue, UnknownKey, UserError
from difair_hpc.nofollow import root_at
from difair_hpc.runs.spec import ExecutionSpec, RunSpec, build, flat, run_spec
from difair_hpc.runs.sqlite import absolute_uri
from difair_hpc.sweep.address import checked, checked_tracking
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.rules import check_keys, check_rules
from difair_hpc.sweep.space import foreseen, run_keys
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec

__all__ = ["parse", "typed", "word"]  # of words.py, with all that is defined here

RUN_KEYS = {*GROUPS, "network", "split", "seed", "data"}
"""First parts of the keys that say what a run is."""
SETTING_KEYS = {"root", "data_root", "tracking_uri", "storage", "cluster", "execution"}
"""First parts of the keys that say where and how."""
SINGLE = "train"
"""What single runs have for a study."""
_SHORT = {**ALIASES, "benchmark.name": "benchmark", "method.name": "method"}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where things are, whatever is run."""

    root: Path
    """Output root: run folders, studies, MLflow's store. `root=`, else DIFAIR_ROOT, else ./outputs."""
    data_root: Path
    """Folder of the data sets. `data_root=`, else DIFAIR_DATA, else ./data."""
    tracking_uri: str
    """MLflow's server or store; empty: the server that the root names, else SQLite under it; 'none': no tracking."""
    storage: str
    """Optuna's storage: `storage=`, else DIFAIR_STORAGE; empty: a journal in the study's folder."""
    cluster: str
    """Name of the profile in slurm/."""

    def as_words(self) -> list[str]:
        """Return where things are as words: the environment may have said it, and that of a job may not."""
        addresses = {"storage": self.storage, "tracking_uri": self.tracking_uri}
        said = [word(key, address) for key, address in addresses.items() if address]
        return [word("root", self.root), word("data_root", self.data_root), *said]


def settings(values: Values) -> Settings:
    """Take the settings out of `values` (their keys are removed) and complete them from the environment."""
    for key in ("root", "data_root"):
        if values.get(key) == "":
            raise InvalidValue(key, "''", "a folder", advice="Is the variable empty that was to name it?")
    root = values.pop("root", None) or os.environ.get("DIFAIR_ROOT") or "outputs"
    data_root = values.pop("data_root", None) or os.environ.get("DIFAIR_DATA") or "data"
    tracking = checked_tracking(values.pop("tracking_uri", None) or os.environ.get("MLFLOW_TRACKING_URI") or "")
    return Settings(
        root=root_at(own_folder("root", root)),
        data_root=own_folder("data_root", data_root),
        tracking_uri=absolute_uri(tracking, Path.cwd()),
        storage=checked(values.pop("storage", os.environ.get("DIFAIR_STORAGE")) or ""),
        cluster=values.pop("cluster", "local"),
    )


def settings_only(words: Sequence[str]) -> Settings:
    """Return the settings for a command that takes nothing else.

    Raises:
        UnknownKey: a word that is no setting.
    """
    values = parse(words)
    for key in values:
        if key not in SETTING_KEYS:
            raise UnknownKey(key, SETTING_KEYS)
    return settings(values)


def execution(values: Values, where: Settings) -> ExecutionSpec:
    """Take the keys execution.* out of `values` and return how a run is executed."""
    own = {key.removeprefix("execution."): values.pop(key) for key in list(values) if key.startswith("execution.")}
    return build(ExecutionSpec, {"data_root": str(where.data_root), **own}, key="execution")


def cluster_keys(values: Values) -> Values:
    """Take the keys cluster.* out of `values` and return them without the prefix: they override the profile."""
    return {key.removeprefix("cluster."): values.pop(key) for key in list(values) if key.startswith("cluster.")}


def run(values: Mapping[str, Any]) -> RunSpec:
    """Build the run that the values describe: groups by their files, then every other key on top.

    Raises:
        UnknownKey, InvalidValue: names the key and what is allowed, and the user's own file if that is to blame.
    """
    for key in values:
        if key.split(".")[0] not in RUN_KEYS:
            raise UnknownKey(key, RUN_KEYS | SETTING_KEYS)
    groups = {key: value for key, value in values.items() if key in GROUPS}
    return _blaming(own_files(groups), lambda words: _run({**groups, **words}), values)


def _run(values: Mapping[str, Any]) -> RunSpec:
    content = copy.deepcopy(composed(values))
    for key, value in values.items():
        if key not in GROUPS:
            set_key(content, ALIASES.get(key, key), value)
    for key in ("network", "data"):
        _mapping(key, content.setdefault(key, {}))
    data = content.pop("data")
    if set(data) - {"verify"}:
        raise UnknownKey(f"data.{min(set(data) - {'verify'})}", ["verify"])
    content["benchmark"] |= {"split": content.pop("split", 0), "verify": data.get("verify", True)}
    spec = run_spec(_with_coefficient(content))
    if spec.benchmark.name not in BENCHMARKS:
        raise InvalidValue("benchmark.name", spec.benchmark.name, "one of " + ", ".join(BENCHMARKS))
    return spec


def words_of(spec: RunSpec) -> list[str]:
    """Return the `key=value` words that make this run, with as few of them as the group files allow."""
    wanted = flat(spec.to_dict())
    groups = {"benchmark": spec.benchmark.name, "method": spec.method.name}
    short: list[str] | None = None
    for protocol in choices("protocol"):
        base = flat(run({**groups, "protocol": protocol}).to_dict())
        differ = [word(_SHORT.get(key, key), wanted[key]) for key in wanted if wanted[key] != base.get(key)]
        if short is None or len(differ) + 3 < len(short):
            short = [*(word(*group) for group in groups.items()), word("protocol", protocol), *differ]
    assert short is not None, "there is at least one protocol"
    return short


def build_run(base: Mapping[str, Any], parameters: Mapping[str, Any]) -> RunSpec:
    """Build the run of a trial: a stage's base, then its parameters."""
    return run({**base, **parameters})


def profile(name: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read slurm/<name>.yaml, the user's own first; DIFAIR_DEVICE, where it is set, stands for its device."""
    path = found(places_of("slurm"), name, key="cluster")
    content = read_yaml(path, under="cluster")
    device = {"device": os.environ["DIFAIR_DEVICE"]} if os.environ.get("DIFAIR_DEVICE") else {}

    def made(words: Mapping[str, Any]) -> Profile:
        whole = copy.deepcopy(content)
        for key, value in words.items():
            set_key(whole, key, value)
        return build(Profile, {"name": name, **whole}, key="cluster")

    return _blaming(shown(path), made, {**device, **(overrides or {})})


def study(name: str, values: Values, kept: Callable[[str], Collection[str] | None] = lambda _: None) -> StudySpec:
    """Read sweeps/<name>.yaml, the user's own first; keys of a run in `values` hold for every stage.

    Args:
        name: Of the file.
        values: What words say.
        kept: Tells the stages of a study that was begun before, whose names stay what they are; None: there is none.

    Raises:
        UserError: there is no such sweep file; the ones there are listed.
        UnknownKey, InvalidValue: names the key and what is allowed, and the file if that is to blame.
    """
    path = found(places_of("sweeps"), name, key="sweep")
    content = read_yaml(path)
    if not _mapping("stages", content.get("stages") or {}):
        raise UserError(f"{shown(path)} names no stages; see sweeps/digits.yaml for what one looks like.")
    return _blaming(shown(path), lambda words: _study(name, content, words, kept), values)


def _study(
    name: str, content: Values, values: Mapping[str, Any], kept: Callable[[str], Collection[str] | None]
) -> StudySpec:
    everywhere = {key: value for key, value in values.items() if key.split(".")[0] in RUN_KEYS}
    words = {key: value for key, value in values.items() if key not in everywhere}
    for key, value in words.items():
        if key.startswith("execution."):
            advice = f"Runs of a study are executed as their profile says: cluster.{key.partition('.')[2]}."
            raise InvalidValue(key, value, "difair train alone", advice=advice)
        if key.split(".")[0] not in {*content, "study"}:
            raise UnknownKey(key, {*content, "study", *RUN_KEYS, *SETTING_KEYS})
    content = edited(content, words)
    unknown = set(content) - {"study", "stages"}
    if unknown:
        raise UnknownKey(min(unknown), ["study", "stages"], where=f"sweeps/{name}.yaml")
    title = str(content.get("study", name))
    _check_names(title, content["stages"], kept(title))
    stages = []
    for key, value in content["stages"].items():
        own = said_of(key, words)
        stages.append(_stage(key, value, {name: said for name, said in everywhere.items() if name not in own}))
    spec = StudySpec(name=title, stages=tuple(stages))
    built = {stage.name: [build_run(stage.base, parameters) for parameters in foreseen(stage)] for stage in stages}
    check_rules(spec, built)
    return spec


def _check_names(study: str, stages: Collection[str], kept: Collection[str] | None) -> None:
    """Refuse names that files, folders, jobs and pages cannot have; those of a study that was begun before stay.

    Raises:
        InvalidValue: names the key and what is allowed.
    """
    if kept is None:
        checked_name("study", study)
        if study == SINGLE:
            raise InvalidValue("study", study, f"another name: {SINGLE} is that of the runs of difair train")
    for stage in stages:
        if stage not in (kept or ()):
            checked_name("stages", stage)
            if "." in stage:
                raise InvalidValue("stages", stage, "a name without a dot, which parts keys such as stages.final.seeds")


def _blaming(file: str, make: Callable[[Mapping[str, Any]], T], words: Mapping[str, Any]) -> T:
    """Return what is made of the words on top of a file; a complaint that the file alone brings about names it."""
    try:
        return make(words)
    except UserError as error:
        if not file or file in str(error):
            raise
        try:
            make({})
        except UserError as alone:
            if str(alone) == str(error):
                raise UserError(f"{file}: {error}") from error
        raise


def _stage(name: str, content: Mapping[str, Any], everywhere: Mapping[str, Any]) -> StageSpec:
    key = f"stages.{name}"
    values = dict(_mapping(key, content))
    if "search" not in values:
        raise InvalidValue(f"{key}.search", "nothing", "one of grid, optuna, final")
    check_keys(name, values, everywhere)
    axes, base = (_mapping(f"{key}.{part}", values.pop(part, None) or {}) for part in ("space", "base"))
    rule = values.pop("choose", {})  # null: nothing is to be chosen
    choose = None if rule is None else build(ChoiceRule, _mapping(f"{key}.choose", rule), key=f"{key}.choose")
    space = tuple(_axis(f"{key}.space.{axis}", axis, value) for axis, value in axes.items())
    # A group that is chosen on the command line comes as it is: what the file had changed in its own choice goes.
    kept = {key: value for key, value in base.items() if "." not in key or key.split(".")[0] not in everywhere}
    own = {**kept, **everywhere}
    whole = {"name": name, "space": space, "base": own, "choose": choose}
    return build(StageSpec, values | whole, key=key)


def _axis(key: str, name: str, content: Any) -> Axis:
    if isinstance(content, list) and content:
        return Axis(key=name, values=tuple(content))
    if isinstance(content, Mapping) and ("chosen_in" in content or {"low", "high"} <= set(content)):
        return build(Axis, {"key": name, **content}, key=key)
    raise InvalidValue(key, content, "a list of values, {low: 0.2, high: 0.5} or {chosen_in: STAGE}")


def _with_coefficient(content: Values) -> Values:
    method = dict(content["method"])
    if "radius" not in method or "radius_coefficient" not in method:
        return content
    radius = method.pop("radius")
    if isinstance(radius, bool) or not isinstance(radius, int | float):
        raise InvalidValue("method.radius", radius, "a number above 0")
    checked = run_spec({**content, "method": method}).to_dict()["method"]
    keys = run_keys({**{f"method.{key}": value for key, value in checked.items()}, "method.radius": radius})
    return {**content, "method": {key.removeprefix("method."): value for key, value in keys.items()}}


def _mapping(key: str, value: Any) -> Values:
    if not isinstance(value, dict):
        raise InvalidValue(key, value, "a mapping of keys to values")
    return value
