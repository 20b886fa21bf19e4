"""What a command needs before it begins: the data sets of its benchmarks."""

import os
from collections.abc import Iterable

from difair_hpc.config import Settings
from difair_hpc.errors import DataMissing, UserError


def require_root(where: Settings, words: Iterable[str]) -> None:
    """Refuse an output root that somebody has named and that is no folder: a command that reads would find nothing.

    Args:
        where: The settings.
        words: Of the command.

    Raises:
        UserError: names the folder, and where that name is from.
    """
    if where.root.is_dir():
        return
    word = next((word for word in words if word.startswith("root=")), None)
    if word is None and (named := os.environ.get("DIFAIR_ROOT")):
        word = f"DIFAIR_ROOT={named}"
    if word is not None:
        what = "is no folder" if where.root.exists() else "does not exist"
        said = f"{word}: there is nothing in {where.root}, which {what}"
        raise UserError(f"{said}; difair sweep and difair train make an output root.")


def require_data(benchmarks: Iterable[str], where: Settings) -> None:
    """Refuse to begin where the files of a data set are not all there; whether they are sound is seen when read.

    Raises:
        DataMissing: names every data set that is missing, where it is expected and how to get it.
    """
    from difair_hpc.data.catalogue import inspect, needed

    names = {name for benchmark in benchmarks for name in needed(benchmark)}
    if names <= {"digits"}:
        return
    missing = [state for state in inspect(where.data_root, verify=False) if state.name in names and not state.complete]
    if missing:
        lines = [f"{state.name}: expected in {state.where}; difair data get {state.name}" for state in missing]
        raise DataMissing("data sets are missing:\n  " + "\n  ".join(lines))
