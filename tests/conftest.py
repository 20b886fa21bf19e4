"""What every test may rely on: one thread, no settings of the user's shell, no message to anybody outside."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import Browser, missing, opened
from tests.postgres import Server, binaries, running_server

if TYPE_CHECKING:
    from tests.stores import Store

# Before torch, matplotlib or mlflow are imported, here or in a child process: results repeat to the bit only at the
# same number of threads, no test opens a window, and nothing is reported to MLflow's makers.
os.environ.update(
    OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true"
)

FOREIGN_PREFIXES = ("DIFAIR_", "MLFLOW_", "SLURM_", "SBATCH_", "SUBMITIT_", "HYDRA_", "PG")
"""A study that runs in the user's shell or job must not reach a test, nor the other way round."""

NEEDS = {"realdata": "DIFAIR_DATA", "slurm": "DIFAIR_TEST_SLURM"}
"""Marker -> environment variable without which its tests are skipped; real jobs are only submitted when asked for."""

LONGEST = "tests/drill/test_drill.py::test_a_study_under_thirty_faults"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, beside which all others may run, and skip what needs something that is not here."""
    items.sort(key=lambda item: LONGEST not in item.nodeid)
    for item in items:
        if item.get_closest_marker("slurm"):  # they share one cluster: one after another, on one worker
            item.add_marker(pytest.mark.xdist_group("testbed"))
        for marker, variable in NEEDS.items():
            if item.get_closest_marker(marker) and not os.environ.get(variable):
                item.add_marker(pytest.mark.skip(reason=f"set {variable} to run it"))
        if item.get_closest_marker("postgres") and binaries() is None:
            item.add_marker(pytest.mark.skip(reason="PostgreSQL's server is not here: apt-get install postgresql"))
        if item.get_closest_marker("browser"):  # one Chromium, and one study behind MLflow's server
            item.add_marker(pytest.mark.xdist_group("browser"))
        if item.get_closest_marker("browser") and missing():
            reason = f"{missing()} is not here: apt-get install chromium chromium-driver"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's settings, but for those that the test's markers ask for."""
    kept = {variable for marker, variable in NEEDS.items() if request.node.get_closest_marker(marker)}
    kept.add("MLFLOW_DISABLE_TELEMETRY")
    if request.node.get_closest_marker("slurm"):
        kept |= {"SLURM_CONF", "DIFAIR_TESTBED"}
    for name in list(os.environ):
        if name.startswith(FOREIGN_PREFIXES) and name not in kept:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Take back what a command does to the modes of files that its process makes."""
    os.umask(before := os.umask(0o022))
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this process; a test that stops it starts its own."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium without a window for all tests of this process."""
    with opened() as found:
        yield found


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> "Store":
    """Optuna's storage of the study `mini` under the root `tmp_path`, of either kind, empty."""
    from tests.stores import Store

    (tmp_path / "studies/mini").mkdir(parents=True)
    if request.param == "journal":
        return Store(place=tmp_path / "studies/mini/optuna.journal")
    server: Server = request.getfixturevalue("postgres")
    return Store(place=server.database(), server=server)
