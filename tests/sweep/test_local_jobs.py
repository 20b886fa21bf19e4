"""What a local job is born with: its words, signals, GPU, logs and streams; and what the command keeps of it."""

import json
import os
import signal
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.errors import Failure
from difair_hpc.folders import keep_private
from difair_hpc.runs.spec import ExecutionSpec, plain
from difair_hpc.runs.stop import STOP_SIGNALS, stop_on_signal
from difair_hpc.sweep import cluster as module
from difair_hpc.sweep.cluster import LocalCluster
from difair_hpc.sweep.jobs import Order
from tests.waiting import eventually

EXECUTION = ExecutionSpec(device="cpu", threads=1)
TELLS = """
import json, os, signal, sys
held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
ignored = [number for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN]
print(json.dumps({"words": sys.argv[1:], "told": json.load(sys.stdin), "held": list(held), "ignored": ignored,
                  "files": sorted(os.listdir("/proc/self/fd")), "group": os.getpgid(0), "environment": {**os.environ}}))
print("of the error log", file=sys.stderr)
"""
"""A job that only says how it was started."""


def only_tells(monkeypatch: pytest.MonkeyPatch, code: str = TELLS) -> None:
    """Let jobs execute this instead of the package."""
    monkeypatch.setattr(module, "python", lambda: [sys.executable, "-c", code])


def let_end(cluster: LocalCluster) -> None:
    assert eventually(lambda: not cluster.jobs()), "it hangs"


def told(cluster: LocalCluster, root: Path) -> list[dict[str, Any]]:
    """Wait for the jobs that say how they were started, and return it in the order of their start."""
    started = [job.id for job in cluster._jobs]
    let_end(cluster)
    return [json.loads((root / "jobs" / f"{job}_0_log.out").read_text()) for job in started]


def test_a_job_starts_with_words_and_is_told_its_runs_on_its_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_tells(monkeypatch)
    cluster = LocalCluster(tmp_path, EXECUTION)
    cluster.submit([Order(runs=("b" * 12, "a" * 12))])
    (job,) = cluster.jobs()
    assert cluster.ended(job.id) is None
    (seen,) = told(cluster, tmp_path)
    assert seen["words"] == ["-m", "difair_hpc.runs.job", str(tmp_path), "-", job.id]
    assert seen["told"] == {"runs": ["b" * 12, "a" * 12], "execution": plain(EXECUTION)}
    assert seen["files"] == ["0", "1", "2", "3"], "nothing but the streams, and the folder that is being listed"
    assert seen["group"] == os.getpgid(0), "the terminal's signals reach it"
    assert seen["environment"]["PYTHONSAFEPATH"] == "1"
    assert cluster.last_words("a" * 12) == "of the error log"
    assert cluster.ended(job.id) is not None
    assert [end.id for end in cluster.past("b" * 12)] == [job.id]
    assert cluster.past("a" * 12) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "jobs",
        f"{job.id}_0_log.err",
        f"{job.id}_0_log.out",
    ], "the root holds nothing that a job reads"


def test_runs_that_are_too_many_for_a_command_line_are_told_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_tells(monkeypatch)
    cluster = LocalCluster(tmp_path, EXECUTION)
    runs = tuple(f"{number:012x}" for number in range(200_000))
    cluster.submit([Order(runs=runs)])
    (seen,) = told(cluster, tmp_path)
    assert tuple(seen["told"]["runs"]) == runs


