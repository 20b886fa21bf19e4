"""Something odd at every path of a root, one at a time: whatever the victim runs, nothing outside is touched.

The cases are drawn by number, always the same ones; `DIFAIR_TEST_SCALE=20` tries twenty times as many.
"""

import os
import random
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.cases import SCALE
from tests.security import plant
from tests.security.kept import everything
from tests.security.made import MINI
from tests.security.marks import ATTACK
from tests.security.scene import Scene
from tests.security.users import acting

pytestmark = [*ATTACK]

PARTS, CASES = 4, 5
ALWAYS = (("status",), ("why", "3"), ("logs", "3"))
READING = (
    ("status", "-f", "json"), ("why", "1"), ("why", "6"), ("resume", "-n"), ("cancel", "-n", "mini"), ("doctor",),
    ("data",), ("report", "mini", "-f", "json"), ("report", "seek", "-f", "json"),
)  # fmt: skip
WRITING = (
    ("hold", "3"), ("release", "3"), ("sync",), ("sync", "--rebuild"), ("resume", "mini"), ("ui",), ("report", "seek"),
    ("sweep", "mini", "--tick", *MINI), ("resume", "BEGUN", "tracking_uri=none"), ("sync", "--retry"),
)  # fmt: skip
ABSENT = (
    "mlflow-server.json", "mlflow.db-journal", "mlflow.db-wal", "mlflow.refused", "mlflow.refused/0.json", "doctor",
    ".mlflow.claim", "studies/mini/mark.json", "studies/mini/tick.wanted", "studies/mini/optuna.name",
    "studies/mini/optuna.journal.lock", "studies/mini/attempts/0003.json", "studies/mini/waves.json",
    "studies/mini/shown.json", "studies/mini/report", "studies/other", "studies/other/study.json",
    "runs/{failed}/result.json", "runs/{failed}/metrics.jsonl", "runs/{begun}/metrics.jsonl", "runs/{begun}/model.pt",
    "runs/{begun}/checkpoint-0001-000001-000000.pt", "runs/{begun}/outputs", "runs/{begun}/mark.json",
    "runs/{stopped}/result.json", "runs/{stopped}/attempts/0001.kind.json", "runs/none", "runs/none/spec.json",
    "jobs/4711_1_0_log.err", "mlartifacts/other",
)  # fmt: skip


LIKELY = ("link to a secret", "link to a secret", "link to a folder", "link to nothing", "pipe")


def _kinds(scene: Scene, bait: Path) -> dict[str, Callable[[Path], None]]:
    return {
        "link to a secret": lambda path: plant.link(path, bait),
        "link to a file of the shell": lambda path: plant.link(path, scene.rc),
        "link to nothing": lambda path: plant.link(path, scene.home / "fresh"),
        "link to a folder": lambda path: plant.link(path, scene.prey),
        "link to itself": plant.loop,
        "hard link": lambda path: plant.hard_link(path, scene.outside / "common.txt"),
        "pipe": plant.fifo,
        "socket": plant.open_socket,
        "foreign": plant.foreign,
        "huge": plant.huge,
        "unreadable": plant.unreadable,
        "swapped": plant.swapped,
    }


def _paths(scene: Scene, chance: random.Random) -> list[str]:
    """Return the paths of one case: a folder, or several files, each kind of which is as likely as any other."""
    groups: dict[str, list[str]] = {"absent": [*ABSENT]}
    for path in everything(scene.root):
        name = str(path.relative_to(scene.root))
        first = name.partition("/")[0]
        few = first in ("code", "mlartifacts") or "report" in path.parts
        group = "folder" if path.is_dir() else first if few else re.sub("[0-9]+", "", path.name)
        groups.setdefault(group, []).append(name)
    folders = [name for name in groups.pop("folder") if name.count("/") < 3 and not name.startswith("code/")]
    if chance.random() < 0.25:
        return [chance.choice(folders)]
    return [chance.choice(groups[chance.choice(sorted(groups))]) for _ in range(chance.randrange(4, 10))]


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_planted_in_a_root_stays_there(scene: Scene, part: int) -> None:
    failures = []
    for number in range(CASES * SCALE):
        chance = random.Random(f"{part} {number}")
        scene.lay()
        with acting(scene.team.victim):
            if chance.random() < 0.1:
                (scene.own / "mlflow.db").unlink()  # so that everything is shipped
        done = []
        paths = _paths(scene, chance)
        baits = [scene.bait(scene.path(text)) for text in paths]
        with scene.colleague():
            for text, bait in zip(paths, baits, strict=True):
                kinds = _kinds(scene, bait)
                kind = chance.choice([*sorted(kinds), *LIKELY])
                if _planted(scene.path(text), kinds[kind]):
                    done.append(f"{kind} at {text}")
        begun = scene.runs("train")[1].name
        verbs = [*chance.sample(READING, 3), *chance.choice(WRITING)]
        said = scene.difair(*(tuple(begun if word == "BEGUN" else word for word in verb) for verb in verbs))
        found = scene.harm(said)
        if found:
            failures.append("\n  ".join([f"case {part} {number}: {', '.join(done)}", *found]))
    assert not failures, "\n".join(failures)


def _planted(path: Path, kind: Callable[[Path], None]) -> bool:
    """Plant something, unless an earlier one, or the mode of the folder, is in the way; return whether it is there."""
    try:
        if any(above.is_symlink() or (above.exists() and not above.is_dir()) for above in path.parents):
            return False
        kind(path)
    except (PermissionError, FileExistsError, NotADirectoryError):
        return False
    return True


def test_every_kind_can_be_planted(scene: Scene) -> None:
    """Else the others would pass without having tried anything."""
    with scene.colleague():
        for number, (name, kind) in enumerate(_kinds(scene, scene.secret).items()):
            path = scene.root / f"planted{number}"
            assert _planted(path, kind), name
            assert os.path.lexists(path), name
    modes = [stat.S_IFMT(os.lstat(path).st_mode) for path in sorted(scene.root.glob("planted*"))]
    assert {stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFDIR} <= set(modes)
