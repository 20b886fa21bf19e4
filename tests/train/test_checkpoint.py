"""A checkpoint is whole or passed over, and no damage costs more than the newest."""

import errno
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from difair_hpc.errors import DiskFull
from difair_hpc.train import checkpoint


def put(folder: Path, epoch: int, *, attempt: int = 1, step: int = 0) -> Path:
    return checkpoint.save(folder, {"epoch": epoch}, attempt=attempt, epoch=epoch, step=step)


def names(folder: Path) -> list[str]:
    return [path.name for path in checkpoint.newest_first(folder)]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    payload = {
        "weights": {"a": torch.tensor([0.1, float("nan")]), "b": torch.tensor(3, dtype=torch.int64)},
        "sum": torch.tensor(1 / 3, dtype=torch.float64),
        "history": [{"epoch": 1, "time": 0.25, "metrics": {"train_loss": 0.1}}],
        "evaluation": None,
    }
    path = checkpoint.save(tmp_path, payload, attempt=3, epoch=12, step=4)
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.path, loaded.skipped) == (path, ())
    assert path.name == "checkpoint-0003-000012-000004.pt"
    assert loaded.payload["weights"]["a"].view(torch.int32).equal(payload["weights"]["a"].view(torch.int32))  # type: ignore[index]
    assert loaded.payload["weights"]["b"].equal(torch.tensor(3))
    assert loaded.payload["sum"].item() == 1 / 3
    assert loaded.payload["history"] == payload["history"]
    assert loaded.payload["evaluation"] is None


def test_the_newest_is_that_of_the_highest_attempt_then_epoch_then_step(tmp_path: Path) -> None:
    order = [(1, 9, 0), (2, 3, 5), (2, 3, 12), (2, 4, 0), (10, 1, 0), (10000, 0, 0)]
    for attempt, epoch, step in reversed(order):
        (tmp_path / f"checkpoint-{attempt:04d}-{epoch:06d}-{step:06d}.pt").touch()
    (tmp_path / "checkpoint-best.pt").touch()
    found = [tuple(int(part) for part in name[11:-3].split("-")) for name in names(tmp_path)]
    assert found == order[::-1]


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        put(tmp_path, epoch)
    assert names(tmp_path) == ["checkpoint-0001-000003-000000.pt", "checkpoint-0001-000002-000000.pt"]
    put(tmp_path, 2, attempt=2)
    assert names(tmp_path) == ["checkpoint-0002-000002-000000.pt", "checkpoint-0001-000003-000000.pt"]


def test_what_a_superseded_attempt_saves_is_not_the_newest(tmp_path: Path) -> None:
    put(tmp_path, 5, attempt=2)
    put(tmp_path, 6, attempt=2)
    put(tmp_path, 99, attempt=1)
    assert names(tmp_path) == ["checkpoint-0002-000006-000000.pt", "checkpoint-0002-000005-000000.pt"]


def test_half_a_file_of_a_killed_attempt_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-0001-000001-000000.pt.abc.tmp").write_bytes(b"half")
    put(tmp_path, 2, attempt=2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0002-000002-000000.pt"]


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _foreign(_: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"epoch": 7}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", [_cut, _flip, lambda _: b"", _foreign, lambda content: content + b"more"])
def test_a_damaged_newest_is_passed_over_with_a_sentence(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    put(tmp_path, 1)
    newest = put(tmp_path, 2)
    newest.write_bytes(damage(newest.read_bytes()))
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert loaded.payload == {"epoch": 1}
    (sentence,) = loaded.skipped
    assert sentence.startswith("checkpoint-0001-000002-000000.pt was passed over: its")


def test_nothing_to_load(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path) is None
    for epoch in (1, 2):
        put(tmp_path, epoch).write_bytes(b"")
    assert checkpoint.load_newest(tmp_path) is None


class _Trap:
    """Makes a file when it is unpickled as pickles usually are."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.target,)


def test_a_checkpoint_that_holds_code_is_passed_over_and_not_run(tmp_path: Path) -> None:
    put(tmp_path, 1)
    trap = checkpoint.save(tmp_path, {"x": _Trap(tmp_path / "sprung")}, attempt=1, epoch=2, step=0)
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert loaded.payload == {"epoch": 1}
    assert trap.name in loaded.skipped[0]
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_leaves_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put(tmp_path, 1)
    put(tmp_path, 2)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("difair_hpc.files.os.fsync", full)
    with pytest.raises(DiskFull, match="free some"):
        put(tmp_path, 3)
    assert sorted(tmp_path.iterdir()) == before
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert loaded.payload == {"epoch": 2}
