"""Half a file cannot exist, and what a dead writer left behind does no harm."""

import errno
from pathlib import Path

import pytest

from difair_hpc.errors import DiskFull, RootUnusable
from difair_hpc.files import append_line, read_json, usable_folder, write_atomically, write_once


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_atomically(tmp_path / "table1.md", "old")
    monkeypatch.setattr("difair_hpc.files.os.fsync", _full)
    with pytest.raises(DiskFull, match="free some"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_first_writer_of_a_file_that_is_written_once_wins(tmp_path: Path) -> None:
    assert write_once(tmp_path / "result.json", "first")
    assert not write_once(tmp_path / "result.json", "second")
    assert (tmp_path / "result.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_line_after_a_torn_one_stays_whole(tmp_path: Path) -> None:
    spool = tmp_path / "metrics.jsonl"
    append_line(spool, "one")
    with spool.open("ab") as file:
        file.write(b'{"torn')
    append_line(spool, "two")
    assert spool.read_text().splitlines() == ["one", '{"torn', "two"]


@pytest.mark.parametrize("content", ["", '{"half": ', "\x00\x01"])
def test_a_torn_json_file_counts_as_absent(tmp_path: Path, content: str) -> None:
    (tmp_path / "end.json").write_text(content)
    assert read_json(tmp_path / "end.json") is None
    assert read_json(tmp_path / "absent.json") is None


def test_a_folder_that_cannot_be_made_names_key_and_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RootUnusable, match=r"root=.*file.*root=FOLDER"):
        usable_folder(tmp_path / "file" / "outputs", key="root")


def test_a_usable_folder_is_left_as_it_was(tmp_path: Path) -> None:
    assert list(usable_folder(tmp_path / "a" / "b", key="root").iterdir()) == []
