"""Jobs that SLURM holds because a node could not start them go on elsewhere, but not for ever."""

import time
from pathlib import Path

import pytest

from difair_hpc.errors import ClusterUnreachable, JobRefused
from tests.sweep.scripted import Site


def test_a_job_that_no_node_can_start_is_released_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, now = Site(tmp_path), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    site.submit(["a"], ["b"], ["c"])
    site.shows("PENDING: launch failed requeued held", "PENDING: JobHeldUser", "PENDING: Priority")
    assert [job.held for job in site.cluster.jobs()] == [True, True, False]
    site.cluster.jobs()
    assert site.released == ["4711_0"], "the queue may not show yet that it was"
    for _ in range(5):
        now += 60
        site.made_again().jobs()
    assert site.released == ["4711_0"] * 3
    assert "difair release" in site.cluster.jobs()[0].why


def test_who_only_looks_releases_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["a"])
    site.shows("PENDING: launch failed requeued held")
    site.made_again(record=False).jobs()
    assert site.released == []


def test_a_job_that_may_not_be_released_stays_held(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["a"])
    site.shows("PENDING: launch failed requeued held")
    site.refusal = JobRefused("scontrol failed: Access/permission denied for job 4711_0")
    assert [job.held for job in site.cluster.jobs()] == [True]
    assert "difair release" in site.cluster.jobs()[0].why


def test_a_controller_that_does_not_answer_is_asked_by_a_later_tick(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.submit(["a"])
    site.shows("PENDING: launch failed requeued held")
    site.refusal = ClusterUnreachable("scontrol failed: Unable to contact slurm controller")
    with pytest.raises(ClusterUnreachable):
        site.cluster.jobs()
