"""A study over values that are no numbers goes from its file to its report."""

from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.space import foreseen
from tests.sweep.made import finish

pytestmark = pytest.mark.slow

TEXT = """
stages:
  coarse:
    search: grid
    base: {benchmark: digits, protocol: short, protocol.epochs: 2}
    space: {KEY: VALUES}
    choose: {of: KEY, keep: 2}
  fine:
    search: grid
    base: {benchmark: digits, protocol: short, protocol.epochs: 2}
    space:
      KEY: {chosen_in: coarse}
  compared:
    search: grid
    base: {benchmark: digits, protocol: short, protocol.epochs: 2}
    space: {KEY: VALUES}
    choose: null
"""


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("protocol.warmup_epochs", "[null, 0.5]"),
        ("protocol.evaluate_every", "[null, 1, 2]"),
        ("protocol.optimizer", "[sgd, adam]"),
        ("data.verify", "[true, false]"),
        ("method.allow_overlap", "[true, false]"),
        ("protocol.augment_exclude", "[[Rotate], []]"),
    ],
)
def test_from_the_file_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str, values: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    chosen = {"data.verify": "benchmark.verify"}.get(key, key)
    text = TEXT.replace("of: KEY", f"of: {chosen}").replace("KEY: {chosen_in", f"{chosen}: {{chosen_in")
    (tmp_path / "sweeps" / "mine.yaml").write_text(text.replace("KEY", key).replace("VALUES", values))
    study = config.study("mine", {})
    for parameters in foreseen(study.stages[0]):
        spec = config.build_run(study.stages[0].base, parameters)
        folder = run_folder(tmp_path / "outputs", spec.signature)
        if not folder.path.exists():
            folder.create(spec)
            finish(tmp_path / "outputs", spec.signature)
    assert main(["sweep", "mine", "tracking_uri=none"]) == 0
    assert "internal error" not in capsys.readouterr().err
    assert (tmp_path / "outputs/studies/mine/report/report.html").is_file()
    for verb in (["status"], ["why", "1"], ["report", "-f", "json"], ["sync", "tracking_uri=none"]):
        assert main(verb) == 0
