"""Nothing that others wrote commands the victim's terminal: escape sequences and control characters are shown."""

import json

import pytest

from tests.security import plant
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]

SIGNS = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31337mred",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b2J\x9d0;owned\x9c",
    "good\r\x08\x08\x08evil\x7f",
    "\u202etxt.exe\u2066\u2028next",
    "\x0b\x0c\x0e",
    "\udc9b2J",
)
"""What a terminal obeys, or a reader is deceived by: titles, clipboard, colours, eight-bit codes, directions, bytes."""
EVIL = " ".join(SIGNS)
VERBS = (
    ("status",), ("status", "mini", "state=failed"), ("why", "2"), ("why", "3"), ("logs", "3"), ("resume", "-n"),
    ("cancel", "-n", "mini"), ("hold", "3"), ("report", "seek", "-f", "json"),
)  # fmt: skip
SHIPPING = (("sync",), ("ui",), ("report", "mini"), ("resume", "mini"), ("resume", "FAILED"))


def _written_everywhere(scene: Scene, evil: str, *, job: str = "4711_2") -> None:
    """Put a text into every record that commands print from."""
    done, failed, stopped = scene.runs("mini")
    study = scene.root / "studies/mini"

    def changed(path: str, **more: object) -> None:
        where = scene.root / path
        content = json.loads(where.read_text()) if where.exists() else {}
        plant.put(where, json.dumps({**content, **more}))

    end = {"message": f"ValueError: {evil}", "signal": evil, "trace": f"trace {evil}", "reason": "failed"}
    changed(f"runs/{failed.name}/attempts/0001.end.json", **end)
    changed(f"runs/{failed.name}/attempts/0001.kind.json", kind="failed", evidence=f"it said {evil}")
    place = {"job": job, "log": "4711_2_0_log", "node": f"n1{evil}", "offset": 0}
    changed(f"runs/{stopped.name}/attempts/0001.json", place=place, host=f"host{evil}")
    changed(f"runs/{stopped.name}/attempts/0001.end.json", reason=evil, signal=evil, message=evil)
    changed(f"runs/{stopped.name}/mark.json", hold="held", by=f"me{evil}")
    changed(f"runs/{done.name}/result.json", warnings=[evil], place={"node": evil, "job": evil})
    changed("studies/mini/ticks.json", node=f"n{evil}", message=evil)
    changed("studies/mini/mark.json", hold="held", by=evil)
    changed("studies/mini/nodes.json", **{f"n7{evil}": {"until": 4e9, "why": evil}})
    content = json.loads((study / "study.json").read_text())
    content["stages"][0]["reasons"] = [evil]
    content["stages"][0]["name"] = f"coarse{evil}"
    content["stages"][0]["trials"][1]["parameters"] = {f"method.alpha{evil}": evil}
    plant.put(study / "study.json", json.dumps(content))
    for suffix in ("err", "out"):
        log = f"epoch 1 {evil}\nCANCELLED AT now{evil} DUE TO PREEMPTION ***\n"
        plant.away(scene.root / f"jobs/4711_2_0_log.{suffix}")
        (scene.root / f"jobs/4711_2_0_log.{suffix}").write_bytes(log.encode("utf-8", "surrogateescape"))
    refused = {"store": "0", "study": "mini", "stage": evil, "signature": evil, "item": evil, "content": evil}
    plant.put(scene.root / "mlflow.refused/0.json", json.dumps({**refused, "reason": evil, "time": 1.0}))


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_what_others_wrote_is_shown_and_not_obeyed(scene: Scene, terminal: bool) -> None:
    with scene.colleague():
        _written_everywhere(scene, f"a\0{EVIL}")
    _assert_shown(scene, VERBS, terminal=terminal)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_what_is_shipped_and_resumed_is_shown_as_well(scene: Scene, terminal: bool) -> None:
    with scene.colleague():
        _written_everywhere(scene, EVIL)
        plant.in_store(scene, "UPDATE experiments SET name = name || '\x1b]0;owned\x07\x9b2J\u202e'")
    failed = scene.runs("mini")[1].name
    verbs = tuple(tuple(failed if word == "FAILED" else word for word in verb) for verb in SHIPPING)
    _assert_shown(scene, verbs, terminal=terminal)


@pytest.mark.parametrize("job", ["4711_2", "4711_", "x"])
def test_the_number_of_a_job_is_shown_as_well(scene: Scene, job: str) -> None:
    with scene.colleague():
        _written_everywhere(scene, "", job=f"{job}{EVIL}")
        plant.away(scene.runs("mini")[2] / "attempts/0001.end.json")
    _assert_shown(scene, (("status",), ("why", "3"), ("logs", "3")), terminal=False)


def _assert_shown(scene: Scene, verbs: tuple[tuple[str, ...], ...], *, terminal: bool) -> None:
    said = scene.difair(*verbs, terminal=terminal)
    found = scene.harm(said)
    odd = ("\x1b]", "\x1b[2J", "\x1b[31337", *"\x9b\x9d\x9c\x07\x08\x0b\x7f\0\u202e\u2066\u2028\udc9b")
    found += [f"{one.command}: printed {sign!r} raw" for one in said for sign in odd if sign in one.text]
    assert not found, "\n".join(["the attack succeeded:", *found])


@pytest.mark.parametrize("what", ["study", "run"])
def test_names_of_folders_are_shown_as_well(scene: Scene, what: str) -> None:
    with scene.colleague():
        if what == "study":
            (scene.root / "studies/mini").rename(scene.root / f"studies/mini{EVIL}")
        else:
            scene.runs("train")[0].rename(scene.root / f"runs/f{EVIL}")
    _assert_shown(scene, (("status",), ("status", "none"), ("sync",), ("report",)), terminal=False)