@pytest.mark.parametrize(
    ("given", "jobs"),
    [
        ("", ["", "", ""]),
        ("3", ["3", "3", "3"]),
        ("3,2", ["3", "2", "3"]),
        ("GPU-1a,MIG-GPU-2b/1/0", ["GPU-1a", "MIG-GPU-2b/1/0", "GPU-1a"]),
    ],
)
def test_each_job_sees_one_of_the_gpus_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, jobs: list[str]
) -> None:
    seen: list[dict[str, str]] = []
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*_: object, env: dict[str, str], **__: object) -> "subprocess.Popen[bytes]":
        seen.append(env)
        started.append(real([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", given)
    cluster = LocalCluster(tmp_path, EXECUTION, gpus=given.split(",") if given else ())
    cluster.submit([Order(runs=(f"{number:012x}",)) for number in range(3)])
    for process in started:
        process.communicate()
    assert [env["CUDA_VISIBLE_DEVICES"] for env in seen] == jobs
    assert [env["HIP_VISIBLE_DEVICES"] for env in seen] == jobs
    assert {env["OMP_NUM_THREADS"] for env in seen} == {"1"}
    assert os.environ["HIP_VISIBLE_DEVICES"] == given


@pytest.mark.parametrize("ignored", [(), (signal.SIGHUP,), (signal.SIGINT,), (signal.SIGHUP, signal.SIGINT)])
def test_a_job_ignores_what_the_command_was_started_to_ignore_and_hears_the_rest_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignored: tuple[signal.Signals, ...]
) -> None:
    only_tells(monkeypatch)
    cluster = LocalCluster(tmp_path, EXECUTION)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with stop_on_signal():
            during = [signal.getsignal(number) for number in STOP_SIGNALS]
            cluster.submit([Order(runs=("000000000000",))])
            assert [signal.getsignal(number) for number in STOP_SIGNALS] == during
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    (seen,) = told(cluster, tmp_path)
    assert set(seen["ignored"]) & set(STOP_SIGNALS) == set(ignored)
    assert set(seen["held"]) == {signal.SIGINT, signal.SIGHUP}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_while_a_job_is_started_is_heard_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    only_tells(monkeypatch)
    cluster, real = LocalCluster(tmp_path, EXECUTION), subprocess.Popen

    def start(*words: Any, **streams: Any) -> "subprocess.Popen[bytes]":
        os.kill(os.getpid(), number)
        return real(*words, **streams)

    monkeypatch.setattr(subprocess, "Popen", start)
    with stop_on_signal() as flag:
        cluster.submit([Order(runs=("000000000000",))])
        assert flag.reason == number.name
    let_end(cluster)


def test_logs_are_new_files_that_nobody_else_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a colleague knew the job's name, and a link stands there, or a file of his."""
    only_tells(monkeypatch)
    root, mine = tmp_path / "root", tmp_path / "mine"
    mine.write_text("mine")
    (root / "jobs").mkdir(parents=True)
    root.chmod(0o2770)
    (root / "jobs/local-aaaaaa_0_log.err").symlink_to(mine)
    (root / "jobs/local-bbbbbb_0_log.err").symlink_to(tmp_path / "absent")
    (root / "jobs/local-cccccc_0_log.err").write_text("his")
    names = iter([uuid.UUID(hex=sign * 32) for sign in "abcd"])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(names))
    umask = os.umask(0o077)
    try:
        keep_private(root)
        cluster = LocalCluster(root, EXECUTION)
        cluster.submit([Order(runs=("000000000000",))])
    finally:
        os.umask(umask)
    let_end(cluster)
    assert cluster._jobs[0].id == "local-dddddd"
    assert [mine.read_text(), (root / "jobs/local-cccccc_0_log.err").read_text()] == ["mine", "his"]
    assert not (tmp_path / "absent").exists()
    for kind in ("err", "out"):
        assert stat.S_IMODE((root / f"jobs/local-dddddd_0_log.{kind}").stat().st_mode) == 0o640


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "nothing"])
def test_the_last_words_are_read_from_a_log_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    only_tells(monkeypatch)
    cluster = LocalCluster(tmp_path, EXECUTION)
    cluster.submit([Order(runs=("000000000000",))])
    let_end(cluster)
    (log,) = (tmp_path / "jobs").glob("*.err")
    log.unlink()
    if what == "link":
        (tmp_path / "secret").write_text("a secret")
        log.symlink_to(tmp_path / "secret")
        log.parent.chmod(0o777)
    elif what == "pipe":
        os.mkfifo(log)
    elif what == "folder":
        log.mkdir()
    assert cluster.last_words("000000000000") == ""


def test_the_last_words_of_a_very_long_log_are_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_tells(monkeypatch, "import sys\nfor n in range(100_000): print(n, file=sys.stderr)")
    cluster = LocalCluster(tmp_path, EXECUTION)
    cluster.submit([Order(runs=("000000000000",))])
    let_end(cluster)
    assert cluster.last_words("000000000000").split() == [str(number) for number in range(99_995, 100_000)]


def test_a_process_that_cannot_be_started_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "python", lambda: [str(tmp_path / "no python")])
    cluster = LocalCluster(tmp_path, EXECUTION)
    with pytest.raises(Failure, match="no process could be started for run 000000000000: .*no python"):
        cluster.submit([Order(runs=("000000000000",))])
    assert cluster.jobs() == []


def children() -> list[str]:
    """Return the children of this process, those too that have ended and were not waited for."""
    return [path.read_text() for path in Path("/proc/self/task").glob("*/children") if path.read_text()]


@pytest.mark.slow
def test_thousands_of_jobs_leave_no_open_file_and_no_dead_child_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "python", lambda: ["true"])
    cluster = LocalCluster(tmp_path, EXECUTION)
    before, others = len(os.listdir("/proc/self/fd")), children()  # noqa: PTH208
    for batch in range(20):
        cluster.submit([Order(runs=(f"{batch:06x}{number:06x}",)) for number in range(100)])
        let_end(cluster)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert children() == others
    assert len({job.id for job in cluster._jobs}) == 2000
