"""What a job executes: runs one after another, in a process of its own."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from difair_hpc.errors import DifairError, RunBusy
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.spec import ExecutionSpec, build
from difair_hpc.runs.stop import stop_on_signal


def run_job(root: str, signatures: Sequence[str], execution: Mapping[str, Any]) -> None:
    """Execute runs until the last one or a stop; their folders say how they left.

    Args:
        root: Output root.
        signatures: Created runs. One that another process works on, or has finished, is passed over.
        execution: Fields of `ExecutionSpec`, as plain values.
    """
    spec = build(ExecutionSpec, execution, key="execution")
    with stop_on_signal() as flag:
        for signature in signatures:
            if flag:
                return
            try:
                execute(run_folder(Path(root), signature), spec, Events(should_stop=flag.__bool__))
            except RunBusy:
                continue
            except DifairError as error:
                sys.stderr.write(f"{error}\n")
