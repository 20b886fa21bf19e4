"""What a tick and `difair status` cost with 100, 1,000 and 10,000 runs, whose folders are made up.

    python -m bench.ticks                            # about 5 minutes
    python -m bench.ticks --runs 100 1000            # the short form of make bench, with a section of its own
    python -m bench.ticks --write docs/benchmarks.md

Each number comes from a process of its own, which is ended when it needs more than the limit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from bench.tables import Table, machine_and_date, text, write
from bench.tick import study
from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger
from tests.sweep.made import finish

RUNS = (100, 1_000, 10_000)
SEARCHES = ("grid", "final")
STATES = {"all new": 0.0, "half done": 0.5, "all done": 1.0}
"""Share of the runs that are done."""
COSTS = ("tick that hears of it", "first tick of a process", "tick after that", "difair status")

Cell = tuple[str, str, str]
"""Search, state and cost: a row of the table."""


def measure(root: Path, search: str, runs: int, limit: float) -> Iterator[tuple[Cell, float]]:
    """Yield the seconds of each cost in each state, up to the first that takes longer than the limit."""
    jobs: list[list[str]] = []
    for state, share in STATES.items():
        _finish(root, search, runs, share)
        jobs = [job for job in jobs if run_folder(root, job[0]).result() is None]
        (news, _), jobs = _tick(root, search, runs, jobs, limit)
        yield (search, state, COSTS[0]), news
        (first, after), _ = _tick(root, search, runs, jobs, limit)
        yield (search, state, COSTS[1]), first
        yield (search, state, COSTS[2]), after
        yield (search, state, COSTS[3]), _status(root, limit)


def table(found: Mapping[int, Mapping[Cell, float]], limit: float) -> Table:
    """Return the seconds by number of runs, and how the cost per run grows from the fewest to the most."""
    cells = [(search, state, cost) for search in SEARCHES for state in STATES for cost in COSTS]
    rows = []
    for cell in cells:
        shown = [f"{seconds[cell]:.3f}" if cell in seconds else "–" for seconds in found.values()]
        per_run = [seconds[cell] / runs for runs, seconds in found.items() if cell in seconds]
        growth = f"{per_run[-1] / per_run[0]:.2f}" if len(per_run) > 1 else "–"
        rows.append((", ".join(cell), *shown, growth))
    short = tuple(found) != RUNS
    return Table(
        name="ticks-short" if short else "ticks",
        title="Seconds of a tick and of difair status, by number of runs" + ", short form" * short,
        header=("", *(f"{runs:,}" for runs in found), "cost per run, last : first"),
        rows=tuple(rows),
        notes=(
            "grid: trials are kept in Optuna as well; final: in the ledger alone. The tick that hears of it puts all "
            "trials on record, or tells of half the runs at once; the other ticks find nothing new. Importing is not "
            f"part of a tick, but of difair status, a whole process. –: it, or one before it, took over {limit:g} s.",
            f"{machine_and_date()}.",
            "`python -m bench.ticks" + f" --runs {' '.join(map(str, found))}" * short + "`",
        ),
    )


def main() -> None:
    """Measure all sizes, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.ticks", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=list(RUNS), help="powers of ten up to 10000")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that one process may take")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this table in a Markdown file")
    asked = parser.parse_args()
    found = table({runs: _sized(runs, asked.limit) for runs in asked.runs}, asked.limit)
    sys.stdout.write(text(found))
    if asked.write is not None:
        write(asked.write, found)


def _sized(runs: int, limit: float) -> dict[Cell, float]:
    """Return what was measured with so many runs."""
    found: dict[Cell, float] = {}
    for search in SEARCHES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found.update(measure(Path(folder), search, runs, limit))  # keeps what came before an error
            except subprocess.TimeoutExpired:
                sys.stderr.write(f"{search} with {runs} runs: not within {limit:g} s\n")
    return found


def _tick(
    root: Path, search: str, runs: int, jobs: Sequence[Sequence[str]], limit: float
) -> tuple[tuple[float, float], list[list[str]]]:
    """Tick twice in a process of its own; return the seconds of both ticks, and the jobs of the cluster."""
    command = [sys.executable, "-m", "bench.tick", str(root), search, str(runs)]
    done = subprocess.run(command, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True, timeout=limit)
    answer = json.loads(done.stdout)
    first, second = answer["seconds"]
    return (first, second), answer["jobs"]


def _status(root: Path, limit: float) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "difair_hpc", "status", f"root={root}"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=limit)
    return time.perf_counter() - begun


def _finish(root: Path, search: str, runs: int, share: float) -> None:
    """Let the first trials, up to this share of all, be done."""
    book = ledger(root, "ticks")
    trials = [trial for path in book.path.glob("only-*.jsonl") for trial in book.trials(path.stem)]
    (stage,) = study(search, runs).stages
    with patch("os.fsync"):  # these folders need not outlive a power cut
        for trial in trials[: int(share * runs)]:
            folder = run_folder(root, trial.signature)
            if folder.result() is None:
                folder.create(build_run(stage.base, trial.parameters))
                finish(root, trial.signature)


if __name__ == "__main__":
    main()
