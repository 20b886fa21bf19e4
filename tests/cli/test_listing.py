"""`difair sweep` alone lists the studies that may be typed."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from tests.test_config import own_files

SHIPPED = ["ablation_batch_norm", "digits", "drill", "paper", "tpe"]


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert main(["sweep"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("difair sweep NAME -n")
    return {line.split()[0]: line.partition(" ")[2].strip() for line in lines}


def test_every_shipped_study_is_listed_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = listed(capsys)
    assert set(SHIPPED) <= set(found)
    assert "config" not in found, "it is the composition of a single run"
    assert found["digits"].startswith("The paper's study in small")
    assert all(found.values())
    assert list(tmp_path.iterdir()) == []


def test_ones_own_come_with_their_file_and_other_tools_files_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = own_files(tmp_path, monkeypatch)
    own("sweeps/mine.yaml", "# Alphas [of CAC].\nstages: {a: {search: grid}}\n")
    own("sweeps/plain.yaml", "stages: {a: {search: grid}}\n")
    own("sweeps/digits.yaml", "# My digits.\nstages: {a: {search: grid}}\n")
    own("sweeps/torn.yaml", "stages: [1,\n")
    own("sweeps/wandb.yaml", "program: train.py\nmethod: bayes\n")
    own("sweeps/config.yaml", "- of another tool\n")
    found = listed(capsys)
    assert found["mine"] == f"Alphas [of CAC].  [{tmp_path}/sweeps/mine.yaml]"
    assert found["plain"] == f"[{tmp_path}/sweeps/plain.yaml]"
    assert found["digits"].startswith("My digits.")
    assert "cannot be read" in found["torn"]
    assert "wandb" not in found
    assert "paper" in found
