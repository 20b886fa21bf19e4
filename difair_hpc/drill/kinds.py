"""The kinds of faults, one small function each: it injects the fault, ends its cause, and says what it did.

A function gets the scene, the fault as it was drawn, and a run at work. It raises `Failure` where what happened must
not happen, such as a process that was given up and still writes what counts.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from difair_hpc.drill import damage
from difair_hpc.drill.plan import Fault
from difair_hpc.drill.scene import STUDY, Scene, Standing, standing
from difair_hpc.drill.servers import Server
from difair_hpc.errors import Failure
from difair_hpc.files import write_atomically
from difair_hpc.launch import python
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import newest, view
from difair_hpc.runs.spec import plain
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.ledger import ledger
from difair_hpc.train import checkpoint

Act = Callable[[Scene, Fault, Standing], str]
Harm = Callable[..., str]
Need = Literal["local", "slurm", "testbed", "near", "mount", "postgres", "faketime"]

NEEDS: Mapping[Need, str] = {
    "local": "it needs the local executor",
    "slurm": "it needs cluster=NAME, a profile of SLURM jobs",
    "testbed": "it needs the testbed's SLURM (make testbed): elsewhere no node may be lost on purpose",
    "near": "compute nodes cannot reach the drill's own server",
    "mount": "it needs a small file system of its own, which root alone may mount",
    "postgres": "it needs PostgreSQL's server (apt-get install postgresql) and psycopg",
    "faketime": "it needs libfaketime (apt-get install libfaketime)",
}
"""Why a kind is left out where its need is not met."""

_DOWN_SECONDS = 2.0
"""Time for which a server is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of fault."""

    act: Act
    words: str
    """What happens, for the table."""
    weight: int = 4
    """How often it comes in a round: less where one takes long."""
    needs: tuple[Need, ...] = ()
    alone: bool = False
    """Whether all runs feel it: then none may still be recovering from another fault."""


def _signal(number: signal.Signals) -> Act:
    def act(scene: Scene, _fault: Fault, target: Standing) -> str:
        done = scene.send(target.attempt, number)
        _wait_for_end(scene, target)
        return done

    return act


def _wait_for_end(scene: Scene, target: Standing, *, attended: bool = True) -> None:
    """Wait until a process has left, as far as it is on this machine: one that is asked to may finish its epoch."""
    scene.wait("the process has left", lambda: target.attempt.pid is None, attended=attended)


def _command_killed(scene: Scene, _fault: Fault, _target: Standing) -> str:
    scene.abandon()
    scene.attend()
    return "SIGKILL to the attached command, which is started again"


def _server(of: Callable[[Scene], Server | None], *, in_database: bool = False) -> Act:
    def act(scene: Scene, _fault: Fault, _target: Standing) -> str:
        if in_database:
            scene.drive_with(scene.database_url)
        server = of(scene)
        assert server is not None, "the kind is left out where the server is"
        server.kill()
        time.sleep(_DOWN_SECONDS)
        server.start()
        return f"SIGKILL to {server.name}, started again after {_DOWN_SECONDS:g} s"

    return act


def _requeued(scene: Scene, _fault: Fault, target: Standing) -> str:
    job = target.attempt.place.job
    run_command(["scontrol", "requeue", job])
    _wait_for_end(scene, target)
    return f"scontrol requeue {job}"


def _node_lost(scene: Scene, _fault: Fault, target: Standing) -> str:
    node = target.attempt.place.node
    scene.lost.add(node)
    run_command(["scontrol", "update", f"nodename={node}", "state=down", "reason=drill"])
    time.sleep(5.0)
    scene.bring_back(node)
    return f"node {node} down for 5 s"


def _run_file(harm: Harm, find: Callable[[Path], Path], *, tail: bool) -> Act:
    """Damage a file of a run, while its process works or right after it was killed."""

    def act(scene: Scene, fault: Fault, target: Standing) -> str:
        told = "its process works on"
        if not fault.live:
            told = scene.send(target.attempt, signal.SIGKILL)
            _wait_for_end(scene, target)
        return f"{told}; {harm(find(target.folder.path), fault.place, tail=tail)}"

    return act


def _journal(harm: Harm) -> Act:
    """Damage Optuna's journal, while the command that writes it works or after it was killed."""

    def act(scene: Scene, fault: Fault, _target: Standing) -> str:
        scene.drive_with("")
        path = ledger(scene.root, STUDY).path / "optuna.journal"
        if fault.live:
            return f"the command works on; {harm(path, fault.place, tail=True)}"
        scene.abandon()
        done = harm(path, fault.place, tail=True)
        scene.attend()
        return f"SIGKILL to the command; {done}"

    return act


def _disk_full(scene: Scene, _fault: Fault, target: Standing) -> str:
    filler = scene.root / "filler"
    size = damage.fill(filler)
    number = target.attempt.number

    def failed() -> bool:
        now = standing(target.folder)
        return now is not None and (now.done or now.attempt.number != number or not now.attempt.alive)

    try:
        scene.wait("a run fails on the full disk", failed)
    finally:
        filler.unlink()
    return f"{size >> 20} MB of filler until attempt {number} ended"


