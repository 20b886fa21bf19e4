"""A checkpoint is whole or passed over, and no damage costs more than the newest."""

import errno
import functools
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from difair_hpc.errors import DiskFull, Failure
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


def test_a_damaged_one_does_not_count_among_them(tmp_path: Path) -> None:
    for epoch in (1, 2):
        put(tmp_path, epoch)
    damaged = tmp_path / names(tmp_path)[0]
    damaged.write_bytes(_flip(damaged.read_bytes()))
    newest = put(tmp_path, 3)
    assert [name.split("-")[2] for name in names(tmp_path)] == ["000003", "000002", "000001"]
    newest.write_bytes(_cut(newest.read_bytes()))
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert loaded.payload == {"epoch": 1}, "two may be damaged one after the other"
    put(tmp_path, 4, attempt=2)
    put(tmp_path, 5, attempt=2)
    assert [name.split("-")[2] for name in names(tmp_path)] == ["000005", "000004"]


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


def test_a_copy_keeps_the_moment_whatever_training_does_next() -> None:
    weights, rate = torch.arange(6.0).reshape(2, 3).t(), torch.tensor(0.5)
    state = {"weights": weights, "groups": [{"lr": rate, "params": [0]}], "epoch": 3, "evaluation": None}
    complete = checkpoint.copied(state, torch.device("cpu"))
    weights.mul_(-1)
    rate.zero_()
    state["epoch"] = 4
    copy = complete()
    assert copy["weights"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert copy["weights"].stride() == weights.stride(), "else a resumed run would compute in another order"
    assert {**copy, "weights": None} == {
        "weights": None,
        "groups": [{"lr": torch.tensor(0.5), "params": [0]}],
        "epoch": 3,
        "evaluation": None,
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_copy_from_a_gpu_is_of_the_step_at_which_it_was_begun() -> None:
    weights = torch.zeros(1 << 24, device="cuda")
    complete = checkpoint.copied({"weights": weights}, weights.device)
    for _ in range(100):
        weights.add_(1)
    copy = complete()["weights"]
    assert copy.is_pinned()
    assert not copy.any()


def test_a_writer_finishes_its_saves_in_order_and_leaves_no_thread() -> None:
    done: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    with checkpoint.Writer() as writer:
        for number in range(3):
            writer.begin(functools.partial(slowly, number))
            assert done == list(range(number)), "the one before is done, this one is not"
        writer.wait()
        assert done == [0, 1, 2]
        writer.begin(functools.partial(slowly, 3))
    assert done == [0, 1, 2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("checkpoint")]


def _fail() -> None:
    raise DiskFull("no space")


def _nothing(_: checkpoint.Writer) -> None:
    pass


def _look_until_it_failed(writer: checkpoint.Writer) -> None:
    for _ in range(100):
        writer.check()
        time.sleep(0.05)


@pytest.mark.parametrize(
    "then",
    [
        _nothing,
        lambda writer: writer.wait(),
        lambda writer: writer.begin(lambda: None),
        _look_until_it_failed,
    ],
    ids=["end", "wait", "begin", "check"],
)
def test_an_error_of_a_save_ends_the_block_of_its_writer(then: Callable[[checkpoint.Writer], object]) -> None:
    left = False

    def block() -> None:
        nonlocal left
        with checkpoint.Writer() as writer:
            writer.begin(_fail)
            then(writer)
            left = True

    with pytest.raises(DiskFull, match="no space") as caught:
        block()
    assert left == (then is _nothing)
    assert not hasattr(caught.value, "__notes__")


def test_what_is_refused_right_before_it_counts_leaves_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"], "all is written but the name"
        raise PermissionError

    with pytest.raises(Failure):
        checkpoint.save(tmp_path, {"epoch": 1}, attempt=1, epoch=1, step=0, check=refuse)
    assert list(tmp_path.iterdir()) == []


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


def test_a_checkpoint_that_is_whole_is_never_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, {"a": 1}, attempt=1, epoch=1, step=0)
    for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, "1")  # torch refuses to load anything in their company
    loaded = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.payload["a"], loaded.skipped) == (1, ())

    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("torch.load", exhausted)
    with pytest.raises(Failure, match=r"checkpoint-0001-000001-000000\.pt is whole, but torch cannot load it here"):
        checkpoint.load_newest(tmp_path)
