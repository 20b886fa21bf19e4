"""What a run costs before its first step: nothing is imported that only evaluation, tracking or a search needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import short

FIRST_STEP = """
import os, sys
from difair_hpc.cli import main
from difair_hpc.runs.session import Session

def progress(*_):
    print("imported:", *sorted({"sklearn", "scipy", "pandas", "matplotlib", "mlflow", "optuna"} & set(sys.modules)))
    sys.stdout.flush()
    os._exit(0)

Session.progress = progress
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_run_trains_before_it_imports_what_only_evaluation_and_tracking_need(tmp_path: Path) -> None:
    words = ["train", *short.words(short.short(2)), "tracking_uri=none"]
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "imported:", "each costs seconds before the first step, and at each resume"


def test_a_job_imports_as_little(tmp_path: Path) -> None:
    heavy = ("sklearn", "scipy", "pandas", "matplotlib", "mlflow", "optuna", "hydra", "submitit")
    code = f"import difair_hpc.runs.job, sys; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
