"""Where YAML files are found: a user's own ./sweeps and ./slurm before the shipped ones."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from difair_hpc.errors import InvalidValue, UserError

UNREADABLE = (yaml.YAMLError, OSError, ValueError, RecursionError)
"""What reading a YAML file may raise: no YAML, no file, no text, or lists in lists without an end."""


def folders() -> dict[str, Path]:
    """Return the folders of YAML files as a frozen copy names them: the shipped ones, and own/… for the user's."""
    named: dict[str, Path] = {}
    for name in ("sweeps", "slurm"):
        *own, shipped = places_of(name)
        named |= {name: shipped} | {f"own/{name}": folder for folder in own}
    return named


def choices(group: str) -> list[str]:
    """Return the names of the files of a group, such as benchmark."""
    return sorted({path.stem for folder in places_of("sweeps") for path in (folder / group).glob("*.yaml")})


def places_of(name: str) -> list[Path]:
    """Return the folders called `name` (sweeps or slurm), the user's own first, the shipped one last."""
    own, shipped = Path.cwd() / name, _shipped(name)
    return [own, shipped] if own.is_dir() and own.resolve() != shipped.resolve() else [shipped]


def manual(name: str) -> Path:
    """Return the path of a page of the documentation that messages point to."""
    return _shipped("docs") / name


def _shipped(name: str) -> Path:
    package = Path(__file__).parents[1]
    installed = package / "_shipped" / name
    return installed if installed.is_dir() else package.parent / name


def found(folders: Sequence[Path], name: str, *, key: str) -> Path:
    """Return the file of a name in the first folder that has it.

    Raises:
        InvalidValue: none has it; names `key` and the files that are there.
    """
    for folder in folders:
        if os.path.isfile(path := folder / f"{name}.yaml"):  # noqa: PTH113 (Path.is_file raises where a name is too long)
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")} - {"config"})
    raise InvalidValue(
        key, name, "one of " + ", ".join(names), advice=f"Your own go to {Path.cwd() / folders[-1].name}."
    )


def sweep_files() -> dict[str, tuple[Path, str]]:
    """Return the names that `difair sweep` takes: each with its file, and the first sentence of its comment.

    One that cannot be read is among them, since its name may be meant; one without stages, of whatever tool, is not.
    """
    files: dict[str, tuple[Path, str]] = {}
    for folder in places_of("sweeps"):
        for path in sorted(folder.glob("*.yaml")):
            if path.stem == "config":  # of a single run, or another tool's
                continue
            try:
                content = read_yaml(path)
            except UserError:
                files.setdefault(path.stem, (path, "(it cannot be read as a sweep file)"))
                continue
            if "stages" in content:
                files.setdefault(path.stem, (path, _about(path.read_text("utf-8"))))
    return dict(sorted(files.items()))


def _about(text: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.strip().splitlines())
    return re.split(r"(?<=[.?!])\s", " ".join(line.strip("# ") for line in comment))[0]


def own_folder(key: str, value: object) -> Path:
    """Return the absolute path of a folder of the user's: it need not exist, but the system can be asked about it.

    Raises:
        InvalidValue: it cannot, such as one whose name is too long.
    """
    path = Path(str(value)).absolute()
    try:
        path.is_dir()
    except OSError as error:
        advice = f"This one cannot be: {error.strerror}."
        raise InvalidValue(key, value, "a folder that can be looked at", advice=advice) from error
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        UserError: it holds none.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except UNREADABLE as error:
        raise UserError(f"{path} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content
