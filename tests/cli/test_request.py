"""What a study remembers of its command, and the words with which it is repeated."""

import argparse
import json
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main, resume, sweep
from difair_hpc.cli.clusters import Request, request_of
from difair_hpc.cli.drive import Drive
from tests import short


def kept(root: Path, study: str, *words: str) -> Request:
    """Write what a study of an earlier version remembers, and read it."""
    folder = root / "studies" / study
    folder.mkdir(parents=True)
    content = {"name": "one", "words": words, "folder": str(root), "profile": {"name": "local"}}
    (folder / "request.json").write_text(json.dumps(content))
    found = request_of(root, study)
    assert found is not None
    return found


def test_a_study_of_an_earlier_version_goes_on_under_its_name_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "run,2 (old)"
    request = kept(root, "20241128", "study=2024_11_28", "cluster.parallel=2", f"root={root}", f"data_root={root}/d,1")
    asked: list[str] = []

    def run(arguments: argparse.Namespace) -> int:
        asked.extend(arguments.words)
        return 0

    monkeypatch.setattr(sweep, "run", run)
    assert resume.repeat(config.settings_only([config.word("root", root)]), "20241128", attach=False) == 0
    values = config.parse(asked)
    assert values["study"] == "20241128", "the name that 2024_11_28 became then"
    where = config.settings(values)
    assert (where.root, where.data_root) == (root, root / "d,1")
    assert request.words[1] == "cluster.parallel=2"


def test_a_command_that_is_repeated_remembers_each_word_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/one.yaml").write_text(short.search(1))
    monkeypatch.setattr(Drive, "attend", lambda *_: None)
    monkeypatch.setattr(Drive, "verdict", lambda _: 0)
    assert main(["sweep", "one", "root=a,b", "tracking_uri=none", "protocol.epochs=2"]) == 0
    first = request_of(tmp_path / "a,b", "mini")
    assert first is not None
    assert sorted(config.parse(first.words)) == ["data_root", "protocol.epochs", "root", "tracking_uri"]
    (tmp_path / "a,b/studies/mini/study.json").write_text('{"stages": []}')
    for _ in range(2):
        resume.repeat(config.settings_only(["root=a,b"]), "mini", attach=False)
    again = request_of(tmp_path / "a,b", "mini")
    assert again is not None
    assert len(again.words) == len(first.words) + 1, "and the name of the study"
