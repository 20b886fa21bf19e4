"""What a tick sees of the runs: where each stands, why its attempts ended, and which nodes fail them.

The verdict on an attempt is put on record in the run folder once there is evidence enough. A run that is done is read
once; one that no job executes, or that stands far down a job's list, cannot change, and is looked at again only now and
then: so a tick costs what is at work, not what waits.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from difair_hpc.errors import NewerSchema, Unreadable
from difair_hpc.files import read_tail
from difair_hpc.runs.attempts import AttemptView, set_kind, views
from difair_hpc.runs.folder import RunFolder, RunState, run_folder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.runs.place import log_file
from difair_hpc.sweep.cluster import Cluster
from difair_hpc.sweep.ends import MEANINGS, NODES_FAULT, Accident, EndKind, Evidence, fingerprint, kind_of
from difair_hpc.sweep.jobs import Job, JobEnd
from difair_hpc.sweep.plan import TrialView
from difair_hpc.words import is_name

_AGAIN_SECONDS = 30.0
_AHEAD = 16
"""Runs of a job, neither done nor pruned, that it may have begun, or begin next: it goes down its list."""
_LOG_BYTES = 20_000
_BACK_IN_QUEUE = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING")


class Sight:
    """Looks at run folders for one reconciler or one reading command."""

    def __init__(self, root: Path, cluster: Cluster, *, record: bool = True) -> None:
        """Look under an output root; `record`: put verdicts on record (the holder of a lease alone may)."""
        self._root = root
        self._cluster = cluster
        self._record = record
        self._seen: dict[str, tuple[float, TrialView]] = {}
        self._by_id: dict[str, Job] = {}
        self._listed: set[str] = set()
        self._moving: set[str] = set()
        self.accidents: dict[tuple[str, float], Accident] = {}
        """Failures by run and attempt (or moment), as far as this object has seen them."""

    def expect(self, jobs: Sequence[Job]) -> None:
        """Take note of the jobs that have not ended, before anything is viewed."""
        self._by_id = {job.id: job for job in jobs}
        listed = {signature for job in jobs for signature in job.runs}
        near = {one for job in jobs for one in islice((run for run in job.runs if not self._is_passed(run)), _AHEAD)}
        self._moving = near | (self._listed - listed)  # what has just left the list has changed as well
        self._listed = listed

    def view(self, signature: str) -> TrialView:
        """Return where a run stands, as a trial without number."""
        before = self._seen.get(signature)
        if before is not None:
            moment, old = before
            moves = old.state.status == "running" or signature in self._moving
            if self._is_done(signature) or (not moves and time.monotonic() - moment < _AGAIN_SECONDS):
                return old
        try:
            view = self._look(run_folder(self._root, signature))
        except (Unreadable, NewerSchema) as error:  # nobody knows how it stands: it waits, and holds up no other
            unknown = RunState(signature=signature, status="unreadable", message=str(error))
            view = TrialView(number=-1, state=unknown, told=False)
        self._seen[signature] = time.monotonic(), view
        return view

    def forget(self, signature: str) -> None:
        """Look anew at a run that was submitted."""
        self._seen.pop(signature, None)

    def _is_passed(self, signature: str) -> bool:
        """Whether a job passes over the run: it is done, or its stage has pruned it."""
        seen = self._seen.get(signature)
        return self._is_done(signature) or (seen is not None and seen[1].state.hold == "pruned")

    def _is_done(self, signature: str) -> bool:
        seen = self._seen.get(signature)
        return seen is not None and seen[1].state.status == "done"

    def _look(self, folder: RunFolder) -> TrialView:
        state = folder.state()
        if state.status == "done":
            return TrialView(number=-1, state=state, told=False)
        attempts, mark = views(folder.path), read_mark(folder.path)
        kinds: Counter[EndKind] = Counter()
        last: EndKind | None = None
        for place, attempt in enumerate(attempts):
            last = self._verdict(folder, attempts, place) if attempt.number > mark.forgiven else None
            if last is not None:
                kinds[last] += 1
                self._note(state.signature, attempt, last)
        never = self._never_begun(state.signature, attempts, mark)
        if self._was_cancelled(attempts, never, mark):
            state = self._hold(folder, state, mark)
        if short := sum(kind == "out_of_memory" for _, kind in never):
            kinds["out_of_memory"] += short
        faults = [end for end, kind in never if kind in NODES_FAULT and end.begun == len(attempts)]
        for end in faults:
            accident = Accident(run=state.signature, node=end.node, time=end.time, alike="")
            self.accidents[state.signature, end.time] = accident
        alike = fingerprint(attempts[-1].end) if last is not None else ""
        return TrialView(number=-1, state=state, told=False, ends=kinds, last=last, alike=alike, unbegun=len(faults))

    def _never_begun(self, signature: str, attempts: Sequence[AttemptView], mark: Mark) -> list[tuple[JobEnd, EndKind]]:
        """Return the jobs, since the mark was made, that ended before they began their run, and why they ended."""
        began = {attempt.place.job for attempt in attempts if attempt.place.job}
        ends = [end for end in self._cluster.past(signature) if end.id not in began and end.time > mark.time]
        return [(end, kind_of(None, Evidence(state=end.state, log=self._whole_log(end.id)))[0]) for end in ends]

    def _whole_log(self, job: str) -> str:
        path = log_file(self._root, f"{job}_0_log.err")
        return read_tail(path, most=_LOG_BYTES) if is_name(job) else ""

    def _was_cancelled(
        self, attempts: Sequence[AttemptView], never: Sequence[tuple[JobEnd, EndKind]], mark: Mark
    ) -> bool:
        """Whether somebody took the run's job from the queue by scancel since the mark was made."""
        ends = [end for end, _ in never if end.begun == len(attempts)]
        if attempts and attempts[-1].place.job and (end := self._cluster.ended(attempts[-1].place.job)) is not None:
            ends.append(end)
        return not mark.hold and any(
            end.state == "CANCELLED" and end.time > mark.time and end.id not in mark.jobs for end in ends
        )

    def _hold(self, folder: RunFolder, state: RunState, mark: Mark) -> RunState:
        """Hold a run back whose job somebody cancelled: that was meant."""
        if not self._record:
            return state
        write_mark(folder.path, replace(mark, hold="held", by="scancel"))
        return folder.state()

    def _verdict(self, folder: RunFolder, attempts: Sequence[AttemptView], place: int) -> EndKind | None:
        """Return the type of an attempt's end; None while it works, or while SLURM may still tell more."""
        attempt = attempts[place]
        if attempt.kind in MEANINGS:
            return attempt.kind
        later = attempts[place + 1] if place + 1 < len(attempts) else None
        if attempt.alive and later is None:
            return None
        ended = self._cluster.ended(attempt.place.job) if attempt.place.job else JobEnd()
        again = later is not None and later.place.job == attempt.place.job != ""
        if ended is None and later is None:
            job = self._by_id.get(attempt.place.job)
            again = job is not None and job.state in _BACK_IN_QUEUE
            if not again:
                return None
        before = attempts[place - 1].position if place else (0, 0)
        evidence = Evidence(
            state=ended.state if ended is not None and not again else "",
            log=self._log(attempt, later),
            started_again=again,
            moved=attempt.position > before,
        )
        kind, proof = kind_of(attempt.end, evidence)
        if self._record:
            set_kind(folder.path, attempt.number, kind, proof)
        return kind

    def _log(self, attempt: AttemptView, later: AttemptView | None) -> str:
        if not is_name(attempt.place.log):
            return ""
        path = log_file(self._root, f"{attempt.place.log}.err")
        shared = later is not None and later.place.log == attempt.place.log
        end = later.place.offset if later is not None and shared else None
        return read_tail(path, most=_LOG_BYTES, begin=attempt.place.offset, end=end)

    def _note(self, signature: str, attempt: AttemptView, kind: EndKind) -> None:
        if kind in NODES_FAULT and attempt.place.node:
            moment = float((attempt.end or attempt.beat).get("time", attempt.record.get("started", 0.0)))
            accident = Accident(run=signature, node=attempt.place.node, time=moment, alike=fingerprint(attempt.end))
            self.accidents[signature, attempt.number] = accident
