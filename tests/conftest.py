"""What every test may rely on: one thread, no settings of the user's shell, no message to anybody outside."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from difair_hpc import nofollow
from tests import forked
from tests.browser import Browser, missing, opened
from tests.costs import Costs
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

# A command in the background is born with Ctrl-C ignored, and so would be all that its tests start.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

LONGEST = ("tests/drill/test_drill.py", "tests/cli/test_pruned.py", "tests/services")
"""Begun first, so that all others run beside them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--heavy", default="", metavar="PART", help="run the tests marked heavy(PART), and no others")
    parser.addoption("--costs", default="", metavar="FILE", help="append what each test costs: see tests/costs.py")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--costs"):
        config.pluginmanager.register(Costs(Path(path)))


def pytest_sessionfinish() -> None:
    forked.close()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups, and -m the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the set, begin with the longest, and skip what needs something that is not here."""
    wanted = config.getoption("--heavy")
    left_out = [item for item in items if _part(item) != wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    chosen = [item for item in items if _part(item) == wanted]
    items[:] = sorted(chosen, key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        _group(item)
        if reason := _lacks(item):
            item.add_marker(pytest.mark.skip(reason=reason))


def _part(item: pytest.Item) -> str:
    """Return the part of the heavy set that a test belongs to; nothing: it is no part of it."""
    mark = item.get_closest_marker("heavy")
    return str(mark.args[0]) if mark else ""


def _group(item: pytest.Item) -> None:
    """Keep tests together that share a cluster or a browser; those that bring up a service are slow."""
    for marker, group in (("slurm", "testbed"), ("browser", "browser"), ("postgres", "")):
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.slow)
            if group:
                item.add_marker(pytest.mark.xdist_group(group))


def _lacks(item: pytest.Item) -> str:
    """Return what has to be set or installed before the test can run, or nothing."""
    for marker, variable in NEEDS.items():
        if item.get_closest_marker(marker) and not os.environ.get(variable):
            return f"set {variable} to run it"
    if item.get_closest_marker("postgres") and binaries() is None:
        return "PostgreSQL's server is not here: apt-get install postgresql"
    if item.get_closest_marker("browser") and missing():
        return f"{missing()} is not here: apt-get install chromium chromium-driver"
    return ""


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
def roots_of_the_test_alone() -> Iterator[None]:
    """Forget the output roots that a test has declared."""
    before = {*nofollow._roots}
    yield
    nofollow._roots.clear()
    nofollow._roots.update(before)


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
