"""A team's server with two accounts, for the tests of a module that define no services of their own."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import FOREIGN_PREFIXES
from tests.services.accounts import a_run
from tests.services.made import Services, a_place


@pytest.fixture(scope="module")
def team() -> Iterator[Services]:
    """A server with the accounts alice and bob, started by somebody with a secret of his own."""
    with pytest.MonkeyPatch.context() as patch, a_place() as place:
        for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
            patch.delenv(name)
        patch.setenv("A_TOKEN_OF_THE_ADMIN", "not for services")
        (place.folder / "artifacts/9").mkdir(parents=True)  # as an earlier version left them
        (place.folder / "artifacts/9/result.json").write_text("{}")
        (place.base / "mine").write_text("of whoever starts it")
        (place.folder / "artifacts/9/link").symlink_to(place.base / "mine")
        started = place.control("start")
        assert started.returncode == 0, started.stderr
        for name in ("alice", "bob"):
            assert place.control("user", name).returncode == 0
        yield place


@pytest.fixture(scope="module")
def hers(team: Services) -> tuple[str, str]:
    """Make alice's experiment and run."""
    return a_run(team, "alice")
