"""What MLflow refuses, and a server that is none: `difair sync`, `status` and `report` say it, and what to type."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.runs.refused import Refusals
from difair_hpc.runs.tracking import default_uri
from tests.cli.made import created, described
from tests.proxy import Reply, running_proxy
from tests.sweep.made import finish


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def done(here: Path) -> str:
    """Return a finished run of a study of one stage."""
    root = here / "outputs"
    signature = created(root).signature
    finish(root, signature)
    trial = {"number": 0, "signature": signature, "parameters": {"benchmark": "digits", "method": "difair", "split": 0}}
    stage = {"name": "final", "search": "final", "planned": 1, "complete": True, "trials": [trial]}
    described(root, "mini", [{**stage, "chosen": [], "reasons": []}])
    return signature


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_status_and_report_name_what_mlflow_has_refused(
    here: Path, capsys: pytest.CaptureFixture[str], done: str
) -> None:
    root = here / "outputs"
    words = f"MLflow lacks model of run {done}: 413 too large; difair sync --retry tries it again"
    assert "MLflow" not in said(capsys, "status")
    refused = Refusals(root, default_uri(root), "mini")
    refused.add(("run", "final", done), "model", "digest", "413 too large")
    Refusals(root, default_uri(root), "train").add(("run", "single", "0123"), "figures", "digest", "no font")
    out = said(capsys, "status")
    assert f"mini: {words}" in out
    assert "train: MLflow lacks figures of run 0123: no font" in out
    assert words in said(capsys, "report", "mini")
    assert words in (root / "studies/mini/report/report.md").read_text()
    assert words in (root / "studies/mini/report/report.html").read_text()
    assert words not in said(capsys, "status", "tracking_uri=http://another")
    assert refused.forget() == {("run", "final", done)}
    assert words not in said(capsys, "status", "mini")


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (
            Reply(status=301, headers={"Location": "https://new.site.org/api/2.0/mlflow/experiments/get-by-name"}),
            ["use tracking_uri=https://new.site.org"],
        ),
        (Reply(status=403, body="<h1>Forbidden by policy</h1>"), ["'Forbidden by policy'", "in front of MLflow"]),
        (Reply(status=200, body="<h1>Sign in</h1>"), ["'Sign in'", "login page"]),
        (Reply(status=429, headers={"Retry-After": "3600"}), ["a pause of 3600 s"]),
    ],
    ids=["moved", "blocked", "login", "busy"],
)
@pytest.mark.usefixtures("done")
def test_sync_shows_what_a_server_that_is_none_says(
    capsys: pytest.CaptureFixture[str], reply: Reply, parts: list[str]
) -> None:
    with running_proxy(rule=lambda _: reply) as proxy:
        assert main(["sync", f"tracking_uri={proxy.uri}"]) == 1
        assert len(proxy.seen) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"difair: the MLflow store {proxy.uri} cannot be used: ")
    for part in parts:
        assert part in err
    for wrong in ("Another account", "internal error", "Traceback"):
        assert wrong not in err
