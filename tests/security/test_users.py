"""Without an attack all is well: what the attacks find wrong comes from them."""

import os

import pytest

from tests.security.marks import ATTACK
from tests.security.scene import Scene
from tests.security.users import acting

pytestmark = [*ATTACK]

VERBS = (
    ("status",), ("status", "-f", "json"), ("why", "1"), ("why", "3"), ("logs", "3"), ("report", "seek"), ("sync",),
    ("resume", "-n"), ("hold", "2"), ("release", "2"), ("cancel", "-n", "mini"), ("doctor", "cluster=v100"), ("data",),
    ("resume", "mini"), ("ui",),
)  # fmt: skip


def test_a_root_that_nobody_attacks_passes_every_check(scene: Scene) -> None:
    scene.look()
    said = scene.difair(*VERBS)
    assert scene.harm(said) == []
    assert [one.code for one in said] == [0] * len(VERBS), said
    assert "#SBATCH --array" in scene.submitted()
    assert "2 starting" in said[-2].text
    assert "MLflow on http" in said[-1].text


def test_the_colleague_can_write_in_the_root_and_nowhere_else(scene: Scene) -> None:
    with acting(scene.team.colleague):
        (scene.root / "mine").write_text("x")
        with pytest.raises(PermissionError):
            scene.secret.read_text()
        with pytest.raises(PermissionError):
            (scene.home / "x").touch()
    with acting(scene.team.stranger), pytest.raises(PermissionError):
        list(scene.root.iterdir())
    assert os.lstat(scene.root / "mine").st_gid == scene.team.group
