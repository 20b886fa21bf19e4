"""The model of SLURM as programs on PATH: sbatch, squeue, sacct, scontrol, scancel, srun, and jobs that are executed.

Each program executes this file with its own path as first word; above its folder are `state.json` (the model),
`site.json` (what is strange here) and `calls.jsonl` (what was called, in which environment). It starts quickly: nothing
but the standard library is imported.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.sites.slurm import ENDED, Job, Refused, Slurm  # noqa: E402

HERE = Path(sys.argv[1]).absolute().parents[1]


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Hold the state: read before the block, written after it."""
    with (HERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = HERE / "state.json"
        model = Slurm.of(json.loads(path.read_text()))
        yield model
        path.with_suffix(".new").write_text(json.dumps(model.plain()))
        path.with_suffix(".new").replace(path)


def site() -> dict[str, Any]:
    return dict(json.loads((HERE / "site.json").read_text()))


def main() -> int:
    """Be the program whose name this file was called by."""
    name, words = Path(sys.argv[1]).name, sys.argv[2:]
    if name == "slurmd":
        return execute(int(words[0]), int(words[1]))
    with (HERE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"tool": name, "words": words, "environment": dict(os.environ)}) + "\n")
    strange(name)
    try:
        return int(
            {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "scancel": scancel}.get(name, ask)(name, words)
        )
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1


def strange(name: str) -> None:
    """Do first what this site adds, as often as `times` says: words on either stream, where a sign is a byte; time."""
    for number, hook in enumerate(site().get("tools", {}).get(name, ())):
        mark = HERE / f"{name}-{number}"
        with mark.open("a") as file:
            file.write("x")
        if mark.stat().st_size > hook.get("times", float("inf")):
            continue
        time.sleep(hook.get("seconds", 0))
        sys.stdout.buffer.write(hook.get("out", "").encode("latin-1"))
        sys.stdout.flush()
        sys.stderr.buffer.write(hook.get("error", "").encode("latin-1"))
        if "code" in hook:
            sys.stderr.flush()
            sys.exit(hook["code"])


def sbatch(_: str, words: list[str]) -> int:
    """Take a job and let it begin."""
    script = Path(words[-1]).read_text()
    options = {word[2:].partition("=")[0]: word.partition("=")[2] for word in words if word.startswith("--")}
    with slurm() as model:
        job = model.submit(script, options, folder=str(Path.cwd()), environment=os.environ)
    sys.stdout.write(f"{job.id}\n" if "parsable" in options else f"Submitted batch job {job.id}\n")
    sys.stdout.flush()
    begin()
    return 0


