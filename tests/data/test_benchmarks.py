"""From a benchmark's spec to its three sets: scikit-learn's digits, and small data sets written by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from difair_hpc.data import digits
from difair_hpc.data.benchmarks import load
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.errors import DataDamaged, DataMissing, InvalidValue
from tests.data import fakes

NOWHERE = Path("no-such-folder")


def test_digits_need_no_data_root() -> None:
    data = load(BenchmarkSpec(name="digits", split=2, image_size=8), NOWHERE)
    assert data.class_names == ("5", "8", "3", "2", "4", "6")
    assert data.unknown_names == {0: "0", 1: "1", 7: "7", 9: "9"}
    assert (data.channels, data.size, data.classes) == (1, 8, 6)
    assert (data.held_out, data.warnings) == ("test", ())
    # 20 % of 182, 174, 183, 177, 181, 181 images of 5, 8, 3, 2, 4, 6, rounded down
    assert torch.bincount(data.known.labels_B).tolist() == [36, 34, 36, 35, 36, 36]
    assert torch.bincount(data.train.labels_B).tolist() == [146, 140, 147, 142, 145, 145]
    assert sorted(set(data.unknown.labels_B.tolist())) == [0, 1, 7, 9]


def test_digits_are_scaled_to_bytes_and_every_fifth_is_a_test_image() -> None:
    original = load_digits()
    train, test = digits.read("train"), digits.read("test")
    assert len(train) + len(test) == 1797
    zeros = original.images[original.target == 0]
    expected = np.floor(zeros * 255 / 16 + 0.5).astype(np.uint8)
    assert (
        train.images_BCHW[train.labels_B == 0][:, 0].numpy().tolist()
        == np.delete(expected, np.s_[4::5], axis=0).tolist()
    )
    assert test.images_BCHW[test.labels_B == 0][:, 0].numpy().tolist() == expected[4::5].tolist()
    assert int(train.images_BCHW.max()) == 255


def test_digits_all_holds_out_training_images_and_has_no_unknown() -> None:
    data = load(BenchmarkSpec(name="digits-all", image_size=8), NOWHERE)
    train_part = digits.read("train")
    assert data.held_out == "validation"
    assert len(data.train) + len(data.known) == len(train_part)
    assert 0.19 < len(data.known) / len(train_part) < 0.21
    assert data.unknown.images_BCHW.shape == (0, 1, 8, 8)
    assert data.unknown.labels_B.shape == (0,)
    known = {image.numpy().tobytes() for image in data.known.images_BCHW}
    assert not known & {image.numpy().tobytes() for image in digits.read("test").images_BCHW}


def test_the_validation_share_is_honoured() -> None:
    data = load(BenchmarkSpec(name="digits-all", image_size=8, validation_share=0.5), NOWHERE)
    assert abs(len(data.known) - len(data.train)) <= 10


def test_the_same_spec_gives_the_same_data_and_another_split_other_data() -> None:
    torch.manual_seed(1)
    first = load(BenchmarkSpec(name="digits", split=0, image_size=8), NOWHERE)
    torch.manual_seed(2)
    again = load(BenchmarkSpec(name="digits", split=0, image_size=8), NOWHERE)
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != load(BenchmarkSpec(name="digits", split=1, image_size=8), NOWHERE).fingerprint


def test_images_take_the_size_of_the_spec_and_statistics_those_of_the_file() -> None:
    small = load(BenchmarkSpec(name="digits", image_size=8), NOWHERE)
    large = load(BenchmarkSpec(name="digits", image_size=32), NOWHERE)
    assert large.train.images_BCHW.shape == (len(small.train), 1, 32, 32)
    pixels = small.train.images_BCHW.double() / 255
    assert large.mean_C.item() == pytest.approx(pixels.mean().item(), abs=1e-7)
    assert large.std_C.item() == pytest.approx(pixels.std(correction=0).item(), abs=1e-7)


def test_moving_moves_every_tensor() -> None:
    moved = load(BenchmarkSpec(name="digits", image_size=8), NOWHERE).to("meta")
    tensors = [t for s in (moved.train, moved.known, moved.unknown) for t in (s.images_BCHW, s.labels_B)]
    assert {str(tensor.device) for tensor in [*tensors, moved.mean_C, moved.std_C]} == {"meta"}


@pytest.mark.parametrize(("name", "split", "key"), [("cifar", 0, "benchmark=cifar"), ("digits-all", 3, "split=3")])
def test_what_does_not_exist_is_refused_by_key(name: str, split: int, key: str) -> None:
    with pytest.raises(InvalidValue, match=key):
        load(BenchmarkSpec(name=name, split=split), NOWHERE)


def test_mnist_test_images_become_known_and_unknown(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [3, 0, 2, 9, 5, 8, 4, 1, 2])
    data = load(BenchmarkSpec(name="mnist", split=0, verify=False), tmp_path)  # known 2 4 5 9 8 3
    assert data.train.labels_B.tolist() == [5, 0, 3, 2, 4, 1, 0]
    assert data.known.images_BCHW[:, 0, 16, 16].tolist() == [0, 2, 3, 4, 5, 6, 8]
    assert data.unknown.labels_B.tolist() == [0, 1]
    assert data.unknown.images_BCHW[:, 0, 16, 16].tolist() == [1, 7]
    assert data.size == 32
    assert len(data.warnings) == 4
    assert "MNIST/raw/t10k-labels-idx1-ubyte" in data.warnings[3]
    assert "data.verify=false" in data.warnings[3]


def test_a_partial_copy_without_a_known_class_is_refused(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [3, 0, 2, 9, 5, 8])
    with pytest.raises(DataDamaged, match="mnist, split 0, has no training images of 4"):
        load(BenchmarkSpec(name="mnist", split=0, verify=False), tmp_path)


def test_cifar_plus_takes_known_from_cifar10_and_unknown_from_cifar100(tmp_path: Path) -> None:
    fakes.write_cifar10(tmp_path, [9, 8, 1, 0, 5])
    fakes.write_cifar100(tmp_path, [30, 0, 58, 33, 30])
    data = load(BenchmarkSpec(name="cifar+10", split=0, verify=False), tmp_path)
    assert data.class_names == ("airplane", "automobile", "ship", "truck")
    assert data.known.labels_B.tolist() == [3, 2, 1, 0]
    assert len(data.train) == 20  # four of five images in each of five training files
    assert data.unknown.labels_B.tolist() == [30, 0, 30]
    assert data.unknown.images_BCHW[:, 0, 0, 0].tolist() == [0, 1, 4]
    assert data.unknown_names[30] == "dolphin"
    assert not any("cifar-100-python/train" in warning for warning in data.warnings)  # it was not used


def test_cifar10_all_compares_with_the_first_images_of_each_cifar100_class(tmp_path: Path) -> None:
    fakes.write_cifar10(tmp_path, list(range(10)))
    fakes.write_cifar100(tmp_path, [7] * 150 + [58] * 3 + [9] * 2)
    data = load(BenchmarkSpec(name="cifar10-all", verify=False), tmp_path)
    assert data.held_out == "validation"
    assert torch.bincount(data.train.labels_B).tolist() == [4] * 10
    assert torch.bincount(data.known.labels_B).tolist() == [1] * 10
    assert data.unknown.labels_B.tolist() == [7] * 100 + [9] * 2
    assert data.unknown.images_BCHW[:100, 0, 0, 0].tolist() == list(range(100))


def test_without_cifar100_the_place_and_the_command_are_named(tmp_path: Path) -> None:
    fakes.write_cifar10(tmp_path, list(range(10)))
    with pytest.raises(DataMissing) as caught:
        load(BenchmarkSpec(name="cifar10-all", verify=False), tmp_path)
    assert f"under {tmp_path}" in str(caught.value)
    assert "cifar-100-python/train" in str(caught.value)
    assert "difair data get cifar100" in str(caught.value)


def test_tinyimagenet_numbers_classes_by_folder_or_by_wnids_txt(tmp_path: Path) -> None:
    listed = fakes.write_tinyimagenet(tmp_path)
    spec = {"name": "tinyimagenet", "image_size": 64, "verify": False}
    by_folder = load(BenchmarkSpec(**spec), tmp_path)  # type: ignore[arg-type]
    by_line = load(BenchmarkSpec(**spec, tinyimagenet_order="wnids"), tmp_path)  # type: ignore[arg-type]
    assert by_folder.class_names[0] == "name of n00000108"  # known class 108 in split 0
    assert by_line.class_names[0] == f"name of {listed[108]}" == "name of n00000091"
    assert (len(by_folder.train), len(by_folder.known), len(by_folder.unknown)) == (20, 20, 180)
    # The grey value of an image is its class in sorted order; JPEG may move it by 1.
    brightness = by_line.train.images_BCHW.float().mean((1, 2, 3))[by_line.train.labels_B == 0]
    assert brightness.item() == pytest.approx(91, abs=1)
    unknown = dict(
        zip(by_folder.unknown.labels_B.tolist(), by_folder.unknown.images_BCHW[:, 1, 5, 5].tolist(), strict=True)
    )
    assert all(abs(label - value) <= 1 for label, value in unknown.items())


def test_a_trial_may_train_on_the_first_images_of_each_class() -> None:
    whole = load(BenchmarkSpec(name="digits", split=2, image_size=8), NOWHERE)
    few = load(BenchmarkSpec(name="digits", split=2, image_size=8, train_per_class=3), NOWHERE)
    assert torch.bincount(few.train.labels_B).tolist() == [3] * 6
    first = torch.cat([torch.nonzero(whole.train.labels_B == label)[:3, 0] for label in range(6)]).sort().values
    assert torch.equal(few.train.images_BCHW, whole.train.images_BCHW[first])
    assert torch.equal(few.known.images_BCHW, whole.known.images_BCHW)
    assert not torch.equal(few.mean_C, whole.mean_C), "statistics are those of the images that are trained on"
    with pytest.raises(InvalidValue, match="benchmark.train_per_class=0"):
        BenchmarkSpec(train_per_class=0)
