"""What a job executes: one run, in a process of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difair_hpc.errors import DifairError
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec, build
from difair_hpc.runs.stop import stop_on_signal


def run_job(root: str, signature: str, execution: Mapping[str, Any]) -> str:
    """Execute a run and return how it left; its folder says the same, and is what counts."""
    with stop_on_signal() as flag:
        try:
            spec = build(ExecutionSpec, execution, key="execution")
            return execute(run_folder(Path(root), signature), spec, Events(should_stop=flag.__bool__))
        except DifairError as error:
            sys.stderr.write(f"{error}\n")
            return "failed"
