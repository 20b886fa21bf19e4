"""What a tick sees: attempts and their verdicts, from files as real attempts leave them."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.config import build_run
from difair_hpc.runs.folder import RunFolder, RunState, run_folder
from difair_hpc.runs.marks import Mark, read_mark, write_mark
from difair_hpc.runs.place import Place
from difair_hpc.sweep.cluster import MemoryCluster
from difair_hpc.sweep.jobs import Job, JobEnd
from difair_hpc.sweep.sight import Sight
from tests.sweep.made import finish


class Recorded(MemoryCluster):
    """A cluster that tells how jobs ended from a list of the test."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.ends: dict[str, JobEnd | None] = {}

    def ended(self, job: str) -> JobEnd | None:
        return self.ends.get(job)


class Scene:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.cluster = Recorded()
        spec = build_run({"benchmark": "digits", "protocol": "short", "protocol.epochs": 9}, {})
        self.folder: RunFolder = run_folder(root, spec.signature)
        self.folder.create(spec)
        (self.folder.path / "attempts").mkdir()
        (root / "jobs").mkdir()
        self.log = root / "jobs" / "7_0_0_log.err"
        self.log.write_text("")

    def attempt(
        self, number: int, end: dict[str, Any] | None, *, restart: int = 0, epoch: int = 3, **place: Any
    ) -> None:
        """Write an attempt on a node whose process table cannot be asked, silent for an hour."""
        base = self.folder.path / "attempts"
        where = Place(job="7_0", restart=restart, node="n1", log="7_0_0_log", offset=self.log.stat().st_size)
        record = {"machine": "elsewhere", "pid": 1, "started": time.time() - 4000, "place": asdict(where) | place}
        (base / f"{number:04d}.json").write_text(json.dumps(record))
        beat = {"time": time.time() - 3600, "epoch": epoch, "step": 0, "steps": 5}
        (base / f"{number:04d}.beat.json").write_text(json.dumps(beat))
        if end is not None:
            word = {"signal": "", "message": "", "trace": "", "time": time.time() - 3600, **beat, **end}
            (base / f"{number:04d}.end.json").write_text(json.dumps(word))

    def sight(self, *jobs: Job, record: bool = True) -> Sight:
        sight = Sight(self.root, self.cluster, record=record)
        sight.expect(jobs)
        return sight

    def kinds(self) -> list[str]:
        paths = sorted((self.folder.path / "attempts").glob("*.kind.json"))
        return [json.loads(path.read_text())["kind"] for path in paths]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def pending(scene: Scene, state: str = "PENDING") -> Job:
    return Job(runs=(scene.folder.signature,), id="7_0", state=state, reason="BeginTime")


def test_a_verdict_waits_until_slurm_has_told_how_the_job_ended(scene: Scene) -> None:
    scene.attempt(1, None)
    scene.cluster.ends["7_0"] = None
    view = scene.sight(pending(scene, "RUNNING")).view(scene.folder.signature)
    assert (view.last, scene.kinds()) == (None, [])
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="OUT_OF_MEMORY", time=time.time())
    view = scene.sight().view(scene.folder.signature)
    assert (view.last, view.ends) == ("out_of_memory", {"out_of_memory": 1})
    assert scene.kinds() == ["out_of_memory"]


def test_a_job_that_is_back_in_the_queue_was_requeued_or_lost_its_node(scene: Scene) -> None:
    scene.attempt(1, {"reason": "stopped", "signal": "SIGTERM"})
    scene.cluster.ends["7_0"] = None
    assert scene.sight(pending(scene)).view(scene.folder.signature).last == "requeued"
    scene.attempt(2, None, restart=1, epoch=4)
    assert scene.sight(pending(scene)).view(scene.folder.signature).last == "node_failed"
    assert scene.kinds() == ["requeued", "node_failed"]


def test_each_attempt_of_a_requeued_job_has_its_own_part_of_the_log(scene: Scene) -> None:
    scene.attempt(1, {"reason": "stopped", "signal": "SIGTERM"})
    scene.log.write_text("error: *** JOB 7 ON n1 CANCELLED AT 2026-11-24T07:00:00 DUE TO PREEMPTION ***\n")
    scene.attempt(2, {"reason": "stopped", "signal": "SIGTERM"}, restart=1, epoch=4)
    with scene.log.open("a") as file:
        file.write("error: *** JOB 7 ON n1 CANCELLED AT 2026-11-24T07:09:00 DUE TO JOB REQUEUE ***\n")
    scene.attempt(3, None, restart=2, epoch=5)
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="NODE_FAIL", time=time.time())
    scene.sight().view(scene.folder.signature)
    assert scene.kinds() == ["preempted", "requeued", "node_failed"]


