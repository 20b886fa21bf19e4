"""No password goes where a colleague says: a server that the root names, a database that a request names, a store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc import config
from tests.security import plant
from tests.security.listener import listen
from tests.security.marks import ATTACK
from tests.security.scene import Scene

pytestmark = [*ATTACK]


def _linked(scene: Scene, path: Path, text: str) -> None:
    plant.put(scene.root / "address", text)
    plant.link(path, scene.root / "address")


def _put(scene: Scene, path: Path, text: str) -> None:
    plant.put(path, text)


OWNERS: dict[str, Callable[[Scene, Path, str], None]] = {
    "the colleague's": _put,
    "the victim's by owner": plant.disguise,
    "a link": _linked,
}
VERBS = {
    "reading": (("status",), ("report", "seek", "-f", "json"), ("doctor",)),
    "shipping": (("sync",), ("ui",)),
    "training": (("resume", "BEGUN"),),
    "submitting": (("resume", "mini"),),
}


def _assert_unheard(scene: Scene) -> None:
    assert scene.heard is not None
    assert not scene.heard.exists(), f"the victim called the colleague's server: {scene.heard.read_text()[:600]}"


@pytest.mark.parametrize(
    ("verbs", "owner"),
    [*((verbs, "the colleague's") for verbs in VERBS), ("shipping", "the victim's by owner"), ("shipping", "a link")],
)
def test_the_server_that_a_root_names_is_asked_where_the_victim_has_named_it(
    scene: Scene, verbs: str, owner: str
) -> None:
    port, begun = listen(scene), scene.runs("train")[1].name
    with scene.colleague():
        text = json.dumps({"tracking_uri": f"http://127.0.0.1:{port}"})
        OWNERS[owner](scene, scene.root / "mlflow-server.json", text)
    said = scene.difair(*(tuple(begun if word == "BEGUN" else word for word in verb) for verb in VERBS[verbs]))
    found = scene.harm(said)
    _assert_unheard(scene)
    assert not found, "\n".join(found)
    assert f"127.0.0.1:{port}" not in scene.submitted()
    assert scene.named("mlflow-server.json", said), said


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("storage", "the victim's by owner"),
        ("tracking_uri", "the victim's by owner"),
        ("storage", "the colleague's"),
    ],
)
def test_an_address_in_a_request_of_somebody_else_is_not_asked(scene: Scene, key: str, owner: str) -> None:
    port = listen(scene)
    request = json.loads((scene.root / "studies/mini/request.json").read_text("utf-8"))
    to = f"http://127.0.0.1:{port}" if key == "tracking_uri" else f"postgresql://alice@127.0.0.1:{port}/optuna"
    with scene.colleague():
        text = json.dumps({**request, "words": [*request["words"], config.word(key, to)]})
        OWNERS[owner](scene, scene.root / "studies/mini/request.json", text)
        (scene.root / "studies/mini/tick.wanted").touch()
    said = scene.difair(("status",), ("sync",), ("resume", "mini"))
    found = scene.harm(said)
    _assert_unheard(scene)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("kind", ["http", "mlflow-artifacts"])
def test_artifacts_are_sent_nowhere_that_a_replaced_store_says(scene: Scene, kind: str) -> None:
    port, single = listen(scene), scene.runs("train")[0].name
    place = f"{kind}://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts"
    with scene.colleague():
        plant.in_store(
            scene,
            plant.unshipped(single),
            f"UPDATE experiments SET artifact_location = '{place}'",
            f"UPDATE runs SET artifact_uri = '{place}/' || run_uuid",
        )
    said = scene.difair(("sync",))
    found = scene.harm(said)
    _assert_unheard(scene)
    assert not found, "\n".join(found)
