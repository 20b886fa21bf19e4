"""From YAML files and `key=value` words to dataclasses; every complaint names key, value and what is allowed.

Hydra parses the words and composes the group files. A user's own ./sweeps and ./slurm come before the shipped ones.
"""

import copy
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.config.places import UNREADABLE, choices, found, own_folder, places_of, read_yaml
from difair_hpc.errors import InvalidValue, UnknownKey, UserError
from difair_hpc.runs.spec import ExecutionSpec, RunSpec, build, flat, run_spec
from difair_hpc.sweep.address import checked, checked_tracking, without_secret
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.rules import check_keys, check_rules
from difair_hpc.sweep.space import foreseen, run_keys
from difair_hpc.sweep.spec import Axis, ChoiceRule, StageSpec, StudySpec

GROUPS = ("benchmark", "method", "protocol")
"""Keys whose value is the name of a file in sweeps/<key>/."""
RUN_KEYS = {*GROUPS, "network", "split", "seed", "data"}
"""First parts of the keys that say what a run is."""
SETTING_KEYS = {"root", "data_root", "tracking_uri", "storage", "cluster", "execution"}
"""First parts of the keys that say where and how."""
_ALIASES = {"benchmark.split": "split", "benchmark.verify": "data.verify"}
_SHORT = {**_ALIASES, "benchmark.name": "benchmark", "method.name": "method"}


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


Values = dict[str, Any]


def parse(words: Sequence[str]) -> Values:
    """Return key to value of `key=value` words in Hydra's grammar.

    Raises:
        UserError: a word that is no `key=value`, or one that asks for several values at once.
    """
    values: Values = {}
    if not words:
        return values
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in words:
        try:
            override = parser.parse_override(word)
        except (HydraException, ValueError) as error:
            reason = f"{word!r} is no key=value ({str(error).splitlines()[0]})"
            raise UserError(f"{without_secret(reason)}; write for example method.alpha=10.") from error
        if not override.key_or_group:
            raise UserError(f"{word!r} is no key=value (the key is missing); write for example method.alpha=10.")
        key = _ALIASES.get(override.key_or_group, override.key_or_group)
        if override.is_delete() or override.is_sweep_override():
            allowed = "one value; several are searched by a sweep file, see difair sweep --help"
            raise InvalidValue(key, without_secret(word), allowed)
        values[key] = override.value()
    return values


