"""Every run of the studies under a root: folders, queue and plan in one list; what the reading commands share."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from difair_hpc import config
from difair_hpc.cli.clusters import request_of, rules_of, slurm_cluster, threads_asked
from difair_hpc.cli.train import experiment
from difair_hpc.errors import DataDamaged, DifairError, InvalidValue, NewerSchema, Unreadable
from difair_hpc.files import read_json
from difair_hpc.folders import exists
from difair_hpc.runs.folder import run_folder, run_names
from difair_hpc.runs.marks import Mark, read_mark
from difair_hpc.runs.refused import Refusals, grouped
from difair_hpc.runs.shown import run_count
from difair_hpc.runs.tracking import default_uri
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.damage import damaged_in_study
from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.ledger import ledger, studies
from difair_hpc.sweep.plan import Limits, TrialView, given_up, next_step
from difair_hpc.sweep.pruning import pruned_runs
from difair_hpc.sweep.select import RunRow
from difair_hpc.sweep.sight import Sight
from difair_hpc.words import one_line

if TYPE_CHECKING:
    from difair_hpc.sweep.slurm import SlurmCluster


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyOverview:
    """One study as it stands."""

    study: str
    rows: tuple[RunRow, ...]
    jobs: tuple[Job, ...] = ()
    """Those that have not ended; empty where it runs in local processes."""
    notes: tuple[str, ...] = ()
    """What is to be said of the whole study."""
    threads: int | None = None
    """CPU threads that its profile asks for; None: each run's share of the machine."""
    gpu_share: float | None = None
    """GPUs that a run holds while it works; None: its profile asks for none."""


def overview(where: config.Settings, names: Sequence[str] = ()) -> list[StudyOverview]:
    """Return the named studies, or all of them and the runs that belong to none.

    Raises:
        InvalidValue: there is no such study.
    """
    found = studies(where.root)
    for name in names:
        if name not in found:
            known = ", ".join(found) or f"none: {where.root} holds no study"
            raise InvalidValue("study", name, f"one of {known}")
    stages = {name: _stages(where.root, name) for name in found}
    counts = [sum(len(stage["trials"]) for stage in stages[name]) for name in found]
    firsts = dict(zip(found, itertools.accumulate(counts, initial=1), strict=False))  # the same whatever is asked for
    result = [_study(where, name, stages[name], first=firsts[name]) for name in names or found]
    if not names:
        known_runs = {row.signature for study in result for row in study.rows}
        single = _single(where, known_runs, first=1 + sum(counts))
        result += [single] if single.rows or single.notes else []
    return result


def _stages(root: Path, study: str) -> list[dict[str, Any]]:
    described = _readable(ledger(root, study).description, None, [])  # `damaged_in_study` says so
    return list((described or {"stages": []})["stages"])


def _study(where: config.Settings, name: str, stages: Sequence[dict[str, Any]], *, first: int) -> StudyOverview:
    notes = damaged_in_study(ledger(where.root, name))
    request = _readable(partial(request_of, where.root, name), None, notes)
    if request is not None and request.asker:
        notes.append(f"{request.asker} asked for it (request.json): what you do does not repeat their command")
    cluster: SlurmCluster | None = None
    jobs: tuple[Job, ...] = ()
    limits = Limits(parallel=1) if request is None else rules_of(request.profile)
    over = all(stage["complete"] for stage in stages)
    if request is not None and request.profile.executor == "slurm" and not over:
        cluster = slurm_cluster(name, request.profile, where, record=False)
        try:
            jobs = tuple(cluster.jobs())
        except DifairError as error:
            notes.append(f"what SLURM would say is missing: {str(error).splitlines()[0]}")
    if (mark := _readable(partial(read_mark, ledger(where.root, name).path), Mark(), [])).hold:
        notes.append(f"nothing more of it is submitted: it was {mark.hold} by {mark.by}; difair resume {name}")
    ticks = partial(read_json, ledger(where.root, name).path / "ticks.json", {"node": str, "message": str})
    refused = _readable(ticks, None, [])
    if refused is not None:
        again = "run difair sweep --tick from cron, or difair resume"
        notes.append(f"jobs could not carry the study on ({refused['node']}: {refused['message']}); {again}")
    notes += lacking(where, name)
    sight = Sight(where.root, cluster or MemoryCluster(lambda _: None), record=False)
    sight.expect(jobs)
    by_run = {signature: job for job in jobs for signature in job.runs}
    rows: list[RunRow] = []
    used: dict[str, int | None] = {}
    for stage in stages:
        pruned = pruned_runs(ledger(where.root, name), stage.get("book", ""), where.root)
        for trial in stage["trials"]:
            view = replace(sight.view(trial["signature"]), pruned=pruned.get(trial["signature"], ""))
            row = _row(view, by_run.get(trial["signature"]), limits)
            used[row.signature] = view.state.threads
            place: dict[str, Any] = {"index": first + len(rows), "study": name, "stage": stage["name"]}
            epochs = row.epochs or _epochs(where.root, row.signature)
            if epochs is None and exists(run_folder(where.root, row.signature).path):
                row = replace(row, note=_joined(row.note, f"runs/{row.signature}/spec.json is damaged"))
            rows.append(replace(row, **place, parameters=trial["parameters"], epochs=epochs))
    asked = None if request is None else threads_asked(request.profile)
    notes += _fewer_threads([*used.values()], asked)
    share = 1 / request.profile.runs_per_gpu if request is not None and request.profile.has_gpus else None
    told: dict[str, Any] = {"jobs": jobs, "notes": tuple(notes), "threads": asked, "gpu_share": share}
    return StudyOverview(study=name, rows=_with_time_left(rows), **told)


