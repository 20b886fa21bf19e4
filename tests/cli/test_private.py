"""Whose eyes may see an output root: the user's alone, unless the root's mode says otherwise."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from tests.cli.made import TINY_WORDS
from tests.train.tiny import tiny_data


@pytest.mark.parametrize(("mode", "others"), [(None, 0o077), (0o770, 0o007)])
def test_a_run_is_as_private_as_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, others: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difair_hpc.runs.run.load", lambda _spec, _root: tiny_data())
    root = tmp_path / "outputs"
    if mode is not None:
        root.mkdir()
        root.chmod(mode)
    words = [*TINY_WORDS, "protocol.epochs=1", "benchmark.image_size=8", "tracking_uri=none", "execution.threads=1"]
    assert main(["train", *words]) == 0
    (run,) = (root / "runs").iterdir()
    assert run.stat().st_mode & 0o777 == (mode or 0o700)
    open_ = [path for path in [root, *root.rglob("*")] if path.stat().st_mode & others]
    assert not open_, "nobody else may read, write or enter"