def _stopped(scene: Scene, _fault: Fault, target: Standing) -> str:
    """Stop a process, let another take its run over, and let it come back."""
    folder, number = target.folder.path, target.attempt.number
    stopped = scene.send(target.attempt, signal.SIGSTOP)
    scene.restart()  # the command that started the process would wait for it
    scene.wait("another attempt took over", lambda: (last := newest(folder)) and last.number > number and last.alive)
    before = _written_by(folder, number)
    scene.send(view(folder, number), signal.SIGCONT)
    gone = lambda: (old := view(folder, number)).end is not None or old.pid is None  # noqa: E731
    scene.wait("the process that came back finds that it was given up", gone)
    if more := _written_by(folder, number) - before:
        raise Failure(f"the process that came back wrote {', '.join(sorted(more))}")
    return f"{stopped}, taken over, SIGCONT"


def _written_by(folder: Path, number: int) -> set[str]:
    """Return what an attempt has written that counts: its checkpoints, and the epochs whose first record is its own."""
    named = {path.name for path in checkpoint.newest_first(folder) if path.name.startswith(f"checkpoint-{number:04d}-")}
    return named | {f"epoch {epoch}" for epoch, attempt in spool.writers(folder).items() if attempt == number}


def _clock_moved(scene: Scene, fault: Fault, target: Standing) -> str:
    """Let the next attempt see a clock that is hours ahead or behind."""
    hours = round(1 + 11 * fault.place) * (1 if fault.live else -1)
    folder, number = target.folder, target.attempt.number
    scene.abandon()  # else it would start the next attempt
    scene.send(target.attempt, signal.SIGKILL)
    _wait_for_end(scene, target, attended=False)
    wave = scene.base / "clock.json"
    execution = plain(scene.execution)
    write_atomically(wave, json.dumps({"jobs": [[folder.signature]], "execution": execution, "minutes": 600}))
    moved = {"LD_PRELOAD": str(faketime()), "FAKETIME": f"{hours:+d}h", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    with (scene.base / "clock.log").open("ab") as log:
        subprocess.Popen(
            [*python(), "-m", "difair_hpc.runs.job", str(scene.root), str(wave)],
            env={name: value for name, value in scene.environment.items() if not name.startswith("SLURM_")} | moved,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    begun = lambda: (last := newest(folder.path)) and last.number > number and last.alive  # noqa: E731
    scene.wait("the attempt with another clock begins", begun, attended=False)
    scene.attend()
    return f"attempt {number + 1} with its clock moved by {hours:+d} hours"


def faketime() -> Path | None:
    """Return the library that moves the clock of a process, or None."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


KINDS: Mapping[str, Kind] = {
    "kill": Kind(act=_signal(signal.SIGKILL), words="SIGKILL of a training process"),
    "term": Kind(act=_signal(signal.SIGTERM), words="SIGTERM of a training process"),
    "command": Kind(act=_command_killed, alone=True, words="SIGKILL of the attached command", weight=2),
    "server": Kind(
        act=_server(lambda scene: scene.tracking),
        alone=True,
        words="SIGKILL of the tracking server",
        weight=1,
        needs=("near",),
    ),
    "database": Kind(
        act=_server(lambda scene: scene.database, in_database=True),
        alone=True,
        words="SIGKILL of Optuna's database",
        weight=1,
        needs=("postgres", "near"),
    ),
    "node": Kind(act=_node_lost, alone=True, words="a node lost", weight=1, needs=("slurm", "testbed")),
    "requeue": Kind(act=_requeued, words="a job sent back to the queue", needs=("slurm",)),
    "checkpoint_cut": Kind(
        act=_run_file(damage.cut, lambda folder: checkpoint.newest_first(folder)[0], tail=False),
        words="newest checkpoint truncated",
    ),
    "checkpoint_flip": Kind(
        act=_run_file(damage.flip, lambda folder: checkpoint.newest_first(folder)[0], tail=False),
        words="a bit of the newest checkpoint flipped",
    ),
    "spool_cut": Kind(
        act=_run_file(damage.cut, lambda folder: folder / spool.NAME, tail=True),
        words="the spool's last line truncated",
    ),
    "spool_flip": Kind(
        act=_run_file(damage.flip, lambda folder: folder / spool.NAME, tail=True),
        words="a bit of the spool's last line flipped",
    ),
    "journal_cut": Kind(
        act=_journal(damage.cut), alone=True, words="the last line of Optuna's journal truncated", weight=1
    ),
    "journal_flip": Kind(act=_journal(damage.flip), alone=True, words="a bit of its last line flipped", weight=1),
    "disk": Kind(act=_disk_full, alone=True, words="disk full, then freed", weight=1, needs=("local", "mount")),
    "stopped": Kind(
        act=_stopped, alone=True, words="a process stopped, given up, and back", weight=1, needs=("local",)
    ),
    "clock": Kind(
        act=_clock_moved, alone=True, words="clock of an attempt moved by hours", weight=1, needs=("local", "faketime")
    ),
}
"""All kinds, by the names that --kinds takes."""
