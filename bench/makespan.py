"""Makespan of the same 40 sleeping trials on 8 GPU slots of a real SLURM, through our engine and through Hydra.

    make testbed && eval "$(slurm/testbed/control env)"
    python -m bench.makespan                                  # about 7 minutes, nearly all of it sleep
    python -m bench.makespan --write docs/benchmarks.md

A makespan lasts from the start of the command to the end of the last trial, which trials put on record themselves.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import sides
from bench.durations import LONGEST, SHORTEST, SLOTS, TRIALS, durations, list_schedule, lower_bound
from bench.tables import Table, machine_and_date, text, write
from difair_hpc.errors import Failure
from difair_hpc.sweep.commands import run_command

LIMIT_SECONDS = 540.0
"""For all sides together; whoever is at work by then is ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one side did."""

    label: str
    makespan: float
    """Seconds from the start of the command to the end of the last trial."""
    begins: float
    """Seconds from the start of the command to the start of the first trial."""
    gap: float
    """Mean seconds between the end of a trial and the start of the next on the same slot."""


def measure(side: sides.Side, folder: Path, *, deadline: float) -> Measured:
    """Let one side execute the trials until `deadline`, a moment of `time.time`.

    Raises:
        Failure: the slots are not free, the side failed or took too long, or a trial is missing or did not sleep.
    """
    _wait_for_free_slots()
    (folder / "trials").mkdir(parents=True)
    (folder / "durations.json").write_text(json.dumps(durations()), "utf-8")
    command = [word.replace("FOLDER", str(folder)) for word in side.command]
    with (folder / "log").open("w") as log:
        begun = time.time()
        process = subprocess.Popen(command, cwd=folder, env=side.environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = process.wait(max(0.0, deadline - begun))
        except BaseException as error:
            process.kill()
            process.wait()
            _cancel(side.jobs)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            seconds = time.time() - begun
            raise Failure(f"{side.label} is not done after {seconds:.0f} s: {_tail(folder / 'log')}") from error
    if code:
        _cancel(side.jobs)
        raise Failure(f"{side.label} ended with {code}: {_tail(folder / 'log')}")
    return measured(side.label, begun, _trials(folder))


def measured(label: str, begun: float, trials: Sequence[dict[str, Any]]) -> Measured:
    """Return the numbers of one side from what its trials recorded; `begun` is when its command started."""
    on_slot: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trial in sorted(trials, key=lambda trial: float(trial["started"])):
        on_slot[trial["slot"]].append(trial)
    gaps = [b["started"] - a["ended"] for row in on_slot.values() for a, b in zip(row, row[1:], strict=False)]
    return Measured(
        label=label,
        makespan=max(trial["ended"] for trial in trials) - begun,
        begins=min(trial["started"] for trial in trials) - begun,
        gap=sum(gaps) / len(gaps),
    )


def table(found: Sequence[Measured], command: str) -> Table:
    """Return the comparison that `command` asks for, with the bound that ratios refer to."""
    seconds = durations()
    bound, least = list_schedule(seconds, SLOTS), lower_bound(seconds, SLOTS)
    rows = [
        (side.label, f"{side.makespan:.1f}", f"{bound:.1f}", f"{side.makespan / bound:.2f}")
        + (f"{side.begins:.1f}", f"{side.gap:.1f}")
        for side in found
    ]
    header = ("", "makespan (s)", "list scheduling (s)", "ratio", "first trial at (s)", "mean gap (s)")
    return Table(
        name="makespan",
        title=f"Makespan of {TRIALS} trials on {SLOTS} GPU slots of a real SLURM",
        header=header,
        rows=tuple(rows),
        notes=(
            f"{TRIALS} trials sleep {SHORTEST:g} to {LONGEST:g} s (bounded Pareto, shape 1, seed 0), in the same order "
            f"everywhere; none imports torch. List scheduling: each starts the moment that a slot is free. The least "
            f"that any order could reach: {least:.1f} s. Gap: from the end of a trial to the next on its slot.",
            "Both draw with Optuna's random sampler; ours asks squeue once a minute, as it does by default.",
            f"{run_command(['sinfo', '--version']).strip()} on one machine; {machine_and_date()}.",
            f"`{command}`",
        ),
    )


def main() -> None:
    """Measure the sides one after another, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.makespan", description=__doc__.partition("\n")[0])
    parser.add_argument("--ours", type=int, nargs="*", default=[SLOTS, SLOTS + 4], help="our jobs at once, per row")
    parser.add_argument("--hydra", type=int, nargs="*", default=[SLOTS], help="Hydra's n_jobs, per row")
    parser.add_argument("--folder", type=Path, help="keep what the sides write in this new folder")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this table in a Markdown file")
    asked = parser.parse_args()
    competing = [*map(sides.ours, asked.ours), *map(sides.hydra, asked.hydra)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).absolute()
        deadline = time.time() + LIMIT_SECONDS
        seen = [measure(side, folder / str(number), deadline=deadline) for number, side in enumerate(competing)]
    words = ["python -m bench.makespan", "--ours", *map(str, asked.ours), "--hydra", *map(str, asked.hydra)]
    found = table(seen, " ".join(words))
    sys.stdout.write(text(found))
    if asked.write is not None:
        write(asked.write, found)


def _trials(folder: Path) -> list[dict[str, Any]]:
    """Return what the trials recorded, after a check that each was executed once, slept, and had no torch."""
    trials = [json.loads(path.read_text("utf-8")) for path in (folder / "trials").glob("*.json")]
    for number, seconds in enumerate(durations()):
        mine = [trial for trial in trials if trial["number"] == number]
        if len(mine) != 1 or mine[0]["torch"] or mine[0]["ended"] - mine[0]["started"] < seconds:
            raise Failure(f"trial {number} of {folder} was not executed as it should be: {mine}")
    if len(used := {trial["slot"] for trial in trials}) < SLOTS:
        raise Failure(
            f"only {len(used)} of {SLOTS} GPU slots were used: SLURM holds one for nobody; restart the testbed"
        )
    return trials


def _wait_for_free_slots() -> None:
    """Wait until the last jobs of the side before have left; anybody else's would distort the measurement."""
    until = time.monotonic() + 30.0
    while queue := run_command(["squeue", "-h", "-o", "%i"]).split():
        if time.monotonic() > until:
            raise Failure(f"the cluster is not free (jobs {', '.join(queue)}); wait for them, or cancel them.")
        time.sleep(0.5)


def _cancel(beginning: str) -> None:
    """Cancel the jobs whose name begins so."""
    lines = map(str.split, run_command(["squeue", "--me", "-h", "-o", "%A %j"]).splitlines())
    if numbers := {number for number, name in lines if name.startswith(beginning)}:
        run_command(["scancel", *numbers])


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
