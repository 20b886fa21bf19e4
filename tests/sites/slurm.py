"""SLURM as a state machine: jobs and arrays, what they ask for, their states, and what its commands answer.

Nothing here knows a process, a file or a clock: whoever drives it says what the time is, starts what `due` names and
tells how it ended. The words and forms are those of SLURM 22.05, compared with a real one by
tests/testbed/test_model.py.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}
REMEMBERED_SECONDS = 300.0
"""MinJobAge: for so long squeue shows a job that has ended."""


class Refused(Exception):
    """What a command says on standard error before it ends with 1."""


@dataclass(kw_only=True)
class Task:
    """One job, or one task of an array."""

    state: str = "PENDING"
    reason: str = "Priority"
    node: str = ""
    restarts: int = 0
    ended: float = 0.0
    past: list[tuple[str, str]] = field(default_factory=list)
    """State and node of each time that it was executed before, as accounting keeps them."""


@dataclass(kw_only=True)
class Job:
    """What one sbatch submitted."""

    id: int
    name: str
    script: str
    options: dict[str, str]
    """Long options without dashes; one without a value is empty."""
    folder: str
    environment: dict[str, str]
    tasks: dict[int, Task]

    @property
    def is_array(self) -> bool:
        return "array" in self.options

    def task_id(self, task: int) -> str:
        return f"{self.id}_{task}" if self.is_array else str(self.id)


@dataclass(kw_only=True)
class Slurm:
    """What slurmctld and slurmdbd know."""

    nodes: list[str] = field(default_factory=lambda: ["n1", "n2"])
    """Each executes one task at a time."""
    partitions: list[str] = field(default_factory=lambda: ["gpu"])
    accounting: bool = True
    max_array: int = 1001
    max_submit: int | None = None
    """Jobs that the association may have at once."""
    uid: int = 0
    """Of the user whose jobs these are."""
    next_id: int = 4711
    jobs: dict[int, Job] = field(default_factory=dict)

    @staticmethod
    def of(content: Mapping[str, Any]) -> "Slurm":
        """Return what `asdict` made plain."""
        jobs = {
            int(number): Job(**{**job, "tasks": {int(task): Task(**held) for task, held in job["tasks"].items()}})
            for number, job in content["jobs"].items()
        }
        return Slurm(**{**content, "jobs": jobs})

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)

    # What sbatch, scancel and scontrol do

    def submit(self, script: str, options: Mapping[str, str], *, folder: str, environment: Mapping[str, str]) -> Job:
        """Take a job; raises `Refused` with sbatch's words."""
        asked = {**options_of(script), **options}
        partition = asked.get("partition", self.partitions[0])
        if partition not in self.partitions:
            raise Refused(
                f"sbatch: error: invalid partition specified: {partition}\n{_FAILED}Invalid partition name specified"
            )
        numbers = list(_array(asked["array"])) if "array" in asked else [0]
        if max(numbers) >= self.max_array:
            raise Refused(f"{_FAILED}Invalid job array specification")
        live = sum(task.state not in ENDED for job in self.jobs.values() for task in job.tasks.values())
        if self.max_submit is not None and live + len(numbers) > self.max_submit:
            raise Refused(f"sbatch: error: AssocMaxSubmitJobLimit\n{_FAILED}{_POLICY}")
        job = Job(
            id=self.next_id,
            name=asked.get("job-name", "sbatch"),
            script=script,
            options=asked,
            folder=asked.get("chdir", folder),
            environment=dict(environment),
            tasks={number: Task() for number in numbers},
        )
        self.jobs[job.id] = job
        self.next_id += len(numbers)
        return job

    def due(self) -> Iterator[tuple[Job, int]]:
        """Start what waits and finds a free node; yield it for whoever executes it."""
        for job in self.jobs.values():
            for number, task in job.tasks.items():
                busy = {
                    other.node for one in self.jobs.values() for other in one.tasks.values() if other.state == "RUNNING"
                }
                free = [node for node in self.nodes if node not in busy]
                if free and task.state == "PENDING" and task.reason not in _NOT_DUE:
                    task.state, task.reason, task.node = "RUNNING", "None", free[0]
                    yield job, number

    def end(self, job: int, number: int, state: str, *, now: float) -> None:
        """Let a task that runs end in a state."""
        task = self.jobs[job].tasks[number]
        task.state, task.reason, task.ended = state, "None", now

    def requeue(self, job: int, number: int, state: str = "REQUEUED") -> None:
        """Let a task begin again; `state` is what accounting says of the time before."""
        task = self.jobs[job].tasks[number]
        task.past.append((state, task.node))
        task.state, task.reason, task.node = "PENDING", "BeginTime", ""
        task.restarts += 1

    def named(self, word: str) -> list[tuple[Job, int]]:
        """Return the tasks that an id names, 4711 (the whole array) or 4711_2; raises `Refused` where none is."""
        array, _, task = word.partition("_")
        job = self.jobs.get(int(array)) if array.isdigit() else None
        if job is None or (task and int(task) not in job.tasks):
            raise Refused("Invalid job id specified")
        return [(job, int(task))] if task else [(job, number) for number in job.tasks]

    # What squeue and sacct answer

    def squeue(self, words: Sequence[str], *, now: float) -> str:
        """Answer `squeue -h -r -o FORMAT`, with -t all, -n NAME and -j IDS."""
        given = _given(words, values="otnj", long={"format": "o", "states": "t", "name": "n", "jobs": "j"})
        form = given.get("o", "%i %j %T %N")
        lines = []
        for job in self.jobs.values():
            for number, task in job.tasks.items():
                is_gone = task.state in ENDED and (given.get("t") != "all" or now - task.ended > REMEMBERED_SECONDS)
                if is_gone or given.get("n", job.name) != job.name:
                    continue
                shown = {
                    "i": job.task_id(number),
                    "K": str(number) if job.is_array else "N/A",
                    "T": task.state,
                    "N": task.node,
                    "r": task.reason,
                    "j": job.name,
                }
                lines.append(re.sub(r"%(\w)", lambda match, shown=shown: shown[match[1]], form))  # type: ignore[misc]
        return "".join(f"{line}\n" for line in lines)

    def sacct(self, words: Sequence[str]) -> str:
        """Answer `sacct -n -X -P -o JobID,State,NodeList -j IDS`; raises `Refused` without accounting."""
        if not self.accounting:
            raise Refused("Slurm accounting storage is disabled")
        given = _given(words, values="oj", long={})
        wanted = set(given["j"].split(","))
        lines = []
        for job in self.jobs.values():
            for number, task in job.tasks.items():
                if str(job.id) in wanted or job.task_id(number) in wanted:
                    state = f"CANCELLED by {self.uid}" if task.state == "CANCELLED" else task.state
                    lines.append(f"{job.task_id(number)}|{state}|{task.node or 'None assigned'}\n")
        return "".join(lines)


_FAILED = "sbatch: error: Batch job submission failed: "
_POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
_NOT_DUE = {"JobHeldUser", "JobHeldAdmin", "BeginTime"}


def options_of(script: str) -> dict[str, str]:
    """Return the options that a script's lines of #SBATCH name."""
    lines = re.findall(r"^#SBATCH (--.*)$", script, re.MULTILINE)
    words = [word for line in lines for word in shlex.split(line)]
    return {name: value for name, _, value in (word[2:].partition("=") for word in words)}


def _array(text: str) -> Iterator[int]:
    for part in text.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _given(words: Sequence[str], *, values: str, long: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each short option; `values` are those that have one."""
    given: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            given[long.get(name, name)] = value
        elif word.startswith("-"):
            given[word[1]] = rest.pop(0) if word[1] in values else ""
    return given
