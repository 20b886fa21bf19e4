"""What a command needs before it begins, seen without writing anything: a dry run looks at the same."""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from difair_hpc import config
from difair_hpc.config import Settings
from difair_hpc.errors import DataMissing, DifairError, Failure, InvalidValue, UserError
from difair_hpc.folders import exists, possible_folder, require_closed
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.space import foreseen
from difair_hpc.sweep.spec import StudySpec
from difair_hpc.words import visible

if TYPE_CHECKING:
    from difair_hpc.data.catalogue import DatasetState

_COME_WITH_SCIKIT_LEARN = {"digits", "digits-all"}

Need = Callable[[], object]
"""Raises a `DifairError` where something is missing."""


def needs_of_study(study: StudySpec, profile: Profile, where: Settings, folder: Path, *, submits: bool) -> list[Need]:
    """Return what a study needs: a folder, data, a storage that answers, and SLURM where jobs execute it.

    Args:
        study: The study.
        profile: Where its runs execute.
        where: The settings.
        folder: Of the study; it need not exist.
        submits: Whether this is to be submitted from here, and not a look from a job or by cron.
    """
    needs: list[Need] = [
        partial(_require_root, where.root, folder, jobs=profile.executor == "slurm"),
        lambda: require_data(benchmarks_of(study), where),
    ]
    if where.storage and not exists(folder / "study.json"):  # later on it may be away for a while
        needs.append(partial(_require_database, where.storage))
    return [*needs, _require_sbatch] if profile.executor == "slurm" and submits else needs


def needs_of_run(benchmark: str, where: Settings) -> list[Need]:
    """Return what a single run needs: a folder and data."""
    root = partial(_require_root, where.root, where.root, jobs=False)
    return [partial(require_closed, where.root), root, lambda: require_data([benchmark], where)]


def all_missing(needs: Sequence[Need]) -> int:
    """Say all that is missing on standard error; return the exit code with which the command would end."""
    code = 0
    for need in needs:
        try:
            need()
        except DifairError as error:
            sys.stderr.write(visible(f"difair: {error}\n"))
            code = max(code, error.exit_code)
    return code


def benchmarks_of(study: StudySpec) -> set[str]:
    """Return the benchmarks that the runs of a study read."""
    return {
        config.build_run(stage.base, parameters).benchmark.name
        for stage in study.stages
        for parameters in foreseen(stage)
    }


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
        what = "is not a folder" if where.root.exists() else "does not exist"
        said = f"{word}: there is nothing in {where.root}, which {what}"
        raise UserError(f"{said}; difair sweep and difair train make an output root.")


def require_data(benchmarks: Iterable[str], where: Settings) -> None:
    """Refuse to begin where the files of a data set are not all there; whether they are sound is seen when read.

    Raises:
        DataMissing: names every data set that is missing, where it is expected and how to get it.
    """
    wanted = set(benchmarks) - _COME_WITH_SCIKIT_LEARN
    if not wanted:
        return
    from difair_hpc.data.catalogue import inspect, needed  # brings torch

    names = {name for benchmark in wanted for name in needed(benchmark)}
    missing = [state for state in inspect(where.data_root, verify=False) if state.name in names and not state.complete]
    if missing:
        lines = [f"{state.name}: expected in {state.where}; {_how(state)}" for state in missing]
        raise DataMissing("data sets are missing:\n  " + "\n  ".join(lines))


def _require_root(root: Path, folder: Path, *, jobs: bool) -> None:
    for place in (root, folder):
        possible_folder(place, key="root")
    if jobs and {"\\", "\n"} & set(str(root)):
        allowed = "a folder without a backslash or a line break in its path: SLURM cannot name the logs of jobs there"
        raise InvalidValue("root", ascii(str(root)), allowed)


def _require_database(url: str) -> None:
    from difair_hpc.sweep.storage import connects

    connects(url)


def _require_sbatch() -> None:
    if shutil.which("sbatch") is None:
        raise Failure("sbatch is not on this machine: submit from a login node, or use cluster=local.")


def _how(state: "DatasetState") -> str:
    """Return what is there instead and what to do with it, or how to fetch the data set."""
    return f"difair data get {state.name}" if "Get it with" in state.note else state.note.rstrip(".")