def test_a_time_limit_without_progress_is_a_stall(scene: Scene) -> None:
    scene.attempt(1, {"reason": "stopped", "signal": "SIGUSR2"}, epoch=0)
    scene.attempt(2, {"reason": "stopped", "signal": "SIGUSR2"}, epoch=2, job="8_0")
    scene.attempt(3, {"reason": "stopped", "signal": "time"}, epoch=2, job="9_0")
    scene.cluster.ends = {job: JobEnd(id=job, state="COMPLETED", time=1.0) for job in ("7_0", "8_0", "9_0")}
    assert scene.sight().view(scene.folder.signature).ends == {"stalled": 2, "timed_out": 1}


def test_a_verdict_stands_and_is_not_given_by_who_only_reads(scene: Scene) -> None:
    scene.attempt(1, None)
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="NODE_FAIL", time=1.0)
    assert scene.sight(record=False).view(scene.folder.signature).last == "node_failed"
    assert scene.kinds() == []
    scene.sight().view(scene.folder.signature)
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="TIMEOUT", time=1.0)
    assert scene.sight().view(scene.folder.signature).last == "node_failed"


def test_what_was_forgiven_does_not_count(scene: Scene) -> None:
    scene.attempt(1, {"reason": "failed", "message": "KeyError: 1"})
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="FAILED", time=1.0)
    assert scene.sight().view(scene.folder.signature).ends == {"failed": 1}
    write_mark(scene.folder.path, Mark(forgiven=1))
    view = scene.sight().view(scene.folder.signature)
    assert (view.ends, view.last, view.alike) == ({}, None, "")


@pytest.mark.parametrize("own", [True, False], ids=["difair cancel", "scancel"])
def test_scancel_holds_a_run_but_not_what_difair_itself_cancelled(scene: Scene, *, own: bool) -> None:
    scene.attempt(1, {"reason": "stopped", "signal": "SIGTERM"})
    write_mark(scene.folder.path, Mark(jobs=("7_0",) if own else ()))
    scene.cluster.ends["7_0"] = JobEnd(id="7_0", state="CANCELLED", time=time.time() + 1)
    view = scene.sight().view(scene.folder.signature)
    assert view.state.hold == ("" if own else "held")
    assert read_mark(scene.folder.path).hold == ("" if own else "held")


def test_a_job_that_had_no_memory_to_begin_its_run_counts_as_out_of_memory(scene: Scene) -> None:
    ends = [JobEnd(id="7_0", state="FAILED", node="n1", time=time.time() + 1)]
    scene.cluster.past = lambda signature: ends  # type: ignore[method-assign]
    view = scene.sight().view(scene.folder.signature)
    assert (view.unbegun, view.ends) == (1, {})
    scene.log.write_text("slurmstepd-n1: error: Exceeded job memory limit\n")
    view = scene.sight().view(scene.folder.signature)
    assert (view.unbegun, view.ends) == (0, {"out_of_memory": 1})


def test_a_run_that_was_done_is_read_once(scene: Scene) -> None:
    finish(scene.root, scene.folder.signature)
    sight = scene.sight()
    assert sight.view(scene.folder.signature).state.status == "done"
    (scene.folder.path / "result.json").unlink()
    assert sight.view(scene.folder.signature).state.status == "done"


def test_a_run_is_looked_at_again_while_a_job_lists_it_and_once_after(scene: Scene) -> None:
    sight = scene.sight(pending(scene))
    assert sight.view(scene.folder.signature).state.status == "new"
    sight.expect([])
    finish(scene.root, scene.folder.signature)
    assert sight.view(scene.folder.signature).state.status == "done"


def test_of_a_long_list_a_tick_looks_at_what_the_job_is_at(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for seed in range(100):
        spec = build_run({"benchmark": "digits", "protocol": "short", "protocol.epochs": 9, "seed": seed}, {})
        run_folder(scene.root, spec.signature).create(spec)
        runs.append(spec.signature)
    job, sight = Job(runs=tuple(runs), id="7_0", state="RUNNING"), scene.sight()
    looked: list[str] = []
    whole = RunFolder.state

    def noted(folder: RunFolder) -> RunState:
        looked.append(folder.signature)
        return whole(folder)

    def tick() -> list[str]:
        looked.clear()
        sight.expect([job])
        views = [sight.view(signature) for signature in runs]
        assert [view.state.status for view in views].count("done") == len(done)
        return list(looked)

    done: list[str] = []
    monkeypatch.setattr(RunFolder, "state", noted)
    monkeypatch.setattr("difair_hpc.sweep.sight._AGAIN_SECONDS", 3600.0)  # however slow the machine is
    assert tick() == runs, "all of them once"
    assert tick() == runs[:16]
    for signature in runs[:10]:
        finish(scene.root, signature)
        done.append(signature)
    assert tick() == runs[:16]
    assert tick() == runs[10:26], "it follows the job down its list"
    for signature in runs[10:12]:
        write_mark(run_folder(scene.root, signature).path, Mark(hold="pruned"))
    assert tick() == runs[10:26]
    assert tick() == runs[12:28], "the job passes over what was pruned"
