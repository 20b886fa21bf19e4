"""Damage hits the bytes that were drawn, and says which; a full disk is full."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from difair_hpc.drill.damage import cut, fill, flip
from difair_hpc.drill.servers import mount, unmount

LINES = b'{"a": 1}\n{"b": 22}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(LINES)
    return path


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_tail_is_cut_in_the_middle_of_its_last_line(path: Path, place: float) -> None:
    said = cut(path, place, tail=True)
    left = path.read_bytes()
    assert len(b'{"a": 1}\n') < len(left) < len(LINES)
    assert LINES.startswith(left)
    assert said == f"lines.jsonl cut from 19 to {len(left)} bytes"


def test_a_whole_file_may_be_cut_anywhere(path: Path) -> None:
    cut(path, 0.0, tail=False)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("place", [0.0, 0.123456, 0.5, 0.999])
def test_one_bit_of_the_last_line_is_flipped(path: Path, place: float) -> None:
    flip(path, place, tail=True)
    changed = [(old, new) for old, new in zip(LINES, path.read_bytes(), strict=True) if old != new]
    assert len(changed) == 1
    assert path.read_bytes()[:9] == LINES[:9]
    assert (changed[0][0] ^ changed[0][1]).bit_count() == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    if not mount(folder, 3):
        pytest.skip("no file system may be mounted here")
    yield folder
    unmount(folder)


def test_a_filled_disk_takes_no_byte_more_until_the_file_is_gone(disk: Path) -> None:
    (disk / "before").write_bytes(b"x" * 5000)
    assert fill(disk / "filler") > 2_500_000
    with pytest.raises(OSError, match="No space") as caught:
        (disk / "more").write_bytes(b"x")
    assert caught.value.errno == errno.ENOSPC
    (disk / "filler").unlink()
    (disk / "more").write_bytes(b"x")
