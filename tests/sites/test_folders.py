"""A study in a folder whose name has every sign: driven, gone on with, shown, shipped and reported."""

import shlex
import shutil
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.runs.tracking import default_uri, pages
from tests.marks import USES_MLFLOW
from tests.sites.site import Site, read

pytestmark = [
    *USES_MLFLOW,
]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose environment names a root, beside the folder of its files, with signs of its own."""
    content = read("odd-folder-local")
    return Site(tmp_path, {**content, "environment": {"DIFAIR_ROOT": "FOLDER/o?%3F=,[1]"}})


@pytest.mark.slow
def test_every_command_finds_the_study_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = site.folder / "o?%3F=,[1]"
    said = site.typed("sweep", "one", "cluster=here")
    assert site.code == 0, said
    (run,) = (root / "runs").iterdir()
    assert (root / "mlflow.db").is_file(), "beside the runs, not where the address of the file would be cut"
    assert list((root / "jobs").glob("*_0_log.err")), "logs are where difair logs looks"
    assert list((root / "mlartifacts").rglob("report.html"))
    assert not [path for path in site.folder.parent.iterdir() if path != site.folder], "nothing lies beside it"
    by_hand = site.typed("why", "1").partition("by hand: difair ")[2].splitlines()
    words = shlex.split("\n".join(by_hand))
    shutil.rmtree(run)
    del site.environment["DIFAIR_ROOT"]
    there = f"root={root}"
    said = site.typed("resume", "mini", there)
    assert site.code == 0, said
    assert (run / "result.json").is_file(), "what the study remembers of its command is read as it was meant"
    assert "1 done" in site.typed("status", there)
    assert "report.html" in site.typed("report", there)
    assert "1 run is up to date in MLflow" in site.typed("sync", there)
    monkeypatch.chdir(site.folder)
    assert main([*words, "-n"]) == 0
    assert f"signature: {run.name}" in capsys.readouterr().out, "what why prints can be typed"
    assert list(pages(default_uri(root))) == ["mini"]
    served: list[str] = []
    monkeypatch.setattr("difair_hpc.cli.ui.serve", lambda uri, *_, **__: served.append(uri))
    assert main(["ui", there]) == 0
    assert served == [default_uri(root)]
