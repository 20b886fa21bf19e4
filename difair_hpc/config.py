"""From YAML files and `key=value` words to dataclasses; every complaint names key, value and what is allowed.

Hydra parses the words and composes the group files. A user's own ./sweeps and ./slurm come before the shipped ones.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from difair_hpc.errors import InvalidValue, UnknownKey, UserError
from difair_hpc.runs.spec import ExecutionSpec, RunSpec, build, run_spec
from difair_hpc.sweep.spec import Axis, ChoiceRule, Profile, StageSpec, StudySpec

GROUPS = ("benchmark", "method", "protocol")
"""Keys whose value is the name of a file in sweeps/<key>/."""
RUN_KEYS = {*GROUPS, "network", "split", "seed", "data"}
"""First parts of the keys that say what a run is."""
SETTING_KEYS = {"root", "data_root", "tracking_uri", "cluster", "execution"}
"""First parts of the keys that say where and how."""
_ALIASES = {"benchmark.split": "split", "benchmark.verify": "data.verify"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where things are, whatever is run."""

    root: Path
    """Output root: run folders, studies, MLflow's store. `root=`, else DIFAIR_ROOT, else ./outputs."""
    data_root: Path
    """Folder of the data sets. `data_root=`, else DIFAIR_DATA, else ./data."""
    tracking_uri: str
    """MLflow server or store; empty: the SQLite store under the root; 'none': no tracking."""
    cluster: str
    """Name of the profile in slurm/."""


Values = dict[str, Any]


def parse(words: Sequence[str]) -> Values:
    """Return key to value of `key=value` words in Hydra's grammar.

    Raises:
        UserError: a word that is no `key=value`, or one that asks for several values at once.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    values: Values = {}
    parser = OverridesParser.create()
    for word in words:
        try:
            override = parser.parse_override(word)
        except OverrideParseException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{word!r} is no key=value ({reason}); write for example method.alpha=10.") from error
        key = _ALIASES.get(override.key_or_group, override.key_or_group)
        if override.is_delete() or override.is_sweep_override():
            raise InvalidValue(key, word, "one value; several are searched by a sweep file, see difair sweep --help")
        values[key] = override.value()
    return values


def settings(values: Values) -> Settings:
    """Take the settings out of `values` (their keys are removed) and complete them from the environment."""
    root = values.pop("root", None) or os.environ.get("DIFAIR_ROOT") or "outputs"
    data_root = values.pop("data_root", None) or os.environ.get("DIFAIR_DATA") or "data"
    return Settings(
        root=Path(str(root)).absolute(),
        data_root=Path(str(data_root)).absolute(),
        tracking_uri=str(values.pop("tracking_uri", None) or os.environ.get("MLFLOW_TRACKING_URI") or ""),
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


def run(values: Mapping[str, Any]) -> RunSpec:
    """Build the run that the values describe: groups by their files, then every other key on top.

    Raises:
        UnknownKey, InvalidValue: names the key and what is allowed.
    """
    for key in values:
        if key.split(".")[0] not in RUN_KEYS:
            raise UnknownKey(key, RUN_KEYS | SETTING_KEYS)
    groups = tuple((group, str(values[group])) for group in GROUPS if group in values)
    content = _copied(_composed(groups))
    for key, value in values.items():
        if key not in GROUPS:
            _set(content, key, value)
    data = content.pop("data", {})
    if set(data) - {"verify"}:
        raise UnknownKey(f"data.{min(set(data) - {'verify'})}", ["verify"])
    content["benchmark"] |= {"split": content.pop("split", 0), "verify": data.get("verify", True)}
    return run_spec(_with_coefficient(content))


def build_run(base: Mapping[str, Any], parameters: Mapping[str, Any]) -> RunSpec:
    """Build the run of a trial: a stage's base, then its parameters."""
    return run({**base, **parameters})


