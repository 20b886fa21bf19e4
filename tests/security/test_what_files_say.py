"""What a colleague wrote in the right place: it moves no job, opens no other file and ends no command."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from difair_hpc.cli import main
from difair_hpc.cli.gather import _tasks
from difair_hpc.cli.logs import log_part
from difair_hpc.cli.resume import _stranger
from difair_hpc.folders import own_place
from difair_hpc.nofollow import NotAFile, opened
from difair_hpc.report.html import _moment
from difair_hpc.runs.attempts import newest, view
from difair_hpc.runs.sqlite import own_store, sqlite_uri
from difair_hpc.runs.store import _lock_of
from difair_hpc.sweep.ledger import Ledger
from difair_hpc.sweep.sbatch import only_own
from difair_hpc.sweep.waves import Waves
from tests.cli.made import half_finished

LATE = 9e14
"""Seconds since 1970: a moment that nobody lives to see."""


def write(path: Path, content: Any, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("mode", "known"), [(0o644, True), (0o664, False), (0o666, False)])
@pytest.mark.parametrize("name", ["0001.json", "0001.answer.json", "0001.ends.json"])
def test_jobs_are_named_by_files_of_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: int, known: bool
) -> None:
    """By these numbers jobs are cancelled, held and released."""
    monkeypatch.setattr("difair_hpc.nofollow._is_own_group", lambda _: False)
    files = {
        "0001.json": {"jobs": [["a"]], "begun": [0], "time": 1.7e9},
        "0001.answer.json": {"id": "31337", "time": LATE},
        "0001.ends.json": {"0": {"id": "31337_0", "state": "COMPLETED"}},
    }
    for other, content in files.items():
        write(tmp_path / other, content, mode if other == name else 0o644)
    waves = Waves(tmp_path).read()
    assert bool(waves) == (known or name != "0001.json")
    for wave in waves:
        assert (wave.id == "31337") == (known or name != "0001.answer.json")
        assert bool(wave.ends) == (known or name != "0001.ends.json")


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o2770, 0o660, 0o757])
def test_a_job_ends_where_others_may_write_what_it_executes(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "my code"
    path.mkdir()
    path.chmod(mode)
    done = subprocess.run(["bash", "-c", f"{only_own(path)}\necho work"], capture_output=True, text=True, check=False)
    assert done.stdout == ("" if mode & 0o022 else "work\n")


def test_what_goes_by_a_name_leaves_a_root_that_others_could_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root is closed, and lies where others may rename it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "team/mine"
    root.mkdir(parents=True)
    root.chmod(0o700)
    assert own_place(root) == root
    root.parent.chmod(0o777)
    assert own_place(root).is_relative_to(tmp_path / "state")
    assert own_store(root).parent == own_place(root)
    assert _lock_of(sqlite_uri(own_store(root)), root).parent == own_place(root), "no colleague can hold it"


@pytest.mark.parametrize("name", [".", "sweeps", "slurm", "slurm/v100.yaml", "sweeps/method/x.yaml"])
def test_a_request_is_not_repeated_where_others_write_what_it_reads(tmp_path: Path, name: str) -> None:
    for place in ("slurm/v100.yaml", "sweeps/method/x.yaml"):
        write(tmp_path / place, {})
    assert _stranger(tmp_path) == ""
    (tmp_path / name).chmod(0o777)
    assert "others can write" in _stranger(tmp_path)


@pytest.mark.parametrize("book", ["/home/me/x", "../x", "a/b", "a\0b", ".hidden", ""])
def test_a_book_is_the_name_of_a_file_in_the_folder_of_its_study(tmp_path: Path, book: str) -> None:
    stage = {"name": "coarse", "trials": [], "book": "coarse-1f"}
    write(tmp_path / "study.json", {"stages": [stage]})
    assert Ledger(tmp_path).description() is not None
    write(tmp_path / "study.json", {"stages": [{**stage, "book": book}]})
    assert Ledger(tmp_path).description() is None


def _nested(levels: int) -> Any:
    return {"a": _nested(levels - 1)} if levels else 1


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], [{}], _nested(300)])
def test_a_parameter_is_a_single_value_or_a_list_of_such(tmp_path: Path, value: Any) -> None:
    trial = {"number": 0, "signature": "abc", "parameters": {"method.alpha": value}}
    write(tmp_path / "study.json", {"stages": [{"name": "coarse", "trials": [trial]}]})
    (tmp_path / "coarse.jsonl").write_text(json.dumps(trial) + "\n")
    assert Ledger(tmp_path).description() is None
    assert Ledger(tmp_path).trials("coarse") == []


def test_a_task_has_a_benchmark_and_a_split() -> None:
    trial = {"signature": "abc", "parameters": {"benchmark": ["x"], "split": {"a": 1}}}
    assert _tasks([trial]) == [("abc", None, 0)]


def test_an_attempt_of_a_time_to_come_was_never_heard(tmp_path: Path) -> None:
    write(tmp_path / "attempts/0002.json", {"host": "n1", "machine": "another", "pid": 1, "started": LATE})
    assert not view(tmp_path, 2).alive
    write(tmp_path / "attempts/0003.json", {"host": "n1", "machine": "another", "pid": 1, "started": time.time() + 60})
    assert view(tmp_path, 3).alive, "clocks differ"
    write(tmp_path / f"attempts/{'9' * 250}.json", {})
    found = newest(tmp_path)
    assert found is not None
    assert found.number == 3


def test_odd_numbers_and_names_end_nothing(tmp_path: Path) -> None:
    assert _moment(LATE) == "an unknown day"
    with pytest.raises(NotAFile, match="zero byte"):
        opened(tmp_path / "a\0b", os.O_RDONLY)
    write(tmp_path / "runs/a/attempts/0001.json", {"place": {"log": "a\0b", "job": "x\0"}})
    assert log_part(tmp_path, [view(tmp_path / "runs/a", 1)], 0, ".err")[1] == ""


@pytest.mark.parametrize("axes", [[{}], [{"key": "a", "foo": 1}], [{"key": 1}], [{"key": "a", "low": "x", "high": 2}]])
def test_a_search_that_nobody_can_rebuild_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], axes: list[Mapping[str, Any]]
) -> None:
    monkeypatch.chdir(tmp_path)
    half_finished(tmp_path / "outputs")
    path = tmp_path / "outputs/studies/mini/study.json"
    content = json.loads(path.read_text())
    content["stages"][0] |= {"book": "coarse-1", "axes": axes, "objectives": ["auroc"], "sampler": "tpe"}
    path.write_text(json.dumps(content))
    main(["sync", "tracking_uri=none"])
    said = capsys.readouterr()
    assert "internal error" not in said.err
    assert "left out: Optuna's side of study mini" in said.out + said.err
