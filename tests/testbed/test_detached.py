"""A study that nobody attends: its jobs carry it from stage to stage to its report."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import short
from tests.testbed.study import LASTING, Study, study_on

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EPOCHS = 2


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    yield from study_on(tmp_path)


def detached(study: Study, *words: str, **profile: object) -> None:
    study.write(short.study(EPOCHS), **{"report": True, **profile})
    assert "jobs carry the study on" in study.said("sweep", "mini", "cluster=bed", "root=o", "--detach", *words)
    (study.bed.folder / "sweeps/mini.yaml").write_text("an edit that running studies must not see")


def wait_for_report(study: Study) -> None:
    study.wait("the report", (study.bed.folder / "o/studies/mini/report/report.md").exists)
    study.wait("no job left", lambda: not study.running())
    study.check_results("o", 3)


@pytest.mark.parametrize("parallel", [1, 4])
def test_jobs_carry_a_study_through_its_stages(study: Study, parallel: int) -> None:
    """The last jobs of a stage leave together: none of them is taken for the one that begins the next."""
    detached(study, parallel=parallel, **LASTING)
    wait_for_report(study)
    assert not study.kinds("o")
    study.check_projections("o", EPOCHS)


def test_a_last_run_that_is_killed_still_leads_to_the_report(study: Study) -> None:
    detached(study, "tracking_uri=none", **LASTING)
    study.wait("the last stage", lambda: len(study.epochs("o")) == 3)
    study.kill_training("o")
    wait_for_report(study)
    assert study.kinds("o") == {"died": 1}


def test_jobs_execute_what_was_submitted_whatever_the_folder_and_the_site_hold(study: Study) -> None:
    detached(study, "tracking_uri=none", sbatch={"export": "NONE"}, report=False)
    for name in ("difair_hpc/__init__.py", "queue.py", "json.py", "numpy/__init__.py"):
        (study.bed.folder / name).parent.mkdir(exist_ok=True)
        (study.bed.folder / name).write_text(f"raise SystemExit('{name} of the working folder was imported')")
    study.wait("three runs are done", lambda: len(list(study.bed.folder.glob("o/runs/*/result.json"))) == 3)
    study.wait("no job left", lambda: not study.running())
    assert not study.kinds("o")
    assert list(study.bed.folder.glob("o/code/*/difair_hpc/train/__pycache__/trainer.*.pyc"))
