"""What a colleague has written says nothing to the victim's commands: requests, waves, sweep files, code."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc import config
from tests.security import plant
from tests.security.commands import Command
from tests.security.made import MINI, SWEEP
from tests.security.marks import ATTACK
from tests.security.scene import Scene
from tests.security.users import acting

pytestmark = [*ATTACK]


def setup(scene: Scene) -> str:
    return f"touch {scene.loot}/mark"


def request(scene: Scene, *words: str, folder: Path | None = None, **profile: object) -> str:
    """Return the victim's request with other words, another folder and another profile."""
    content = json.loads((scene.root / "studies/mini/request.json").read_text("utf-8"))
    key = {word.partition("=")[0]: word for word in (*content["words"], *words)}
    where = str(folder or content["folder"])
    return json.dumps({**content, "words": [*key.values()], "folder": where, "profile": content["profile"] | profile})


REQUESTS: dict[str, Callable[[Scene], str]] = {
    "setup": lambda scene: request(scene, f"cluster.setup=['{setup(scene)}']", setup=[setup(scene)]),
    "sbatch": lambda scene: request(scene, "cluster.sbatch={comment: mine}", sbatch={"comment": "mine"}),
    "sbatch of lines": lambda scene: request(
        scene, f"cluster.comment=1\n{setup(scene)}", sbatch={"comment": f"1\n{setup(scene)}"}
    ),
    "partition of lines": lambda scene: request(scene, partition=f"x\n{setup(scene)}\n"),
    "folder": lambda scene: request(scene, folder=scene.lair),
    "root": lambda scene: request(scene, config.word("root", scene.home / "elsewhere")),
    "store": lambda scene: request(scene, config.word("tracking_uri", f"sqlite:///{scene.prey}/own.db")),
    "local": lambda scene: request(scene, "cluster=local", executor="local", name="local"),
}
"""Text of a request by what is wrong in it."""
OWNERS: dict[str, Callable[[Scene, Path, str], None]] = {
    "the colleague's": lambda scene, path, text: plant.put(path, text),
    "the victim's by owner": plant.disguise,
}
"""Whose file it is: one of the colleague's, or one of the victim's that the team may write, under another name."""


CASES = [(what, "the victim's by owner") for what in REQUESTS]
CASES += [(what, "the colleague's") for what in ("setup", "folder")]


@pytest.mark.parametrize(("what", "owner"), CASES)
def test_a_request_of_somebody_else_is_not_obeyed(scene: Scene, what: str, owner: str) -> None:
    with acting(scene.team.colleague, umask=0o022):
        _own_files(scene, scene.lair)
    with scene.colleague():
        OWNERS[owner](scene, scene.root / "studies/mini/request.json", REQUESTS[what](scene))
        (scene.root / "studies/mini/tick.wanted").touch()
    said = scene.difair(("status",), ("resume", "mini"), ("sync",))
    scene.assert_spared(said)
    assert scene.submitted() == "", "nothing is submitted that somebody else has asked for"
    assert not list((scene.root / "jobs").glob("*_submission*")), "nor started here"
    assert said[1].code in (1, 2), said
    assert scene.named("request.json", said) or scene.named(scene.team.colleague.name, said), said