def settings(values: Values) -> Settings:
    """Take the settings out of `values` (their keys are removed) and complete them from the environment."""
    root = values.pop("root", None) or os.environ.get("DIFAIR_ROOT") or "outputs"
    data_root = values.pop("data_root", None) or os.environ.get("DIFAIR_DATA") or "data"
    return Settings(
        root=own_folder("root", root),
        data_root=own_folder("data_root", data_root),
        tracking_uri=checked_tracking(
            str(values.pop("tracking_uri", None) or os.environ.get("MLFLOW_TRACKING_URI") or "")
        ),
        storage=checked(str(values.pop("storage", os.environ.get("DIFAIR_STORAGE")) or "")),
        cluster=str(values.pop("cluster", "local")),
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
        UnknownKey, InvalidValue: names the key and what is allowed.
    """
    for key in values:
        if key.split(".")[0] not in RUN_KEYS:
            raise UnknownKey(key, RUN_KEYS | SETTING_KEYS)
    groups = tuple((group, str(values[group])) for group in GROUPS if group in values)
    content = copy.deepcopy(_composed(groups, tuple(places_of("sweeps"))))
    for key, value in values.items():
        if key not in GROUPS:
            _set(content, _ALIASES.get(key, key), value)
    for key in ("network", "data"):
        _mapping(key, content[key])
    data = content.pop("data")
    if set(data) - {"verify"}:
        raise UnknownKey(f"data.{min(set(data) - {'verify'})}", ["verify"])
    content["benchmark"] |= {"split": content.pop("split", 0), "verify": data.get("verify", True)}
    return run_spec(_with_coefficient(content))


def words_of(spec: RunSpec) -> list[str]:
    """Return the `key=value` words that make this run, with as few of them as the group files allow."""
    wanted = flat(spec.to_dict())
    groups = {"benchmark": spec.benchmark.name, "method": spec.method.name}
    short: list[str] | None = None
    for protocol in choices("protocol"):
        base = flat(run({**groups, "protocol": protocol}).to_dict())
        differ = [f"{_SHORT.get(key, key)}={_word(wanted[key])}" for key in wanted if wanted[key] != base.get(key)]
        if short is None or len(differ) + 3 < len(short):
            short = [*(f"{group}={name}" for group, name in groups.items()), f"protocol={protocol}", *differ]
    assert short is not None, "there is at least one protocol"
    return short


def build_run(base: Mapping[str, Any], parameters: Mapping[str, Any]) -> RunSpec:
    """Build the run of a trial: a stage's base, then its parameters."""
    return run({**base, **parameters})


def profile(name: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read slurm/<name>.yaml, the user's own first; DIFAIR_DEVICE, where it is set, stands for its device."""
    content = read_yaml(found(places_of("slurm"), name, key="cluster"))
    device = {"device": os.environ["DIFAIR_DEVICE"]} if os.environ.get("DIFAIR_DEVICE") else {}
    for key, value in {**device, **(overrides or {})}.items():
        _set(content, key, value)
    return build(Profile, {"name": name, **content}, key="cluster")


def study(name: str, values: Values) -> StudySpec:
    """Read sweeps/<name>.yaml, the user's own first; keys of a run in `values` hold for every stage.

    Raises:
        UserError: there is no such sweep file; the ones there are listed.
        UnknownKey, InvalidValue: names the key and what is allowed.
    """
    content = read_yaml(found(places_of("sweeps"), name, key="sweep"))
    if not _mapping("stages", content.get("stages") or {}):
        raise UserError(f"sweeps/{name}.yaml names no stages; see sweeps/digits.yaml for what one looks like.")
    everywhere = {key: value for key, value in values.items() if key.split(".")[0] in RUN_KEYS}
    for key, value in values.items():
        if key in everywhere:
            continue
        first, second, *_ = [*key.split("."), ""]
        if first not in content:
            raise UnknownKey(key, {*content, *RUN_KEYS, *SETTING_KEYS})
        if first == "stages" and second not in content["stages"]:
            raise UnknownKey(key, [f"stages.{stage}" for stage in content["stages"]])
        _set(content, key, value)
    unknown = set(content) - {"study", "stages"}
    if unknown:
        raise UnknownKey(min(unknown), ["study", "stages"], where=f"sweeps/{name}.yaml")
    stages = tuple(_stage(key, value, everywhere) for key, value in _mapping("stages", content["stages"]).items())
    spec = StudySpec(name=str(content.get("study", name)), stages=stages)
    built = {stage.name: [build_run(stage.base, parameters) for parameters in foreseen(stage)] for stage in stages}
    check_rules(spec, built)
    return spec


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


def _word(value: Any) -> str:
    """Return a plain value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_word, value))}]"
    return repr(value) if isinstance(value, float) else str(value)


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


@functools.cache
def _composed(groups: tuple[tuple[str, str], ...], folders: tuple[Path, ...]) -> Values:
    """Compose the group files; `folders` are where they come from, a part of what the cache goes by."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for group, choice in groups:
        if choice not in choices(group):
            raise InvalidValue(group, choice, "one of " + ", ".join(choices(group)))
    _search_own_folder_first()
    with initialize_config_dir(str(folders[-1]), version_base="1.3"):
        try:
            composed = compose("config", overrides=[f"{group}={choice}" for group, choice in groups])
            content = OmegaConf.to_container(composed, resolve=True)
        except (HydraException, OmegaConfBaseException, *UNREADABLE) as error:
            places = ", ".join(str(folder / group / f"{choice}.yaml") for group, choice in groups for folder in folders)
            raise UserError(f"the files of the run do not fit together ({places}): {error}") from error
    assert isinstance(content, dict), "Hydra composes mappings"
    for group, choice in groups:
        _mapping(f"sweeps/{group}/{choice}.yaml", content[group])
    return {str(key): value for key, value in content.items()}


def _search_own_folder_first() -> None:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class OwnFolderFirst(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for folder in places_of("sweeps")[:-1]:
                search_path.prepend("own", folder.as_uri())

    Plugins.instance().register(OwnFolderFirst)


def _mapping(key: str, value: Any) -> Values:
    if not isinstance(value, dict):
        raise InvalidValue(key, value, "a mapping of keys to values")
    return value


def _set(content: Values, key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise UnknownKey(key, [parent])
    content[leaf] = value
