"""SLURM's commands: what their complaints mean."""

import pytest

from difair_hpc.errors import ClusterUnreachable, Failure, JobRefused, LimitReached
from difair_hpc.sweep.commands import run_command


def test_without_slurm_the_way_out_is_named() -> None:
    with pytest.raises(Failure, match="cluster=local"):
        run_command(["sbatch-that-is-not-there"])


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        ("sbatch: error: AssocMaxSubmitJobLimit", LimitReached),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", LimitReached),
        ("Unable to contact slurm controller (connect failure)", ClusterUnreachable),
        ("Socket timed out on send/recv operation", ClusterUnreachable),
        ("invalid partition specified: x", JobRefused),
        ("Requested node configuration is not available", JobRefused),
        ("something new", Failure),
    ],
)
def test_complaints_are_told_apart(complaint: str, kind: type[Failure]) -> None:
    with pytest.raises(Failure) as caught:
        run_command(["sh", "-c", f"echo '{complaint}' >&2; exit 1"])
    assert type(caught.value) is kind
    assert complaint in str(caught.value)
