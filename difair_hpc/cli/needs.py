"""What a command needs before it begins: the data sets of its benchmarks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from difair_hpc.config import Settings
from difair_hpc.errors import DataMissing, UserError

if TYPE_CHECKING:
    from difair_hpc.data.catalogue import DatasetState


def require_root(where: Settings, words: Iterable[str]) -> None:
    """Refuse a typed root= that is no folder: a command that reads would find nothing.

    Args:
        where: The settings.
        words: Of the command.

    Raises:
        UserError: names the folder.
    """
    if where.root.is_dir():
        return
    word = next((word for word in words if word.startswith("root=")), None)
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
        lines = [f"{state.name}: expected in {state.where}; {_how(state)}" for state in missing]
        raise DataMissing("data sets are missing:\n  " + "\n  ".join(lines))


def _how(state: "DatasetState") -> str:
    """Return what is there instead and what to do with it, or how to fetch the data set."""
    return f"difair data get {state.name}" if "Get it with" in state.note else state.note.rstrip(".")
