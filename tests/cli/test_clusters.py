"""What a profile leaves open is filled from this machine: its GPUs by the names that were given, its CPUs in shares."""

from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli.clusters import connect, limits_of
from difair_hpc.sweep.cluster import LocalCluster
from difair_hpc.sweep.profile import Profile


def local(root: Path, profile: Profile) -> LocalCluster:
    cluster = connect("mini", profile, config.settings_only([f"root={root}"]))
    assert isinstance(cluster, LocalCluster)
    return cluster


@pytest.mark.parametrize(("said", "seen", "names"), [("2,3", 2, ("2", "3")), ("-1", 0, ()), ("GPU-1f", 1, ("GPU-1f",))])
def test_local_runs_go_to_the_gpus_that_the_user_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, seen: int, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    monkeypatch.setattr("torch.cuda.device_count", lambda: seen)
    monkeypatch.setattr("difair_hpc.cli.clusters.usable_cpus", lambda: 6)
    for side_by_side in (1, 3):
        profile = Profile(name="local", runs_per_gpu=side_by_side)
        assert limits_of(profile).parallel == (len(names) * side_by_side or 4)
        assert local(tmp_path, profile)._gpus == names
    assert local(tmp_path, Profile(name="local", device="cpu"))._gpus == ()


@pytest.mark.parametrize(
    "case",  # CPUs, runs side by side, threads that are asked for, threads of each run
    [(8, 2, None, 4), (8, 2, 2, 2), (8, 2, 6, 4), (2, 1, 4, 2), (2, 2, 4, 1), (2, 5, None, 1), (1, None, 4, 1)],
)
def test_runs_side_by_side_have_no_more_threads_than_there_are_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[int, int | None, int | None, int]
) -> None:
    cpus, parallel, asked, threads = case
    monkeypatch.setattr("difair_hpc.cli.clusters.usable_cpus", lambda: cpus)
    cluster = local(tmp_path, Profile(name="local", device="cpu", parallel=parallel, threads=asked))
    assert cluster._execution["threads"] == threads
