"""An output root that was copied or moved: commands work on it where it is, and touch nothing of the original."""

import dataclasses
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.cli.clusters import request_of
from difair_hpc.cli.resume import _as_arguments
from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from tests.cli.made import command, typed
from tests.cli.test_sweep_ends import FINAL
from tests.marks import USES_MLFLOW
from tests.mlflow_server import free_port
from tests.runs.shown import put_points
from tests.sweep.made import finish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("mlflow"),
    *USES_MLFLOW,
]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the output root of a study that is over and was shipped."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "two.yaml").write_text(FINAL)
    root = tmp_path / "outputs"
    base = {"benchmark": "digits", "protocol": "short", "protocol.epochs": 2}
    for method in ("cross_entropy", "cac"):
        spec = build_run(base, {"method": method})
        run_folder(root, spec.signature).create(spec)
        put_points(run_folder(root, spec.signature), [1, 2])
        finish(root, spec.signature, diverged=True)  # which has no model to ship
    assert main(["sweep", "two"]) == 0
    return root


def tree(folder: Path) -> Mapping[Path, tuple[int, bytes]]:
    """Return every file and folder below one, with the moment of its last change and its content."""
    return {
        path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }


def artifacts(root: Path) -> set[str]:
    """Return where the root's store says that its artifacts are."""
    with sqlite3.connect(root / "mlflow.db") as database:
        rows = database.execute("SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs")
        return {place for (place,) in rows if "mlartifacts" in place}


@pytest.mark.parametrize("how", ["copied", "moved", "rebuilt"])
def test_a_root_works_where_it_is_and_leaves_the_original_alone(root: Path, tmp_path: Path, how: str) -> None:
    other = tmp_path / "elsewhere" / "B ü"
    if how == "moved":
        other.parent.mkdir()
        root.rename(other)
    else:
        shutil.copytree(root, other)
    if how == "rebuilt":
        (other / "mlflow.db").unlink()
    before = tree(root) if root.exists() else {}
    where = f'root="{other}"'
    for verb in ("status", "report", "resume"):
        assert command(verb, where, cwd=tmp_path).returncode == 0
    # MLflow remembers in its process where the artifacts of a run are, so each of these has its own.
    first, second = typed("sync", where, cwd=tmp_path), command("sync", where, cwd=tmp_path)
    assert first.returncode == second.returncode == 0
    assert (tree(root) if root.exists() else {}) == before
    assert root.exists() == (how != "moved")
    assert artifacts(other)
    assert all(place.startswith((other / "mlartifacts").as_uri()) for place in artifacts(other))
    assert list((other / "mlartifacts" / "two").rglob("report.md"))
    assert first.stderr.count(f"was made in {root}: its artifacts are looked for here now") == (how != "rebuilt")


def test_a_root_by_another_name_is_the_same_root(root: Path, tmp_path: Path) -> None:
    before = artifacts(root)
    (tmp_path / "link").symlink_to(root)
    assert main(["sync", f"root={tmp_path / 'link'}"]) == 0
    assert artifacts(root) == before


def test_what_a_request_had_below_its_root_is_looked_for_below_the_copy(root: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(root, tmp_path / "B"))
    asked = request_of(other, "two")
    assert asked is not None
    asked = dataclasses.replace(asked, words=(*asked.words, f'tracking_uri="sqlite:///{root}/mlflow.db"'))
    words = _as_arguments(asked, config.settings_only([f"root={other}"]), "two", detached=False).words
    said = config.parse(words)
    assert said["tracking_uri"] == f"sqlite:///{other}/mlflow.db"
    assert said["root"] == str(other)


def test_ui_says_that_it_writes_and_into_the_copy_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(root, tmp_path / "B"))
    before = tree(root)
    served: list[str] = []
    monkeypatch.setattr("difair_hpc.cli.ui.serve", lambda uri, *_, **__: served.append(uri))
    capsys.readouterr()
    assert main(["ui", f"root={other}", "--port", str(free_port())]) == 0
    assert f"{other}/mlflow.db is brought up to date with {other}/runs first" in capsys.readouterr().out
    assert served == [f"sqlite:///{other}/mlflow.db"]
    assert tree(root) == before
    assert all(place.startswith((other / "mlartifacts").as_uri()) for place in artifacts(other))
