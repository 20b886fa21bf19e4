"""Pruning in a study's folders: verdicts go to the ledger, then marks to the runs; both can be done again.

A verdict is given once, from what the spool holds of the epoch at which a cycle ended. Marks and Optuna's trials follow
from it. A run that was stopped keeps its checkpoint; for other stages and studies it is a run like any other.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from difair_hpc.errors import Unreadable
from difair_hpc.runs.folder import RunState, run_folder
from difair_hpc.runs.marks import read_mark, write_mark
from difair_hpc.runs.spec import flat
from difair_hpc.sweep.ledger import Ledger, Rung
from difair_hpc.sweep.rungs import rung_epochs, verdict
from difair_hpc.sweep.spec import StageSpec
from difair_hpc.sweep.stages import is_eligible
from difair_hpc.train.spec import ProtocolSpec


def judge(
    folder: Ledger, book: str, stage: StageSpec, protocol: ProtocolSpec, *, states: Sequence[RunState], root: Path
) -> list[Rung]:
    """Put a verdict on record for every run that has come to a rung, and return all of the stage's.

    Args:
        folder: Of the study, whose lease the caller holds.
        book: Name of the stage's list of trials.
        stage: A stage that prunes.
        protocol: Of its runs.
        states: Of its runs, each once.
        root: Output root.
    """
    rungs = folder.rungs(book)
    known = {(rung.run, rung.cycle) for rung in rungs}
    stopped = {rung.run for rung in rungs if rung.pruned}
    on = {state.signature: state for state in states if state.signature not in stopped}
    came = [one for state in on.values() for one in _arrivals(state, stage, protocol, known, root)]
    for _, rung in sorted(came, key=lambda pair: (pair[0], pair[1].run, pair[1].cycle)):
        if rung.run not in stopped:
            rungs.append(verdict(rungs, rung, stage, done=on[rung.run].status == "done"))
            folder.add_rung(book, rungs[-1])
            stopped |= {rung.run} if rungs[-1].pruned else set()
    return rungs


def pruned_runs(folder: Ledger, book: str, root: Path) -> dict[str, str]:
    """Return why a stage has pruned each run that it has, by signature; a user may have asked for the rest of one."""
    stopped = {rung.run: str(rung) for rung in folder.rungs(book) if rung.pruned}
    return {run: why for run, why in stopped.items() if not _is_wanted_whole(root, run)}


def _is_wanted_whole(root: Path, run: str) -> bool:
    try:
        return read_mark(run_folder(root, run).path).whole
    except Unreadable:  # nobody executes it before it can be read
        return False


def stop(folder: Ledger, book: str, signature: str, why: str, root: Path) -> None:
    """Let a run leave, or not begin again, because of a stage's verdict; done once, however often it is called."""
    path, name = run_folder(root, signature).path, f"{folder.path.name}/{book}"
    mark = read_mark(path)
    if name not in mark.pruned_in:
        by = mark.by if mark.hold else f"stage {book.rpartition('-')[0]} of study {folder.path.name} ({why})"
        new = replace(mark, hold=mark.hold or "pruned", by=by, pruned_in=(*mark.pruned_in, name))
        write_mark(path, new)


def was_stopped(folder: Ledger, book: str, signature: str, root: Path) -> bool:
    """Whether `stop` has done its work."""
    return f"{folder.path.name}/{book}" in read_mark(run_folder(root, signature).path).pruned_in


def _arrivals(
    state: RunState, stage: StageSpec, protocol: ProtocolSpec, known: set[tuple[str, int]], root: Path
) -> list[tuple[float, Rung]]:
    """Return the rungs at which a run has no verdict yet, each with the moment at which it came there."""
    assert stage.choose is not None, "StageSpec refuses to prune without a choice"
    run, metric = state.signature, stage.rung_metric
    reached = {cycle: epoch for cycle, epoch in rung_epochs(protocol).items() if epoch <= state.epoch}
    missing = {cycle: epoch for cycle, epoch in reached.items() if (run, cycle) not in known}
    if not missing or state.accuracy is None:
        return []
    folder = run_folder(root, run)
    points, eligible = folder.points(), is_eligible(stage.choose, flat(folder.spec().to_dict()))
    found = {
        cycle: points[epoch] for cycle, epoch in missing.items() if metric in points.get(epoch, {}).get("metrics", {})
    }
    return [
        (
            point["time"],
            Rung(
                run=run,
                cycle=cycle,
                epoch=point["epoch"],
                metric=metric,
                value=point["metrics"][metric],
                eligible=eligible,
            ),
        )
        for cycle, point in found.items()
    ]
