"""Names on record never become shell: what stands in nodes.json, in an attempt's place or in a wave's answer."""

import json
import re
import time

import pytest

from tests.security import plant
from tests.security.made import MINI
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]

NAMES = {
    "line": "n1\ntouch {loot}/mark #",
    "carriage return": "n1\rtouch {loot}/mark",
    "substitution": "n1$(touch {loot}/mark)",
    "backticks": "`touch {loot}/mark`",
    "option": "n1 --wrap=x",
    "another option": "n1\n#SBATCH --output={home}/.bashrc",
    "separator": "n1;touch {loot}/mark",
    "escape": "n1\x1b[2J",
    "unicode line": "n1\u2028touch {loot}/mark",
    "begins as an option": "-w",
}


def evil(scene: Scene, name: str) -> str:
    return NAMES[name].format(loot=scene.loot, home=scene.home)


def test_nodes_on_record_are_no_lines_of_a_script(scene: Scene) -> None:
    entry = {"until": time.time() + 3600, "why": "2 runs failed on it"}
    nodes = [evil(scene, name) for name in NAMES]
    with scene.colleague():
        text = json.dumps({node: entry for node in (*nodes, "n8")})
        plant.put(scene.root / "studies/mini/nodes.json", text)
    _no_trace(scene, ("resume", "mini"), *nodes)


@pytest.mark.parametrize("name", ["line", "another option"])
def test_the_node_of_an_attempt_is_no_line_of_a_script(scene: Scene, name: str) -> None:
    node = evil(scene, name)
    with scene.colleague():
        for run in scene.runs("mini")[1:]:  # two runs that were lost on one node, as far as their records say
            place = {"job": "", "log": "", "node": node, "offset": 0}
            record = json.loads((run / "attempts/0001.json").read_text())
            plant.put(run / "attempts/0001.json", json.dumps({**record, "place": place, "pid_started": "gone"}))
            plant.away(run / "attempts/0001.end.json")
            plant.put(run / "attempts/0001.beat.json", json.dumps({"time": time.time()}))
            plant.put(run / "attempts/0001.kind.json", json.dumps({"kind": "died", "evidence": "it left no word"}))
    _no_trace(scene, ("sweep", "mini", "--tick", *MINI), node)  # difair resume would forgive both


def _no_trace(scene: Scene, verb: tuple[str, ...], *nodes: str) -> None:
    said = scene.difair(("status",), verb)
    scene.assert_spared(said)
    script = scene.submitted()
    assert "#SBATCH --array" in script, said
    left_out = [
        name for line in re.findall("^#SBATCH --exclude=(.*)$", script, re.MULTILINE) for name in line.split(",")
    ]
    assert all(re.fullmatch(r"\w[\w.-]*", name) for name in left_out), left_out
    assert not [node for node in nodes if len(node) > 3 and node in script], script
    made = [line for one in said for line in one.text.splitlines() if line.startswith(("touch", "#SBATCH"))]
    assert not made, "a name makes no lines of its own"
    assert not [line for line in script.splitlines() if line.startswith(("touch", f"#SBATCH --output={scene.home}"))]


@pytest.mark.parametrize("number", ["--user=0", "4711 --full", "4711;id"])
def test_the_number_of_a_job_on_record_is_no_option_of_slurm(scene: Scene, number: str) -> None:
    with scene.colleague():
        waves = plant.taken_over(scene.root / "studies/mini/waves")
        plant.put(waves / "0001.answer.json", json.dumps({"id": number, "time": time.time(), "error": ""}))
        plant.away(waves / "0001.ends.json")
    said = scene.difair(("status",), ("cancel", "mini"), ("sync",))
    scene.assert_spared(said)
    words = [line.split(" ", 1)[1] for line in scene.told_slurm() if line.startswith("scancel")]
    assert not any(number in word for word in words), words