def _own_files(scene: Scene, folder: Path) -> None:
    """Put a sweep file and a profile there whose jobs begin with the colleague's lines."""
    for name in ("sweeps", "slurm"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "sweeps/mini.yaml").write_text(SWEEP)
    profile = f"executor: slurm\ngres: gpu:v100:1\nparallel: 32\nsetup: ['{setup(scene)}']\n"
    (folder / "slurm/v100.yaml").write_text(profile)


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("sweeps/mini.yaml", ("resume", "mini")),
        ("slurm/v100.yaml", ("resume", "mini")),
        ("slurm", ("resume", "mini")),
        ("slurm/v100.yaml", ("sync",)),
    ],
)
def test_files_that_a_request_names_count_where_they_are_the_victims(
    scene: Scene, name: str, verb: tuple[str, ...]
) -> None:
    """He has typed his command in a folder of the team's, in which somebody has put other files since."""
    folder = scene.outside
    with acting(scene.team.victim):
        (folder / "sweeps").mkdir()
        (folder / "sweeps/mini.yaml").write_text(SWEEP)
        path = scene.root / "studies/mini/request.json"
        text = request(scene, *[word for word in MINI if "setup" not in word], folder=folder)
        content = json.loads(text)
        content["words"] = [word for word in content["words"] if "setup" not in word]
        path.write_text(json.dumps(content))
        path.chmod(0o640)
    with scene.colleague():
        _own_files(scene, scene.root)
        evil = SWEEP.replace("[2, 6, 10]", "[3, 7]") if name == "sweeps/mini.yaml" else None
        if evil is not None:
            plant.put(folder / name, evil)
        elif name == "slurm":
            (scene.root / "slurm").rename(folder / "slurm")
        else:
            (folder / "slurm").mkdir()
            plant.put(folder / name, (scene.root / name).read_text())
        (scene.root / "studies/mini/tick.wanted").touch()
    said = scene.difair(verb)
    scene.assert_spared(said)
    assert setup(scene) not in scene.submitted()
    assert scene.submitted() == "", "it is the colleague's file that says what to run"


def test_a_wave_of_somebody_else_is_not_executed(scene: Scene) -> None:
    """The script of a job was submitted; before it begins, its wave is replaced."""
    wave = scene.root / "studies/mini/waves/0001.json"
    evil = {"again": ["sweep", "mini", "--tick", f"cluster.setup=['{setup(scene)}']"], "server": "http://127.0.0.1:9"}
    with scene.colleague():
        text = json.dumps({**json.loads(wave.read_text()), **evil})
        plant.disguised(scene, wave.parent, {wave.name: text})
    assert os.lstat(wave).st_uid == scene.team.victim.uid
    study, environment = scene.root / "studies/mini", {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "0"}
    commands = (
        Command(code="tests.security.commands:after", words=(str(study), str(wave), "0"), environment=environment),
        Command(code="tests.security.commands:job", words=(str(scene.root), str(wave)), environment=environment),
    )
    said = scene.victim(*commands)
    scene.assert_spared([one for one in said if one.code is not None])
    assert setup(scene) not in said[0].text, said
    assert all(one.code != 0 or "STARTED" not in one.text for one in said), said


@pytest.mark.parametrize("how", ["a folder of the colleague's", "a folder of the victim's"])
def test_the_script_of_a_job_executes_the_victims_code_alone(scene: Scene, how: str) -> None:
    """Between submission and start, a copy of the code is put where earlier versions kept it."""
    (script,), (code,) = (scene.own / "scripts").glob("*.sbatch"), (scene.own / "code").iterdir()
    failed = scene.runs("mini")[1]
    with acting(scene.team.victim):
        launch = (code / "difair_hpc/launch.py").read_text()
    with scene.colleague():
        evil = failed if "victim" in how else scene.root / "evil"
        mark = f"from pathlib import Path\nPath('{scene.loot}/mark').touch()\n"
        (evil / "difair_hpc").mkdir(parents=True)
        plant.put(evil / "difair_hpc/launch.py", mark + launch)
        (scene.root / "code").mkdir()
        evil.rename(scene.root / "code" / code.name)
    assert how.endswith("victim's") == (os.lstat(scene.root / "code" / code.name).st_uid == scene.team.victim.uid)
    said = scene.victim(Command(code="tests.security.commands:shell", words=(str(script),)))
    scene.assert_spared([*said, *scene.difair(("resume", "mini"))])
    assert f"{scene.root / 'code'}/" not in scene.submitted()
    assert f"{scene.own / 'code'}/" in scene.submitted()
