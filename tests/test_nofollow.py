"""What lies below an output root is reached folder by folder: no link that others could have made leads anywhere."""

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from difair_hpc.errors import RootUnusable, Unreadable
from difair_hpc.files import append_line, read_bytes, read_json, read_tail, read_text, write_atomically, write_once
from difair_hpc.folders import (
    entry,
    exists,
    keep_private,
    make_folder,
    make_own_folder,
    names_in,
    remove,
    remove_folder,
    rename,
    usable_folder,
)
from difair_hpc.nofollow import NotAFile, Untrusted, is_own, opened, others_replace, root_at


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that nobody means, with a file and a folder in it."""
    place = tmp_path / "outside"
    (place / "attempts").mkdir(parents=True)
    (place / "attempts/0001.json").write_text("{}")
    (place / "secret").write_text("secret")
    return place


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """An output root in which others can write."""
    root = root_at(tmp_path / "root")
    root.mkdir()
    root.chmod(0o777)
    return root


def state_of(folder: Path) -> dict[Path, tuple[int, float, bytes]]:
    """Return mode, time of change and content of all below a folder."""
    return {
        path: (path.stat().st_mode, path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


WRITES: list[Callable[[Path], object]] = [
    lambda folder: write_atomically(folder / "secret", "new"),
    lambda folder: write_once(folder / "new", "new"),
    lambda folder: append_line(folder / "secret", "new"),
    lambda folder: make_folder(folder / "a/b"),
    lambda folder: make_own_folder(folder / "attempts"),
    lambda folder: usable_folder(folder / "attempts", key="root"),
    lambda folder: remove(folder / "secret"),
    lambda folder: remove_folder(folder / "attempts"),
    lambda folder: rename(folder / "secret", folder / "other"),
]
READS: list[Callable[[Path], object]] = [
    lambda folder: read_text(folder / "secret"),
    lambda folder: read_json(folder / "attempts/0001.json"),
    lambda folder: read_tail(folder / "secret", most=10),
    names_in,
    lambda folder: exists(folder / "secret"),
]


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_nothing_is_written_through_a_folder_that_others_replaced(shared: Path, outside: Path, number: int) -> None:
    (shared / "run").symlink_to(outside)
    before = state_of(outside)
    with pytest.raises((RootUnusable, Untrusted), match=r"symbolic link \(run\) that others could have made"):
        WRITES[number](shared / "run")
    assert state_of(outside) == before


@pytest.mark.parametrize("number", range(len(READS)))
def test_nothing_is_read_through_a_folder_that_others_replaced(shared: Path, outside: Path, number: int) -> None:
    (shared / "run").symlink_to(outside)
    with pytest.raises(Unreadable, match=r"symbolic link \(run\) that others could have made"):
        READS[number](shared / "run")


@pytest.mark.parametrize("act", [WRITES[0], WRITES[2], WRITES[6]])
def test_a_link_in_the_place_of_a_file_leads_nowhere(
    shared: Path, outside: Path, act: Callable[[Path], object]
) -> None:
    (shared / "run").mkdir(mode=0o777)
    (shared / "run").chmod(0o777)
    (shared / "run/secret").symlink_to(outside / "secret")
    assert read_text(shared / "run/secret") == "", "it counts as damaged"
    before = state_of(outside)
    with suppress(RootUnusable):  # what replaces a file replaces the link; what appends to it does not
        act(shared / "run")
        assert not (shared / "run/secret").is_symlink()
    assert state_of(outside) == before


def test_a_second_name_of_somebodys_file_is_not_appended_to(shared: Path, outside: Path) -> None:
    (shared / "spool").hardlink_to(outside / "secret")
    with pytest.raises(RootUnusable, match="hard link"):
        append_line(shared / "spool", "new")
    assert (outside / "secret").read_text() == "secret"


def test_a_users_own_links_are_followed_where_nobody_else_can_write(tmp_path: Path, outside: Path) -> None:
    """Some keep runs/ on another disk."""
    root = root_at(tmp_path / "mine")
    root.mkdir(mode=0o700)
    (root / "runs").symlink_to(outside)
    (root / "up").symlink_to("../outside")
    (root / "one").symlink_to(outside / "secret")
    assert read_text(root / "runs/secret") == read_text(root / "up/secret") == read_text(root / "one") == "secret"
    assert names_in(root / "runs") == ["attempts", "secret"]
    write_atomically(root / "runs/new", "new")
    assert (outside / "new").read_text() == "new"


def test_a_root_is_reached_by_any_links(tmp_path: Path) -> None:
    """Where the root is, its user says, and a group's folder may lie on the way."""
    place = tmp_path / "group"
    place.mkdir()
    place.chmod(0o777)
    (tmp_path / "disk").mkdir()
    (place / "me").symlink_to(tmp_path / "disk")
    with pytest.raises(RootUnusable, match=r"symbolic link \(me\)"):
        write_once(place / "me/spec.json", "{}")
    root = root_at(place / "me")
    assert write_once(root / "spec.json", "{}")
    assert make_folder(root / "runs/a").is_dir()


@pytest.mark.parametrize("name", ["../outside/secret", "runs/../../outside/secret"])
def test_a_path_does_not_lead_out_of_its_root(shared: Path, outside: Path, name: str) -> None:
    assert outside.is_dir()
    (shared / "runs").mkdir()
    with pytest.raises(Untrusted, match="leaves its output root"):
        read_bytes(shared / name)


def test_links_that_lead_to_themselves_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NotAFile):
        read_bytes(tmp_path / "a")
    with pytest.raises(Unreadable):
        names_in(tmp_path / "a/c")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("put", [_pipe, _socket, Path.mkdir])
def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path, put: Callable[[Path], None]) -> None:
    path = tmp_path / "spec.json"
    put(path)
    assert read_json(path) is None
    assert read_tail(path, most=10) == ""
    with pytest.raises(RootUnusable, match="it is a "):
        append_line(path, "x")


def test_a_file_that_is_larger_than_any_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(Unreadable, match=r"result\.json cannot be read: its 8589934592 bytes are more than any"):
        read_json(tmp_path / "result.json")
    assert read_tail(tmp_path / "result.json", most=3) == "\0\0\0"


def test_a_file_is_cut_only_once_it_is_known_to_be_one(shared: Path, outside: Path) -> None:
    (shared / ".mlflow.lock").symlink_to(outside / "secret")
    with pytest.raises(NotAFile):
        opened(shared / ".mlflow.lock", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    assert (outside / "secret").read_text() == "secret"


def test_who_could_have_written(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("")
    path.chmod(0o644)
    assert is_own(path)
    assert others_replace(path) is None
    path.chmod(0o666)
    assert not is_own(path)
    assert others_replace(path) == path
    path.chmod(0o644)
    tmp_path.chmod(0o777)
    assert others_replace(path) == tmp_path
    tmp_path.chmod(0o1777)
    assert others_replace(path) is None, "in a folder with the sticky bit, only the owner replaces a file"
    assert not is_own(tmp_path / "absent")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o2777])
def test_a_root_that_everybody_writes_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(RootUnusable, match=rf"writable for everybody \(mode {mode:o}\).*chmod o-w"):
        keep_private(tmp_path)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2770, 0o2775])
def test_others_never_get_the_right_to_write(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    keep_private(tmp_path)
    made = make_folder(root_at(tmp_path) / "runs/a")
    found = entry(made)
    assert found is not None
    assert stat.S_IMODE(found.st_mode) & 0o777 == mode & 0o777
    assert not found.st_mode & stat.S_IWOTH
