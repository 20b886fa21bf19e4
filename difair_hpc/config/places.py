"""Where YAML files are found: a user's own ./sweeps and ./slurm before the shipped ones."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from difair_hpc.config.yamls import read_yaml
from difair_hpc.errors import InvalidValue, UserError

_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,99}")
NAMES = "letters, digits, . _ + and -, at most 100 of them, and no . or - to begin with"
_FILE = re.compile(r"(?![.-])[^\0/]{1,60}")
"""Name of a YAML file, without its ending, or of a folder of such."""


def checked_name(key: str, name: str) -> str:
    """Return a name that is going to be that of a file or folder, of a job and of pages.

    Raises:
        InvalidValue: it could not be one.
    """
    if not _NAME.fullmatch(name):
        raise InvalidValue(key, repr(name), NAMES)
    return name


def folders() -> dict[str, Path]:
    """Return the folders of YAML files as a frozen copy names them: the shipped ones, and own/… for the user's."""
    named: dict[str, Path] = {}
    for name in ("sweeps", "slurm"):
        *own, shipped = places_of(name)
        named |= {name: shipped} | {f"own/{name}": folder for folder in own}
    return named


def choices(group: str) -> list[str]:
    """Return the names of the files of a group, such as benchmark."""
    return sorted({name for folder in places_of("sweeps") for name in _names(folder / group)})


def _names(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.yaml") if path.is_file()]


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


def shown(path: Path) -> str:
    """Return a file as messages name it: by what is below this folder where it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def found(folders: Sequence[Path], name: str, *, key: str) -> Path:
    """Return the file of a name in the first folder that has it.

    Raises:
        InvalidValue: it is no name, or none has it; names `key` and the files that are there.
        UserError: what has the name there is no file.
    """
    own = f"Your own go to {Path.cwd() / folders[-1].name}."
    if not all(_FILE.fullmatch(part) for part in name.split("/")):
        allowed = f"the name of a file in {folders[-1].name}/, without its ending"
        raise InvalidValue(key, repr(name), allowed, advice=own)
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
        if os.path.lexists(path):
            what = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "no file"
            raise UserError(f"{shown(path)} is {what}; rename or remove it, or choose another {key}.")
    names = sorted({name for folder in folders for name in _names(folder)} - {"config"})
    if other := next((folder for folder in folders if os.path.lexists(folder / f"{name}.yml")), None):
        own = f"{shown(other / name)}.yml would be read if it ended in .yaml."
    if name.endswith(".yaml") and name.removesuffix(".yaml") in names:
        own = f"Write {name.removesuffix('.yaml')}: the name without its ending."
    raise InvalidValue(key, name, "one of " + ", ".join(names), advice=own)


def sweep_files() -> dict[str, tuple[Path, str]]:
    """Return the names that `difair sweep` takes: each with its file, and the first sentence of its comment.

    One that cannot be read is among them, since its name may be meant; one without stages, of whatever tool, is not.
    """
    files: dict[str, tuple[Path, str]] = {}
    for folder in places_of("sweeps"):
        for path in sorted(folder.glob("*.yaml")):
            if path.stem == "config" or not path.is_file():  # of a single run, or another tool's; no file
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
    if "\0" in str(value):
        raise InvalidValue(key, repr(value), "a folder that can be looked at")
    path = Path(str(value)).absolute()
    try:
        path.is_dir()
    except OSError as error:
        advice = f"This one cannot be: {error.strerror}."
        raise InvalidValue(key, value, "a folder that can be looked at", advice=advice) from error
    return path
