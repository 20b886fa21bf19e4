"""Pipes, sockets, endless and unreadable files: no command hangs or dies, and what is left out has a line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.cases import SCALE
from tests.security import plant
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]

KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": plant.fifo,
    "socket": plant.open_socket,
    "huge": plant.huge,
    "unreadable": plant.unreadable,
    "folder": plant.swapped,
    "loop": plant.loop,
}
RUN = (
    "runs/{stopped}/spec.json", "runs/{done}/result.json", "runs/{failed}/mark.json", "runs/{single}/metrics.jsonl",
    "runs/{begun}/attempts/0001.json",
)  # fmt: skip
STUDY = (
    "studies/mini/request.json", "studies/mini/mark.json", "studies/mini/nodes.json", "studies/mini/ticks.json",
    "studies/seek/shown.json", "studies/seek/attempts/0001.json",
)  # fmt: skip
NEEDED = {"runs/{stopped}/spec.json", "runs/{done}/result.json", "runs/{failed}/mark.json", *STUDY[:3]}
"""Files without which a command knows less than it should, so that one line has to say so."""
READING = (("status",), ("status", "-f", "json"), ("why", "1"), ("logs", "3"), ("report", "mini", "-f", "json"))
NEEDED_BY_ALL = {
    "studies/mini/study.json": (("status",), ("sync",), ("resume", "mini")),
    "studies/mini/{book}.jsonl": (("status",), ("resume", "mini")),
    "mlflow.root": (("sync",),),
    "mlflow-server.json": (("status",), ("sync",)),
}
"""Files without which a whole command cannot do its work, and the commands."""
REPLACED = {
    ".mlflow.lock": (("sync",),),
    "mlflow.db": (("sync",), ("doctor",)),
    "studies/mini/optuna.journal": (("sync",),),
    "jobs/4711_2_0_log.err": (("status",), ("why", "3"), ("logs", "3")),
    "studies/mini/tick.wanted": (("resume", "mini"),),
}
"""Files that something else stands for: a claim for the lock, a new journal, the victim's own store and logs."""
PAIRS = [
    (path, kind)
    for row, path in enumerate({**NEEDED_BY_ALL, **REPLACED})
    for column, kind in enumerate(KINDS)
    if SCALE > 1 or kind == "pipe" or (row + column) % 6 == 3
]
"""Each with a pipe and one other kind; with all kinds where `DIFAIR_TEST_SCALE` asks for more."""


@pytest.mark.parametrize("kind", KINDS)
def test_bad_files_cost_a_line_each(scene: Scene, kind: str) -> None:
    with scene.colleague():
        for path in (*RUN, *STUDY):
            KINDS[kind](scene.path(path))
    said = scene.difair(*READING, ("sync",))
    scene.assert_spared(said)
    for path in NEEDED:
        name = str(scene.path(path).relative_to(scene.root))
        assert scene.named(name, said), (name, said)
    assert scene.runs("seek")[0].name in said[0].text, "what is sound is shown all the same"
    assert said[1].code == 0, said[1]


@pytest.mark.parametrize(("path", "kind"), PAIRS)
def test_a_bad_file_that_all_need_is_named_or_replaced(scene: Scene, path: str, kind: str) -> None:
    with scene.colleague():
        KINDS[kind](scene.path(path))
    said = scene.difair(*{**NEEDED_BY_ALL, **REPLACED}[path])
    scene.assert_spared(said)
    assert path in REPLACED or scene.named(scene.path(path).name, said), said


@pytest.mark.parametrize("kind", ["pipe", "huge", "folder"])
def test_a_run_goes_on_beside_files_that_are_none(scene: Scene, kind: str) -> None:
    begun = scene.runs("train")[1]
    with scene.colleague():
        for name in ("metrics.jsonl", "checkpoint-0009-000009-000000.pt", "mark.json", "attempts/0001.beat.json"):
            KINDS[kind](begun / name)
    said = scene.difair(("resume", begun.name, "tracking_uri=none"), ("why", "6"))
    scene.assert_spared(said)