def profile(name: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read slurm/<name>.yaml, the user's own first."""
    folders = _folders("slurm")
    content = _read_yaml(_found(folders, name, key="cluster"))
    return build(Profile, {"name": name, **content, **(overrides or {})}, key="cluster")


def study(name: str, values: Values) -> StudySpec:
    """Read sweeps/<name>.yaml, the user's own first; keys of a run in `values` hold for every stage.

    Raises:
        UserError: there is no such sweep file; the ones there are listed.
        UnknownKey, InvalidValue: names the key and what is allowed.
    """
    content = _read_yaml(_found(_folders("sweeps"), name, key="sweep"))
    everywhere = {key: value for key, value in values.items() if key.split(".")[0] in RUN_KEYS}
    for key, value in values.items():
        if key in everywhere:
            continue
        if key.split(".")[0] not in content:
            raise UnknownKey(key, {*content, *RUN_KEYS, *SETTING_KEYS})
        _set(content, key, value)
    unknown = set(content) - {"study", "stages"}
    if unknown:
        raise UnknownKey(min(unknown), ["study", "stages"], where=f"sweeps/{name}.yaml")
    stages = tuple(_stage(key, value, everywhere) for key, value in content.get("stages", {}).items())
    if not stages:
        raise UserError(f"sweeps/{name}.yaml names no stages; see sweeps/digits.yaml for what one looks like.")
    _check_order(stages)
    return StudySpec(name=str(content.get("study", name)), stages=stages)


def _stage(name: str, content: Mapping[str, Any], everywhere: Mapping[str, Any]) -> StageSpec:
    values = dict(content)
    key = f"stages.{name}"
    space = tuple(_axis(f"{key}.space.{axis}", axis, value) for axis, value in values.pop("space", {}).items())
    rule = values.pop("choose", None) or {}
    own = {**values.pop("base", {}), **everywhere}
    listed = {part: tuple(value) if isinstance(value, list) else value for part, value in values.items()}
    for part in ("benchmarks", "methods", "objectives"):
        if part in listed and not isinstance(listed[part], tuple):
            raise InvalidValue(f"{key}.{part}", listed[part], "a list")
    choose = {part: tuple(value) if isinstance(value, list) else value for part, value in rule.items()}
    whole = {"name": name, "space": space, "base": own, "choose": build(ChoiceRule, choose, key=f"{key}.choose")}
    return build(StageSpec, listed | whole, key=key)


def _axis(key: str, name: str, content: Any) -> Axis:
    if isinstance(content, list) and content:
        return Axis(key=name, values=tuple(content))
    if isinstance(content, Mapping) and ("chosen_in" in content or {"low", "high"} <= set(content)):
        return build(Axis, {"key": name, **content}, key=key)
    raise InvalidValue(key, content, "a list of values, {low: 0.2, high: 0.5} or {chosen_in: STAGE}")


def _check_order(stages: Sequence[StageSpec]) -> None:
    before: set[str] = set()
    for stage in stages:
        for source in [stage.chosen_in, *(axis.chosen_in for axis in stage.space)]:
            if source is not None and source not in before:
                allowed = f"an earlier stage ({', '.join(sorted(before)) or 'there is none'})"
                raise InvalidValue(f"stages.{stage.name}: chosen_in", source, allowed)
        before.add(stage.name)


def _with_coefficient(content: Values) -> Values:
    from difair_hpc.sweep.space import run_keys

    method = dict(content["method"])
    if "radius" in method:
        keys = run_keys({f"method.{key}": value for key, value in method.items()})
        method = {key.removeprefix("method."): value for key, value in keys.items()}
    return {**content, "method": method}


@functools.cache
def _composed(groups: tuple[tuple[str, str], ...]) -> Values:
    from hydra import compose, initialize_config_dir
    from hydra.errors import MissingConfigException
    from omegaconf import OmegaConf

    _search_own_folder_first()
    with initialize_config_dir(str(_shipped("sweeps")), version_base="1.3"):
        try:
            content = compose("config", overrides=[f"{group}={choice}" for group, choice in groups])
        except MissingConfigException as error:
            group, choice = next((g, c) for g, c in groups if not _choices(g) or c not in _choices(g))
            raise InvalidValue(group, choice, "one of " + ", ".join(_choices(group))) from error
    return {str(key): value for key, value in OmegaConf.to_container(content, resolve=True).items()}  # type: ignore[union-attr]


def _search_own_folder_first() -> None:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class OwnFolderFirst(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for folder in _folders("sweeps")[:-1]:
                search_path.prepend("own", folder.as_uri())

    Plugins.instance().register(OwnFolderFirst)


def _choices(group: str) -> list[str]:
    return sorted({path.stem for folder in _folders("sweeps") for path in (folder / group).glob("*.yaml")})


def _folders(name: str) -> list[Path]:
    """Return the folders called `name` (sweeps or slurm), the user's own first, the shipped one last."""
    own, shipped = Path.cwd() / name, _shipped(name)
    return [own, shipped] if own.is_dir() and own.resolve() != shipped.resolve() else [shipped]


def _shipped(name: str) -> Path:
    package = Path(__file__).parent
    installed = package / "_shipped" / name
    return installed if installed.is_dir() else package.parent / name


def _found(folders: Sequence[Path], name: str, *, key: str) -> Path:
    for folder in folders:
        if (path := folder / f"{name}.yaml").is_file():
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")} - {"config"})
    raise InvalidValue(
        key, name, "one of " + ", ".join(names), advice=f"Your own go to {Path.cwd() / folders[-1].name}."
    )


def _read_yaml(path: Path) -> Values:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content


def _set(content: Values, key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise UnknownKey(key, [parent])
    content[leaf] = value


def _copied(values: Values) -> Values:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}
