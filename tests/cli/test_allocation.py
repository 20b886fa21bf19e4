"""`difair train` in a shell of a SLURM allocation: it leaves before that ends, and passes over one that has ended."""

import time
from pathlib import Path

import pytest

from difair_hpc.cli import main
from tests.cli.made import TINY_WORDS
from tests.train.tiny import tiny_data

WORDS = (*TINY_WORDS, "benchmark.image_size=8", "tracking_uri=none", "execution.threads=1", "protocol.epochs=2")


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difair_hpc.runs.run.load", lambda _spec, _root: tiny_data())


def test_a_run_leaves_before_the_allocation_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("difair_hpc.cli.train.allocation_end", lambda: time.time() + 4)  # less than its margin
    assert main(["train", *WORDS]) == 130
    words = "stopped by the end of this SLURM allocation; the same command continues at epoch 1"
    assert words in capsys.readouterr().out


def test_an_allocation_that_is_over_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() - 60))
    assert main(["train", *WORDS]) == 0
    assert "2 epochs in " in capsys.readouterr().out
