"""The job that looks at a compute node, on a site that a test plays."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from difair_hpc.errors import ClusterUnreachable, Failure
from difair_hpc.sweep import nodejob
from difair_hpc.sweep.checks import Check
from difair_hpc.sweep.nodejob import ask_node
from difair_hpc.sweep.profile import Profile

CHECKS = [Check("ok", "machine", "gpu-1: 8 CPUs"), Check("FAIL", "GPU", "torch sees no CUDA GPU", "look at [gres]")]
ANSWER = json.dumps([check._asdict() for check in CHECKS], indent=1)

PROFILE = Profile(
    name="test", executor="slurm", partition="gpu", gres="gpu:v100:1", device="cpu", setup=("module load cuda",)
)


class Queue:
    """Takes the job, tells its states one by one, and lets it answer when it ends."""

    def __init__(self, *states: str | BaseException, answer: str = ANSWER, error: str = "") -> None:
        self.states = list(states)
        self.answer = answer
        self.error = error
        self.script = ""
        self.folder = Path()
        self.asked: list[str] = []

    def __call__(self, words: Sequence[str]) -> str:
        self.asked.append(" ".join(words[:2]))
        if words[0] == "sbatch":
            self.folder, self.script = Path(words[-1]).parent, Path(words[-1]).read_text()
            return "4711;testbed\n"
        if words[0] == "squeue":
            state = self.states.pop(0)
            if isinstance(state, BaseException):
                raise state
            if self.answer or self.error:
                (self.folder / "4711_0_log.out").write_text(self.answer)
                (self.folder / "4711_0_log.err").write_text(self.error)
            return f"{state}\n"
        return ""


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodejob, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(nodejob, "SIGHT_SECONDS", 0.0)


def test_the_answer_comes_back_and_nothing_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = Queue("PENDING|Priority|", "PENDING|Priority|", "RUNNING|None|gpu-1", "COMPLETED|None|gpu-1")
    assert ask_node(tmp_path, PROFILE, ["cluster=test", "root=o"], queue) == CHECKS
    assert list((tmp_path / "doctor").iterdir()) == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "job 4711: PENDING (Priority); Ctrl-C cancels it",
        "job 4711: RUNNING on gpu-1; Ctrl-C cancels it",
    ]
    assert "scancel 4711" not in queue.asked


def test_the_job_asks_for_what_runs_ask_for_but_for_minutes(tmp_path: Path) -> None:
    queue = Queue("COMPLETED|None|gpu-1")
    ask_node(tmp_path, PROFILE, ["cluster=test"], queue)
    lines = queue.script.splitlines()
    assert {"#SBATCH --partition=gpu", "#SBATCH --gres=gpu:v100:1", "#SBATCH --time=5", "module load cuda"} <= {*lines}
    assert "-m difair_hpc doctor --inside -f json cluster=test" in queue.script
    assert f"cd {shlex.quote(str(Path.cwd()))} || cd /" in lines, "where the profile is"
    assert queue.folder.parent == tmp_path / "doctor"


def test_a_site_that_is_away_for_a_while_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = ClusterUnreachable("squeue failed: Unable to contact slurm controller")
    queue = Queue(away, away, "COMPLETED|None|gpu-1")
    assert ask_node(tmp_path, PROFILE, ["cluster=test", "root=o"], queue) == CHECKS
    assert capsys.readouterr().err.count("Unable to contact slurm controller (trying again)") == 1


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (
            "FAILED|NonZeroExitCode|gpu-1",
            "a\nb\nModuleNotFoundError: torch\n",
            "ended (FAILED) without an answer; a / b / ModuleNotFoundError",
        ),
        ("FAILED|JobLaunchFailure|", "", "no log: does the node see the output root"),
        ("", "", "unknown how"),
        ("CANCELLED|None|", "", "CANCELLED"),
    ],
)
def test_a_job_that_ends_without_an_answer_says_why(tmp_path: Path, state: str, error: str, said: str) -> None:
    with pytest.raises(Failure, match=re.escape(said)):
        ask_node(tmp_path, PROFILE, ["cluster=test"], Queue(state, answer="", error=error))
    assert list((tmp_path / "doctor").iterdir()) == []


def test_ctrl_c_cancels_the_job_and_takes_its_files_along(tmp_path: Path) -> None:
    queue = Queue("PENDING|Priority|", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ask_node(tmp_path, PROFILE, ["cluster=test"], queue)
    assert queue.asked[-1] == "scancel 4711"
    assert list((tmp_path / "doctor").iterdir()) == []


def test_what_a_module_prints_before_the_answer_is_passed_over(tmp_path: Path) -> None:
    queue = Queue("FAILED|NonZeroExitCode|gpu-1", answer=f"[loading cuda]\n[\n]\n{ANSWER}\nbye\n")
    assert ask_node(tmp_path, PROFILE, [], queue) == CHECKS, "a check that failed there made the job fail"


def test_another_doctor_at_work_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "doctor" / "other").mkdir(parents=True)
    ask_node(tmp_path, PROFILE, [], Queue("COMPLETED|None|gpu-1"))
    assert [path.name for path in (tmp_path / "doctor").iterdir()] == ["other"]


def test_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuses(words: Sequence[str]) -> str:
        raise Failure(f"{words[0]} failed: invalid partition")

    with pytest.raises(Failure, match="sbatch failed: invalid partition"):
        ask_node(tmp_path, PROFILE, [], refuses)
    assert list((tmp_path / "doctor").iterdir()) == []
