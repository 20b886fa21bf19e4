"""How `difair sweep` ends when there is nothing left to execute: with the report, and a word on what is missing."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from tests.sweep.made import fail, finish

FINAL = """
stages:
  final:
    search: final
    base: {protocol: short, protocol.epochs: 2}
    benchmarks: [digits]
    methods: [cross_entropy, cac]
    splits: [0]
"""


def test_runs_that_were_given_up_are_named_and_end_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "two.yaml").write_text(FINAL)
    base = {"benchmark": "digits", "protocol": "short", "protocol.epochs": 2}
    specs = [build_run(base, {"method": method}) for method in ("cross_entropy", "cac")]
    for spec in specs:
        run_folder(tmp_path / "outputs", spec.signature).create(spec)
    finish(tmp_path / "outputs", specs[0].signature)
    for _ in range(3):
        fail(tmp_path / "outputs", specs[1].signature)
    assert main(["sweep", "two", "tracking_uri=none"]) == 1
    printed = capsys.readouterr().out
    assert "Table 2: closed-set accuracy (%)" in printed
    assert f"{specs[1].signature}  digits cac split=0 seed=0  failed at epoch 0: ValueError: made up" in printed
    assert "1 run failed for good, missing in the tables; difair status says why" in printed

    finish(tmp_path / "outputs", specs[1].signature)
    assert main(["sweep", "two", "tracking_uri=none"]) == 0
