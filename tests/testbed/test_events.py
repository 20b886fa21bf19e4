"""One event per study: whatever happens to a study of two runs, both end with the bits of runs left in peace.

Each run lasts ten seconds by pauses, and each test waits for states: its deadline is for what hangs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short
from tests.testbed.study import LASTING, Command, Study, lying_sbatch, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EPOCHS, RUNS = 4, 2


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


def attended(study: Study, *, path: str = "", **profile: object) -> Command:
    """Start the study, and return its command once both runs are past an epoch."""
    study.write(short.search(EPOCHS), **{**LASTING, **profile})
    command = again(study, path=path)
    study.wait("two runs past an epoch", lambda: sum(epoch >= 1 for epoch in study.epochs("o").values()) == RUNS)
    return command


def again(study: Study, *, path: str = "") -> Command:
    return study.start("sweep", "mini", "cluster=bed", "root=o", "tracking_uri=none", path=path)


def check_ends_as_undisturbed(study: Study, command: Command) -> None:
    assert "all stages are complete" in command.said()
    study.check_results("o", RUNS)


def test_preempted_runs_go_on(study: Study) -> None:
    command = attended(study)
    study.fill_gpus()
    study.wait("both were preempted", lambda: study.kinds("o")["preempted"] == RUNS)
    study.bed.open_gate()
    check_ends_as_undisturbed(study, command)
    assert study.kinds("o") == {"preempted": RUNS}


def test_a_requeued_run_goes_on(study: Study) -> None:
    command = attended(study)
    study.bed.ask("scontrol", "requeue", next(iter(study.running())))
    check_ends_as_undisturbed(study, command)
    assert study.kinds("o") == {"requeued": 1}


def test_a_run_whose_node_is_lost_goes_on(study: Study) -> None:
    command = attended(study)
    node = next(iter(study.running().values()))
    lost = sum(other == node for other in study.running().values())
    study.bed.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    study.wait("the loss is known", lambda: study.kinds("o")["node_failed"] == lost)
    study.bed.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)  # it may be back by itself
    check_ends_as_undisturbed(study, command)


def test_a_run_whose_process_is_killed_goes_on(study: Study) -> None:
    command = attended(study)
    study.kill_training("o")
    check_ends_as_undisturbed(study, command)
    assert study.kinds("o") == {"died": 1}


def test_runs_go_on_without_their_command_and_another_takes_over(study: Study) -> None:
    attended(study).kill()
    check_ends_as_undisturbed(study, again(study))
    assert not study.kinds("o"), "no attempt was interrupted"


def test_a_second_command_is_refused_while_the_first_works(study: Study) -> None:
    first = attended(study)
    assert "is being worked on by process" in again(study).said(code=2)
    assert first.works


def test_a_controller_that_is_away_is_waited_for(study: Study) -> None:
    command = attended(study)
    study.bed.control("stop", "slurmctld")
    study.wait("the command has noticed", lambda: "nable to contact" in command.text())
    study.bed.control("start", "slurmctld")
    check_ends_as_undisturbed(study, command)
    assert not study.kinds("o"), "no attempt was interrupted"


def test_jobs_that_sbatch_denied_are_adopted(study: Study) -> None:
    command = attended(study, path=lying_sbatch(study.bed.folder))
    waves = list((study.bed.folder / "o/studies/mini/waves").glob("????.json"))
    assert len(waves) == 1, "nothing was submitted twice"
    check_ends_as_undisturbed(study, command)
    assert not study.kinds("o"), "no attempt was interrupted"


def test_a_time_limit_shorter_than_the_run_is_no_obstacle(study: Study) -> None:
    command = attended(study, pause_seconds=4.0, minutes=1, notice_seconds=10)  # 64 s of training, an epoch is 16
    check_ends_as_undisturbed(study, command)
    assert set(study.kinds("o")) == {"timed_out"}
