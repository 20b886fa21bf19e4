"""Half a file cannot exist, and what a dead writer left behind does no harm."""

import errno
import re
from pathlib import Path

import pytest

from difair_hpc.errors import DiskFull, RootUnusable
from difair_hpc.files import Form, append_line, fits, read_json, write_atomically, write_once
from difair_hpc.folders import keep_private, usable_folder


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_atomically(tmp_path / "table1.md", "old")
    monkeypatch.setattr("difair_hpc.disk.os.fsync", _full)
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


def test_what_is_no_file_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert [read_json(tmp_path / f"{name}.json") for name in ("loop", "folder", "deep")] == [None, None, None]


@pytest.mark.parametrize(
    ("value", "form", "fit"),
    [
        (3, int, True),
        (True, int, False),
        (3, float, True),
        (3.5, int, False),
        (float("nan"), float, False),
        (1e300, float, False),
        (10**400, int, False),
        (None, (float, None), True),
        (["a", 1], [str], False),
        ({"a": 1, "more": 2}, {"a": int, "b?": str}, True),
        ({"a": 1, "b": 2}, {"a": int, "b?": str}, False),
        ({}, {"a": (int, None)}, False),
        ("held", re.compile("|held"), True),
        ("helder", re.compile("|held"), False),
        ({"x": 1}, object, True),
    ],
)
def test_plain_data_has_a_form(value: object, form: Form, fit: bool) -> None:
    assert fits(value, form) is fit


@pytest.mark.parametrize(("mode", "below"), [(None, 0o700), (0o2770, 0o770), (0o755, 0o755)])
def test_what_is_made_is_as_private_as_the_output_root(tmp_path: Path, mode: int | None, below: int) -> None:
    root = tmp_path / "outputs"
    if mode is not None:
        root.mkdir()
        root.chmod(mode)
    keep_private(root)
    run = usable_folder(root / "runs" / "abc", key="root")
    written = write_atomically(run / "spec.json", "{}")
    assert {path.stat().st_mode & 0o777 for path in (root, root / "runs", run)} == {below}
    assert written.stat().st_mode & 0o777 == below & 0o666
