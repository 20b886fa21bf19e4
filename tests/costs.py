"""What tests cost: a line per test and per process while they run, and a table of them afterwards.

`pytest --costs FILE` writes the lines; `python -m tests.costs FILE...` prints what each part took, and its dearest
files.
Processor time is that of the tests' processes, of all that these waited for, and of the jobs of the testbed's SLURM.
"""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_DEAREST = 12
"""Files that are listed of each part."""
_SACCT = ("sacct", "--noheader", "--parsable2", "--duplicates", "--format=JobID,TotalCPU")


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Costs:
    """The plugin of one process of tests."""

    def __init__(self, path: Path) -> None:
        """Append to the file."""
        self._path = path
        self._began = time.time()
        self._conf = os.environ.get("SLURM_CONF", "") if "DIFAIR_TEST_SLURM" in os.environ else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began, used = time.monotonic(), processor_seconds()
        try:
            return (yield)
        finally:
            cost = {"wall": time.monotonic() - began, "cpu": processor_seconds() - used}
            self._write({"test": item.nodeid, **cost})

    @pytest.hookimpl(trylast=True)  # once the parent of forked processes has ended
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what the process used in all; the one that only hands out tests waited for the others, which wrote."""
        if not getattr(session.config.option, "numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
            self._write({"process": os.getpid(), "cpu": processor_seconds() + self._jobs()})

    def _jobs(self) -> float:
        """Return the processor seconds of the testbed's jobs since the tests began."""
        if not self._conf:
            return 0.0
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(self._began))
        asked = subprocess.run(
            [*_SACCT, f"--starttime={since}"],
            env={**os.environ, "SLURM_CONF": self._conf},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split("|") for line in asked.stdout.splitlines()]
        return sum(_seconds(used) for job, used in lines if "." in job)  # its steps; a job itself sums them up

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _seconds(text: str) -> float:
    """Return sacct's `1-02:03:04` or `03:04.567` in seconds."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in re.split(":", rest):
        seconds = 60 * seconds + float(part)
    return seconds + 86400 * float(days or 0)


def _table(path: Path) -> str:
    """Return the costs of one part, as Markdown."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    files: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for line in lines:
        if "test" in line:
            found = files[line["test"].partition("::")[0]]
            found[0], found[1], found[2] = found[0] + 1, found[1] + line["wall"], found[2] + line["cpu"]
    dearest = sorted(files.items(), key=lambda item: -item[1][1])[:_DEAREST]
    rows = [f"| {name} | {count:.0f} | {wall / 60:.1f} | {cpu / 60:.1f} |" for name, (count, wall, cpu) in dearest]
    count, cpu = sum(int(found[0]) for found in files.values()), sum(line["cpu"] for line in lines if "process" in line)
    head = ["| file | tests | wall minutes | processor minutes |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, f"| all of {path.stem} | {count} | | {cpu / 60:.1f} |"])


def main() -> None:
    """Print a table for each file; `--total FILE` prints `tests processor_minutes` alone."""
    if sys.argv[1] == "--total":
        lines = [json.loads(line) for line in Path(sys.argv[2]).read_text().splitlines()]
        cpu = sum(line["cpu"] for line in lines if "process" in line)
        sys.stdout.write(f"{sum('test' in line for line in lines)} {cpu / 60:.1f}\n")
        return
    sys.stdout.write("\n\n".join(_table(Path(name)) for name in sys.argv[1:]) + "\n")


if __name__ == "__main__":
    main()
