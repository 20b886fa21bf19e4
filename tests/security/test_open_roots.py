"""A root that everybody may write is refused, and nothing is made for everybody; doctor names one that all read."""

import os
import stat

import pytest

from tests.security.marks import ATTACK
from tests.security.scene import Scene
from tests.security.users import acting

pytestmark = [*ATTACK]

WRITING = (("sync",), ("resume", "mini"), ("resume", "BEGUN"), ("report", "seek"), ("sweep", "mini", "--detach"))
ACTING = (("hold", "3"), ("cancel", "3"), ("ui",))


@pytest.mark.parametrize(("mode", "verbs"), [(0o1777, WRITING), (0o2777, ACTING), (0o772, WRITING[:1])])
def test_a_root_that_everybody_may_write_is_refused(
    scene: Scene, verbs: tuple[tuple[str, ...], ...], mode: int
) -> None:
    with acting(scene.team.victim):
        scene.root.chmod(mode)
    scene.look()
    begun = scene.runs("train")[1].name
    said = scene.difair(*(tuple(begun if word == "BEGUN" else word for word in verb) for verb in verbs))
    scene.assert_spared(said)
    for one in said:
        assert one.code in (1, 2), one
        assert str(scene.root) in one.text, one
        assert "chmod" in one.text, f"what to do is said: {one}"


@pytest.mark.parametrize("mode", [0o1777])
def test_a_new_root_below_a_folder_of_everybody_is_its_owners_alone(scene: Scene, mode: int) -> None:
    """Such as /tmp or /scratch: what is made there is nobody else's."""
    scene.look()
    scene.loot.chmod(mode)
    words = ("train", "benchmark=digits", "method=difair", "protocol=short", "protocol.epochs=1", "tracking_uri=none")
    command = scene.command(*words, "benchmark.train_per_class=10", "protocol.batch_size=16")
    new = scene.loot / "root"
    (said,) = scene.victim(type(command)(words=(*command.words[:-1], f"root={new}")))
    scene.loot.chmod(0o1777)
    assert said.code == 0, said
    for path in (new, *new.rglob("*")):
        assert not os.lstat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


@pytest.mark.parametrize("mode", [0o755, 0o2775])
def test_doctor_names_a_root_that_everybody_may_enter(scene: Scene, mode: int) -> None:
    with acting(scene.team.victim):
        scene.root.chmod(mode)
    scene.look()
    (said,) = scene.difair(("doctor",))
    scene.assert_spared([said])
    lines = [line for line in said.text.splitlines() if str(scene.root) in line and "everybody" in line]
    assert lines, said
    assert lines[0].startswith(("warn", "FAIL")), lines


@pytest.mark.parametrize("mode", [0o2770, 0o700])
def test_doctor_finds_nothing_in_a_root_that_others_cannot_enter(scene: Scene, mode: int) -> None:
    with acting(scene.team.victim):
        scene.root.chmod(mode)
    scene.look()
    (said,) = scene.difair(("doctor",))
    assert "everybody" not in said.text


def test_a_folder_that_a_colleague_opens_to_all_stays_the_only_one(scene: Scene) -> None:
    """The root is the team's; a folder in it has been made anew for everybody."""
    with scene.colleague():
        for name in ("jobs", "mlflow.refused"):
            folder = scene.root / name
            if folder.exists():
                folder.rename(folder.with_name(f"{name}.aside"))
            folder.mkdir()
            folder.chmod(0o777)
    scene.assert_spared(scene.difair(("resume", "mini"), ("sync",), ("report", "seek")))
