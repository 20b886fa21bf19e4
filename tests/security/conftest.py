"""Users, folders and a filled root for all attacks of a process; each test finds them as they were."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.scene import Scene
from tests.security.users import lacking, team


@pytest.fixture(scope="session")
def node() -> Iterator[Scene]:
    """Make users and folders, and remove them at the end; a root of the team's is filled once."""
    if why := lacking():
        pytest.skip(why)
    base = Path(tempfile.mkdtemp(prefix="difairsec-"))
    base.chmod(0o755)
    try:
        with team(base / "homes") as found:
            scene = Scene(base=base, team=found)
            try:
                scene.build()
                yield scene
            finally:
                scene.leave()
    finally:
        shutil.rmtree(base)


@pytest.fixture
def scene(node: Scene) -> Iterator[Scene]:
    """Everything as it was after the victim's last command of his own."""
    node.lay()
    yield node
    node.leave()
