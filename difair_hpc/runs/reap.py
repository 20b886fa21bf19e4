"""MLflow's word for how a run stands, and an end for what it calls running although nobody works on it."""

from pathlib import Path

from difair_hpc.errors import NewerSchema, Unreadable
from difair_hpc.folders import exists
from difair_hpc.runs.attempts import newest
from difair_hpc.runs.folder import RunState, run_folder
from difair_hpc.runs.shown import VIEW
from difair_hpc.runs.store import FINAL, KIND, ROOT, SIGNATURE, client_of, explained, root_name, settle
from difair_hpc.words import is_name

_OWN_FAULT = ("failed", "out_of_memory", "died", "stalled")
"""Ends of an attempt (sweep/ends.py) that MLflow calls FAILED; the others came from outside: KILLED."""


def status_of(state: RunState) -> str:
    """Return MLflow's word for a run: how its newest attempt left, unless it is at work or done."""
    if state.status in ("running", "done"):
        return "RUNNING" if state.status == "running" else "FINISHED"
    why = state.kind or ("stopped" if state.status == "stopped" else "died")
    return "FAILED" if why in _OWN_FAULT else "KILLED"


def end_of(state: RunState) -> float | None:
    """Return when a run left or was last heard of, seconds since 1970; None while it is at work."""
    if state.status == "running":
        return None
    if state.result is not None:
        return float(state.result.get("finished", 0.0)) or state.heard
    return state.heard if state.heard is not None else state.started


def reap(uri: str, root: Path) -> None:
    """End what MLflow calls running and nobody works on, in every study of an output root.

    Raises:
        Failure: the store cannot be used.
    """
    with explained(uri):
        client = client_of(uri)
        names = {
            one.experiment_id: one.name for one in client.search_experiments() if VIEW in one.tags and is_name(one.name)
        }
        condition = f"attributes.status = 'RUNNING' and tags.`{ROOT}` = '{root_name(root)}'"
        found = client.search_runs(list(names), condition, max_results=1000) if names else []
        at_work = set()
        for run in found:
            if run.data.tags[KIND] != "run" or not is_name(run.data.tags[SIGNATURE]):
                continue
            try:
                state = run_folder(root, run.data.tags[SIGNATURE]).state()
            except (NewerSchema, Unreadable):
                continue  # whoever ships it says so
            settle(client, run, status_of(state), end_of(state))
            at_work |= {run.info.experiment_id} if state.status == "running" else set()
        for run in (run for run in found if run.data.tags[KIND] != "run"):
            study = root / "studies" / names[run.info.experiment_id]
            holder = newest(study)
            if run.info.experiment_id not in at_work and (holder is None or not holder.alive):
                settle(client, run, "FINISHED" if FINAL in run.data.tags or not exists(study) else "KILLED")