def begin() -> None:
    """Start what is due, each in a session of its own."""
    if not site().get("execute", True):
        return
    with slurm() as model:
        for job, task in model.due():
            subprocess.Popen(
                [str(HERE / "bin/slurmd"), str(job.id), str(task)],
                stdin=subprocess.DEVNULL,
                stdout=(HERE / "slurmd.log").open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def execute(number: int, task: int) -> int:
    """Execute a task's script as slurmd does, put on record how it ended, and let the next begin."""
    with slurm() as model:
        job = model.jobs[number]
        held, restarts = job.tasks[task], job.tasks[task].restarts
    environment = job_environment(job, task, held.node, restarts)
    folder = site().get("folder") or job.folder
    paths = {name: job.options.get(name, "slurm-%A_%a.out") for name in ("output", "error")}
    code = 1
    with suppress(OSError):  # a log that cannot be opened ends a job before it begins
        with file_of(paths["output"], job, task, folder) as out, file_of(paths["error"], job, task, folder) as err:
            process = subprocess.Popen(
                ["bash", "-s"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        (HERE / f"pid-{number}_{task}").write_text(str(process.pid))
        process.communicate(job.script.encode())
        code = process.returncode
    with slurm() as model:
        held = model.jobs[number].tasks[task]
        if held.restarts > restarts:
            held.reason = "Priority"  # requeued: its turn comes now that this one is over
        elif held.state == "RUNNING":
            model.end(number, task, "COMPLETED" if code == 0 else "FAILED", now=time.time())
    begin()
    return 0


def job_environment(job: Job, task: int, node: str, restarts: int) -> dict[str, str]:
    """Return what a job's script finds: the submitter's environment, unless this site or the job keeps it out."""
    export = site().get("export") or job.options.get("export") or job.environment.get("SBATCH_EXPORT") or "ALL"
    login = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": job.environment.get("HOME", "/")}
    own = {
        "PATH": f"{HERE / 'bin'}:{(job.environment if export == 'ALL' else login)['PATH']}",
        "SLURM_JOB_ID": str(job.id + task),
        "SLURM_ARRAY_JOB_ID": str(job.id),
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_JOB_NAME": job.name,
        "SLURM_SUBMIT_DIR": job.folder,
        "SLURMD_NODENAME": node,
        "SLURM_NTASKS_PER_NODE": job.options.get("ntasks-per-node", "1"),
        **({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}),
        **({"SLURM_EXPORT_ENV": export} if export != "ALL" else {}),
    }
    return {**(job.environment if export == "ALL" else login), **own}


def file_of(pattern: str, job: Job, task: int, folder: str, step: str = "0") -> Any:
    """Open a log as SLURM names it."""
    signs = {"%": "%", "A": str(job.id), "a": str(task), "j": str(job.id + task), "t": step}
    name = re.sub(r"%([%Aajt])", lambda match: signs[match[1]], pattern)
    return (Path(folder) / name).open("ab")


def srun(_: str, words: list[str]) -> int:
    """Start the tasks of a step; where the environment is kept out of jobs, of steps too, unless they ask for it."""
    given = {"output": "", "error": "", "export": os.environ.get("SLURM_EXPORT_ENV", "ALL")}
    while words[0].startswith("--"):
        name, _, value = words.pop(0)[2:].partition("=")
        if name in given:
            given[name] = value or words.pop(0)
    environment = dict(os.environ)
    if given["export"] != "ALL":
        environment = {name: value for name, value in os.environ.items() if name.startswith("SLURM") or name == "PATH"}
    with slurm() as model:
        job = model.jobs[int(os.environ["SLURM_ARRAY_JOB_ID"])]
    task, processes = int(os.environ["SLURM_ARRAY_TASK_ID"]), []
    for lane in range(int(os.environ["SLURM_NTASKS_PER_NODE"])):
        with (
            file_of(given["output"], job, task, ".", str(lane)) as out,
            file_of(given["error"], job, task, ".", str(lane)) as err,
        ):
            step = {**environment, "SLURM_PROCID": str(lane)}
            processes.append(subprocess.Popen(words, stdout=out, stderr=err, env=step))
    return max(process.wait() for process in processes)


def scontrol(_: str, words: list[str]) -> int:
    """Requeue, hold and release."""
    if words[0] not in ("requeue", "hold", "uhold", "release"):
        return ask("scontrol", words)
    with slurm() as model:
        for job, task in model.named(words[1]):
            if words[0] == "requeue":
                model.requeue(job.id, task)
                kill(job, task)
            elif job.tasks[task].state == "PENDING":
                job.tasks[task].reason = "JobHeldUser" if words[0] != "release" else "Priority"
    if words[0] == "release":
        begin()
    return 0


def scancel(_: str, words: list[str]) -> int:
    """Cancel tasks, or send them a signal."""
    signals = [word.partition("=")[2] for word in words if word.startswith("--signal=")]
    with slurm() as model:
        for word in words:
            for job, task in model.named(word) if not word.startswith("-") else ():
                if signals:
                    kill(job, task, getattr(signal, f"SIG{signals[0].removeprefix('SIG')}"))
                elif job.tasks[task].state not in ENDED:
                    model.end(job.id, task, "CANCELLED", now=time.time())
                    kill(job, task)
    return 0


def kill(job: Job, task: int, number: int = signal.SIGTERM) -> None:
    path = HERE / f"pid-{job.id}_{task}"
    if path.exists():
        os.killpg(int(path.read_text()), number)


def ask(name: str, words: list[str]) -> int:
    """Answer what only asks; what a site has not recorded, SLURM does not know."""
    if name in ("squeue", "sacct"):
        with slurm() as model:
            told = model.squeue(words, now=time.time()) if name == "squeue" else model.sacct(words)
    else:
        recorded = Path(__file__).resolve().parent / "recorded"
        kind = {"scontrol": "config", "sinfo": "nodes"}.get(name, "qos" if "qos" in words else "accounts")
        told = (recorded / f"{kind}.txt").read_text()
    sys.stdout.write(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
