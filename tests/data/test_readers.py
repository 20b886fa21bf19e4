"""Files that are not what they should be: each ends in one message that names the file, and none runs code."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR100

from difair_hpc.data import tinyimagenet
from difair_hpc.data.published import md5_of
from difair_hpc.data.readers import open_source
from difair_hpc.data.sets import ImageSet
from difair_hpc.errors import DataDamaged, DataMissing
from tests.data import fakes

TEN = tuple(range(10))


def read_waived(name: str, root: Path) -> ImageSet:
    return open_source(name, root, verify=False).read("train", tuple(range(100)))


def test_a_missing_file_is_named_with_its_place_and_the_command(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [1])
    (tmp_path / "MNIST/raw/train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataMissing) as caught:
        open_source("mnist", tmp_path, verify=False)
    assert "missing MNIST/raw/train-labels-idx1-ubyte." in str(caught.value)
    assert "difair data get mnist" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "write", "file"),
    [
        ("mnist", fakes.write_mnist, "MNIST/raw/train-images-idx3-ubyte"),
        ("svhn", fakes.write_svhn, "svhn/train_32x32.mat"),
        ("cifar10", fakes.write_cifar10, "cifar-10-batches-py/data_batch_1"),
        ("cifar100", fakes.write_cifar100, "cifar-100-python/train"),
    ],
)
def test_files_that_are_not_as_published_need_the_waiver(
    tmp_path: Path, name: str, write: Callable[[Path, list[int]], None], file: str
) -> None:
    write(tmp_path, [1, 2, 3])
    with pytest.raises(DataDamaged) as caught:
        open_source(name, tmp_path)
    assert f"{file} has the MD5" in str(caught.value)
    assert "data.verify=false" in str(caught.value)
    assert "data.verify=false" in str(caught.value)
    source = open_source(name, tmp_path, verify=False)
    assert file in source.differences["train"][0]
    assert source.read("test", TEN).labels_B.tolist() == [1, 2, 3]
    assert source.read("test", (2,)).images_BCHW[:, 0, 0, 0].tolist() == [1]


def test_files_without_permission_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.write_mnist(tmp_path, [1])
    monkeypatch.setattr(Path, "open", _denied)
    with pytest.raises(DataDamaged, match=r"train-images-idx3-ubyte cannot be read \(Permission denied\)"):
        open_source("mnist", tmp_path)
    monkeypatch.setattr(Path, "exists", _denied)
    for name in ("mnist", "tinyimagenet"):
        with pytest.raises(DataMissing, match=r"cannot be looked up \(Permission denied\)"):
            open_source(name, tmp_path)


def _denied(*_: object) -> None:
    raise PermissionError("Permission denied")


def test_svhns_label_10_is_the_digit_0(tmp_path: Path) -> None:
    fakes.write_svhn(tmp_path, [10, 1, 9])
    images = read_waived("svhn", tmp_path)
    assert images.labels_B.tolist() == [0, 1, 9]
    assert set(images.images_BCHW[2].flatten().tolist()) == {2}


@pytest.mark.parametrize("label", [0, 11])
def test_a_mat_file_with_labels_out_of_range_is_damaged(tmp_path: Path, label: int) -> None:
    fakes.write_svhn(tmp_path, [10, label])
    with pytest.raises(DataDamaged, match=r"train_32x32\.mat does not hold what it should: labels .* expected 0 to 9"):
        read_waived("svhn", tmp_path)


def test_a_mat_file_without_images_or_cut_short_is_damaged(tmp_path: Path) -> None:
    fakes.write_svhn(tmp_path, [1, 2])
    path = tmp_path / "svhn/train_32x32.mat"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:40], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(DataDamaged, match=r"train_32x32\.mat cannot be read"):
            read_waived("svhn", tmp_path)
    savemat(path, {"y": np.array([1])})
    with pytest.raises(DataDamaged, match=r"train_32x32\.mat cannot be read \(KeyError: 'X'\)"):
        read_waived("svhn", tmp_path)


def test_a_truncated_idx_file_is_damaged(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [1, 2, 3])
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    whole = path.read_bytes()
    for length in (len(whole) - 100, 16, 3, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(DataDamaged, match="train-images-idx3-ubyte cannot be read"):
            read_waived("mnist", tmp_path)


def test_images_and_labels_that_do_not_match_are_damaged(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [1, 2, 3])
    fakes.write_idx(tmp_path / "MNIST/raw/train-labels-idx1-ubyte", np.array([1, 2]))
    with pytest.raises(DataDamaged, match="3 images but labels of shape"):
        read_waived("mnist", tmp_path)
    fakes.write_idx(tmp_path / "MNIST/raw/train-images-idx3-ubyte", np.zeros((2, 28, 27)))
    with pytest.raises(DataDamaged, match=r"shape \(1, 28, 27\), expected uint8 and \(1, 28, 28\)"):
        read_waived("mnist", tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"labels": [1]}, "KeyError: 'data'"),
        ({"data": np.zeros((1, 3000), np.uint8), "labels": [1]}, "cannot reshape"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "2 images but labels of shape"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "expected 0 to 9"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "expected 0 to 9"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "labels of type <U3, expected whole numbers"),
        ({"data": np.zeros((1, 3072), np.float64), "labels": [1]}, "array of type f8"),
        ([1, 2], "TypeError"),
    ],
)
def test_a_pickle_of_something_else_is_damaged(tmp_path: Path, content: object, problem: str) -> None:
    fakes.write_cifar10(tmp_path, [1])
    path = tmp_path / "cifar-10-batches-py/data_batch_3"
    path.write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataDamaged, match=problem) as caught:
        read_waived("cifar10", tmp_path)
    assert str(path) in str(caught.value)


def test_a_truncated_pickle_is_damaged(tmp_path: Path) -> None:
    fakes.write_cifar10(tmp_path, [1])
    path = tmp_path / "cifar-10-batches-py/data_batch_5"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataDamaged, match="data_batch_5 cannot be read"):
        read_waived("cifar10", tmp_path)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("verify", [True, False])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, verify: bool) -> None:
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists()  # an ordinary unpickler does run it
    mark.rmdir()
    fakes.write_cifar100(tmp_path, [1])
    (tmp_path / "cifar-100-python/train").write_bytes(pickle.dumps({"data": Hostile(mark), "fine_labels": [1]}))
    with pytest.raises(DataDamaged, match="cifar-100-python/train"):
        open_source("cifar100", tmp_path, verify=verify).read("train", TEN)
    assert not mark.exists()


@pytest.mark.parametrize("verify", [True, False])
def test_what_is_read_is_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: bool) -> None:
    """Whoever shares the folder of data may write between the two."""
    fakes.write_cifar100(tmp_path, [1])
    path, mark = tmp_path / "cifar-100-python/train", tmp_path / "it-ran"
    monkeypatch.setattr(CIFAR100, "train_list", [("train", md5_of(path))])
    monkeypatch.setattr(CIFAR100, "test_list", [("test", md5_of(path.with_name("test")))])
    monkeypatch.setattr(CIFAR100, "meta", {"filename": "meta", "md5": md5_of(path.with_name("meta"))})
    source = open_source("cifar100", tmp_path, verify=verify)
    assert not source.differences
    path.write_bytes(pickle.dumps({"data": Hostile(mark), "fine_labels": [1]}))
    with pytest.raises(DataDamaged, match="cifar-100-python/train was changed after it was checked"):
        source.read("train", TEN)
    assert not mark.exists()


def test_tinyimagenet_counts_stand_in_for_checksums(tmp_path: Path) -> None:
    fakes.write_tinyimagenet(tmp_path, per_class=2)
    with pytest.raises(DataDamaged) as caught:
        open_source("tinyimagenet", tmp_path)
    assert "train holds 400 images, published are 100000 (2 of class n00000000, published are 500" in str(caught.value)
    assert "data.verify=false" in str(caught.value)
    source = open_source("tinyimagenet", tmp_path, verify=False)
    assert "val holds 200 images, published are 10000" in source.differences["test"][0]
    assert source.read("train", (0, 199)).labels_B.tolist() == [0, 0, 199, 199]


def test_a_broken_jpeg_is_named(tmp_path: Path) -> None:
    fakes.write_tinyimagenet(tmp_path)
    path = tmp_path / "tiny-imagenet-200/train/n00000005/images/n00000005_0.JPEG"
    whole = path.read_bytes()
    for content in (whole[:300], b"no image"):
        path.write_bytes(content)
        with pytest.raises(DataDamaged, match=r"n00000005_0\.JPEG cannot be decoded"):
            open_source("tinyimagenet", tmp_path, verify=False).read("train", (5,))
    Image.new("RGB", (32, 64)).save(path)
    with pytest.raises(DataDamaged, match=r"n00000005_0\.JPEG has \(32, 64\) pixels, expected \(64, 64\)"):
        open_source("tinyimagenet", tmp_path, verify=False).read("train", (5,))


def test_a_broken_list_of_classes_is_named(tmp_path: Path) -> None:
    fakes.write_tinyimagenet(tmp_path)
    annotations = tmp_path / "tiny-imagenet-200/val/val_annotations.txt"
    annotations.write_text("val_0.JPEG n00000000\n")
    with pytest.raises(DataDamaged, match=r"val_annotations\.txt is broken"):
        open_source("tinyimagenet", tmp_path, verify=False)
    (tmp_path / "tiny-imagenet-200/wnids.txt").write_text("n00000001\nn00000001\n")
    with pytest.raises(DataDamaged, match=r"wnids\.txt has 2 lines with 1 different id, expected 200"):
        open_source("tinyimagenet", tmp_path, verify=False)


def no_decoding(_: Path) -> np.ndarray:
    raise AssertionError("decoded again")


def test_decoded_images_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.write_tinyimagenet(tmp_path)
    source = open_source("tinyimagenet", tmp_path, verify=False)
    first = source.read("test", TEN)
    monkeypatch.setattr(tinyimagenet, "_decoded", no_decoding)
    again = source.read("test", TEN)
    assert again.images_BCHW.tolist() == first.images_BCHW.tolist()
    kept = list((tmp_path / "tiny-imagenet-200/decoded").iterdir())
    assert [path.suffix for path in kept] == [".npy"]  # no half-written file is left
    os.utime(tmp_path / "tiny-imagenet-200/val/images/val_3.JPEG", (1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        source.read("test", TEN)


def test_a_broken_kept_copy_is_decoded_again(tmp_path: Path) -> None:
    fakes.write_tinyimagenet(tmp_path)
    source = open_source("tinyimagenet", tmp_path, verify=False)
    first = source.read("test", TEN)
    (kept,) = (tmp_path / "tiny-imagenet-200/decoded").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert source.read("test", TEN).images_BCHW.tolist() == first.images_BCHW.tolist()
    assert kept.stat().st_size > 1000


def test_a_data_root_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    fakes.write_tinyimagenet(tmp_path)
    (tmp_path / "tiny-imagenet-200/decoded").write_text("a file where the folder would be")
    assert len(open_source("tinyimagenet", tmp_path, verify=False).read("test", TEN)) == 10
