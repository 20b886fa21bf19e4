"""Hydra's way to the group files: each is read as every other YAML file of ours (yamls.py), wherever it lies.

Hydra's own source takes a folder as a URL without undoing its escapes, and reads numbers by rules of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from difair_hpc.config.kinds import GROUPS
from difair_hpc.config.places import places_of, shown
from difair_hpc.config.yamls import read_yaml
from difair_hpc.errors import UserError

read: list[Path] = []
"""Files that were read since somebody emptied the list."""


class _Folders(SearchPathPlugin):
    """Puts the folders of sweeps before what Hydra knows: the user's own first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed(places_of("sweeps")):
            search_path.prepend("difair", f"{_YamlFiles.scheme()}://{folder}")


class _YamlFiles(ConfigSource):
    """The YAML files of a folder and its groups."""

    @staticmethod
    def scheme() -> str:
        return "difair"

    def load_config(self, config_path: str) -> ConfigResult:
        path = self._file(config_path)
        read.append(path)
        header = ConfigSource._get_header_dict(path.read_text("utf-8", errors="replace")[:512])
        group = config_path.rpartition("/")[0]
        content = read_yaml(path, under="" if header.get("package") == "_global_" else group)
        if config_path == "config":
            _check_run(path, content.get("defaults"))
        place = f"{self.scheme()}://{self.path}"
        return ConfigResult(provider=self.provider, path=place, config=OmegaConf.create(content), header=header)

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        wanted = results_filter in (None, ObjectType.CONFIG)
        folder = Path(self.path) / config_path
        return sorted(path.stem for path in folder.glob("*.yaml") if wanted and path.is_file())

    def _file(self, name: str) -> Path:
        return Path(self.path) / f"{name.removesuffix('.yaml')}.yaml"


def _check_run(path: Path, defaults: object) -> None:
    """Refuse a config.yaml that is not what a run is composed from.

    Raises:
        UserError: names the file and what it lacks.
    """
    entries = defaults if isinstance(defaults, Sequence) and not isinstance(defaults, str) else []
    named = {str(name).split()[-1].partition("@")[0] for entry in entries if isinstance(entry, dict) for name in entry}
    lacking = [group for group in GROUPS if group not in named]
    if lacking:
        pattern = places_of("sweeps")[-1] / "config.yaml"
        raise UserError(
            f"{shown(path)} does not describe a difair run: its defaults lack {', '.join(lacking)}. If it belongs to "
            f"another tool, work in another folder; if it is yours, start from {pattern}."
        )


def register() -> None:
    """Make Hydra look for group files in the folders of sweeps."""
    for plugin in (_YamlFiles, _Folders):
        Plugins.instance().register(plugin)
