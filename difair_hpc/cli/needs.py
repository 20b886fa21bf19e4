"""What a command needs before it begins: the data sets of its benchmarks."""

from collections.abc import Iterable

from difair_hpc.config import Settings
from difair_hpc.errors import DataMissing


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
