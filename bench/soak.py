"""Memory, file handles and ticks of `difair sweep` while it drives thousands of short runs of real processes.

    python -m bench.soak                             # 2,000 runs, about 40 minutes on 2 cores and 20 GB of disk
    python -m bench.soak --write docs/benchmarks.md

A row is the state of the attached command when that share of the runs was done. What grows with the number of runs
would grow from row to row.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.tables import Table, machine_and_date, text, write
from difair_hpc.errors import Failure

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
POLL_SECONDS = 1.0
SWEEP = """
study: soak
stages:
  final:
    search: final
    base: {{protocol: short, protocol.epochs: 1, protocol.warmup_epochs: 0, protocol.batch_size: 512}}
    benchmarks: [digits]
    methods: [cross_entropy]
    splits: [0]
    seeds: [{seeds}]
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The attached command at one moment."""

    done: int
    """Runs that are done."""
    seconds: float
    """Since the command began."""
    memory: float
    """Resident set in MB."""
    handles: int
    """Open files."""
    processor: float
    """Seconds of processor time that the command itself has used."""


def soak(folder: Path, runs: int) -> tuple[list[Sample], dict[str, int]]:
    """Drive the runs to their end; return the samples, and the number of entries of the largest folders.

    Raises:
        Failure: the command ended with an error, or runs are missing.
    """
    (folder / "sweeps").mkdir()
    (folder / "sweeps/soak.yaml").write_text(SWEEP.format(seeds=", ".join(map(str, range(runs)))))
    command = [sys.executable, "-m", "difair_hpc", "sweep", "soak", "root=o", "-y"]
    samples: list[Sample] = []
    with (folder / "log").open("w") as log:
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                done = sum(1 for _ in (folder / "o/runs").glob("*/result.json"))
                if _due(samples, done, runs) and process.poll() is None:
                    samples.append(_sample(process.pid, done, time.monotonic() - begun))
                time.sleep(POLL_SECONDS)
        finally:
            process.terminate()
            process.wait()
    if process.returncode or not samples or samples[-1].done < runs:
        last = (folder / "log").read_text().splitlines()[-5:]
        raise Failure(f"the command ended with {process.returncode}: " + " / ".join(last))
    return samples, entries(folder / "o")


def table(samples: Sequence[Sample], entries: dict[str, int]) -> Table:
    """Return a row per sample, and the largest folders as a note."""
    rows = []
    before = Sample(done=0, seconds=0.0, memory=0.0, handles=0, processor=0.0)
    for sample in samples:
        share = (sample.processor - before.processor) / (sample.seconds - before.seconds)
        shown = f"{sample.seconds / 60:.1f}", f"{sample.memory:.0f}", str(sample.handles), f"{share:.0%}"
        rows.append((f"{sample.done:,} runs done", *shown))
        before = sample
    folders = ", ".join(f"{name} {count:,}" for name, count in entries.items())
    return Table(
        name="soak",
        title="difair sweep attached to thousands of short runs",
        header=("", "minutes", "MB", "open files", "CPU since the row before"),
        rows=tuple(rows),
        notes=(
            "Runs of one epoch of digits by the local executor, with MLflow; a sample is taken when so many are done.",
            f"Entries of the largest folders: {folders}.",
            f"{machine_and_date()}.",
            "`python -m bench.soak`",
        ),
    )


def entries(root: Path, count: int = 3) -> dict[str, int]:
    """Return the folders with the most entries, relative to the output root."""
    sizes = {str(Path(place).relative_to(root)): len(folders) + len(files) for place, folders, files in os.walk(root)}
    return dict(sorted(sizes.items(), key=lambda item: item[1], reverse=True)[:count])


def main() -> None:
    """Drive the runs, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--folder", type=Path, help="where the runs go: about 10 MB each (default: a temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this table in a Markdown file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = table(*soak(Path(folder), asked.runs))
    sys.stdout.write(text(found))
    if asked.write is not None:
        write(asked.write, found)


def _due(samples: Sequence[Sample], done: int, runs: int) -> bool:
    """Whether one of the shares has been reached that no sample stands for yet."""
    before = samples[-1].done if samples else 0
    return any(before < share * runs <= done for share in SHARES)


def _sample(process: int, done: int, seconds: float) -> Sample:
    place = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    ticks = sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:13]))
    return Sample(
        done=done,
        seconds=seconds,
        memory=int(status["VmRSS"].split()[0]) / 1000,
        handles=len(list((place / "fd").iterdir())),
        processor=ticks / os.sysconf("SC_CLK_TCK"),
    )


if __name__ == "__main__":
    main()