def _readable(read: Callable[[], T], otherwise: T, notes: list[str]) -> T:
    """Return what is read, or else something in its place, and put down why."""
    try:
        return read()
    except Unreadable as error:
        notes.append(str(error))
        return otherwise


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _fewer_threads(used: Sequence[int | None], asked: int | None) -> list[str]:
    """Say that runs have fewer CPU threads than the profile asks for."""
    fewer = [count for count in used if count is not None and asked is not None and count < asked]
    if not fewer:
        return []
    counts = " or ".join(map(str, sorted(set(fewer))))
    why = "they may use no more CPUs (affinity, a cgroup's quota, or runs side by side)"
    return [f"{run_count(len(fewer), 'have')} {counts} of the {asked} CPU threads that the profile asks for: {why}"]


def lacking(where: config.Settings, study: str) -> list[str]:
    """Return what MLflow has refused of a study, one sentence each."""
    uri = where.tracking_uri or default_uri(where.root)
    return grouped(Refusals(where.root, uri, study))


def _single(where: config.Settings, known: set[str], *, first: int) -> StudyOverview:
    """Return the runs that no study asked for."""
    root = where.root
    sight = Sight(root, MemoryCluster(lambda _: None), record=False)
    rows: list[RunRow] = []
    notes: list[str] = []
    for name in run_names(root):
        if name in known:
            continue
        try:
            spec, view = run_folder(root, name).spec().to_dict(), sight.view(name)
            if view.state.status == "unreadable":
                raise Unreadable(view.state.message)
        except (DataDamaged, NewerSchema, Unreadable) as error:
            notes.append(f"left out: {error}")
            continue
        parameters = {"benchmark": spec["benchmark"]["name"], "method": spec["method"]["name"]}
        parameters |= {"split": spec["benchmark"]["split"], "seed": spec["seed"]}
        row = _row(view, None, Limits(parallel=1))
        next_ = row.next if row.state == "done" else f"difair resume {row.signature} goes on with it"
        place: dict[str, Any] = {"index": first + len(rows), "study": "train", "stage": "single", "next": next_}
        rows.append(replace(row, **place, parameters=parameters, epochs=spec["protocol"]["epochs"]))
    notes += lacking(where, experiment(where.tracking_uri or default_uri(root)))
    return StudyOverview(study="train", rows=_with_time_left(rows), notes=tuple(notes))


def _row(view: TrialView, job: Job | None, limits: Limits) -> RunRow:
    state = view.state
    result = state.result
    word, note = _word(view, job, limits)
    return RunRow(
        signature=state.signature,
        state=word,
        note=_joined(note, state.damage),
        job=one_line(job.id if job is not None else state.job),
        node=one_line((job.node if job is not None else "") or state.node),
        epoch=state.epoch,
        epochs=None if result is None else result["spec"]["protocol"]["epochs"],
        closed_set_accuracy=state.accuracy,
        occupancy=None if result is None else (result["evaluation"] or {}).get("occupancy"),
        attempts=state.attempts,
        heard=state.heard,
        seconds=state.seconds,
        next=next_step(view, [job] if job is not None else [], limits),
    )


def _word(view: TrialView, job: Job | None, limits: Limits) -> tuple[str, str]:
    """Return the state of a run in one word, and what there is to say about it."""
    state = view.state
    if state.result is not None:
        diverged = state.result["outcome"] == "diverged"
        return ("diverged", "its loss is no number") if diverged else ("done", "")
    if state.status in ("running", "unreadable"):
        leaves = "it leaves as soon as it has saved" if view.held or view.pruned else ""
        return state.status, state.message if state.status == "unreadable" else leaves
    if view.held or (job is not None and job.held):
        return view.held or "held", "" if job is None else job.why
    if why := view.pruned or given_up(view, limits):
        return "pruned" if view.pruned else "given up", why
    if job is None:
        return state.status, state.message
    return "queued", job.why or ("starting" if job.state == "RUNNING" else job.state.lower())


def _epochs(root: Path, signature: str) -> int | None:
    try:
        content = read_json(run_folder(root, signature).path / "spec.json", {"spec": {"protocol": {"epochs": int}}})
    except Unreadable:  # the row says so
        return None
    return None if content is None else int(content["spec"]["protocol"]["epochs"])


def _with_time_left(rows: Sequence[RunRow]) -> tuple[RunRow, ...]:
    """Estimate how long each run still works, from its own epochs or those of the others."""
    epochs = sum(row.epoch for row in rows)
    mean = sum(row.seconds for row in rows if row.epoch) / epochs if epochs else None
    result = []
    for row in rows:
        rate = row.seconds / row.epoch if row.epoch else mean
        left = 0.0 if row.state in ("done", "diverged", "pruned") else None
        if left is None and rate is not None and row.epochs is not None:
            left = rate * (row.epochs - row.epoch)
        result.append(replace(row, seconds_left=left))
    return tuple(result)
