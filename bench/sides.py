"""Who executes the trials in the comparison of makespans, and how each is started."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.durations import SLOTS, TRIALS

ROOT = Path(__file__).parents[1]
PEER = ROOT / "bench" / "hydra_peer"
ENVIRONMENT = ROOT / ".peers" / "hydra"


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One way to execute the trials."""

    label: str
    """In the table."""
    command: tuple[str, ...]
    """Words, in which FOLDER stands for the side's own folder."""
    environment: Mapping[str, str]
    jobs: str
    """Beginning of the names of its jobs."""


def ours(parallel: int) -> Side:
    """Return our engine with so many jobs at once, those that wait for a GPU included."""
    ahead = f", {parallel - SLOTS} jobs waiting in SLURM's queue" if parallel > SLOTS else ""
    return Side(
        label=f"difair-hpc, attached{ahead}",
        command=(sys.executable, "-m", "bench.ours", "FOLDER", str(parallel)),
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
        jobs="difair-makespan-",
    )


def hydra(at_once: int) -> Side:
    """Return Hydra with its submitit launcher and its Optuna sweeper, which waits for all of `at_once` trials."""
    blind = ": all proposed before any result" if at_once >= TRIALS else ""
    python = _environment()
    words = ("--multirun", "folder=FOLDER", f"hydra.sweeper.n_jobs={at_once}")
    return Side(
        label=f"Hydra, Optuna sweeper, submitit launcher, n_jobs={at_once}{blind}",
        command=(str(python), str(PEER / "app.py"), *words),
        environment={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        jobs="difair-makespan-hydra",
    )


def _environment() -> Path:
    """Return the Python of the peer's environment, which is made the first time."""
    python, wanted = ENVIRONMENT / "bin" / "python", PEER / "requirements.txt"
    made = ENVIRONMENT / "requirements.txt"  # copied last: without it the installation was interrupted
    if not made.exists() or made.read_text("utf-8") != wanted.read_text("utf-8"):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(wanted)], check=True)
        shutil.copyfile(wanted, made)
    return python
