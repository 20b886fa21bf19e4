"""The published counts and statistics, on the real images; skipped where they are not (DIFAIR_DATA names the root)."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from difair_hpc.data.benchmarks import load
from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.errors import DataDamaged

pytestmark = pytest.mark.realdata
Root = Callable[..., Path]


def sizes(data: OpenSetData) -> tuple[int, int, int]:
    return len(data.train), len(data.known), len(data.unknown)


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        (0, (35152, 5899, 4101)),
        (1, (35721, 5971, 4029)),
        (2, (35121, 5848, 4152)),
        (3, (35433, 5866, 4134)),
        (4, (35649, 5965, 4035)),
    ],
)
def test_mnist(real_data_root: Root, split: int, counts: tuple[int, int, int]) -> None:
    data = load(BenchmarkSpec(name="mnist", split=split), real_data_root("MNIST/raw"))
    assert sizes(data) == counts
    assert (data.channels, data.size, data.warnings) == (1, 32, ())
    if split == 0:  # mean and variance in the authors' public code
        assert data.mean_C.item() == pytest.approx(0.1357, abs=5e-5)
        assert data.std_C.item() ** 2 == pytest.approx(0.0974, abs=5e-5)


def test_cifar10_third_split(real_data_root: Root) -> None:
    data = load(BenchmarkSpec(name="cifar10", split=2), real_data_root("cifar-10-batches-py"))
    assert data.class_names == ("automobile", "dog", "horse", "cat", "truck", "deer")
    assert data.unknown_names == {0: "airplane", 2: "bird", 6: "frog", 8: "ship"}
    assert sizes(data) == (30000, 6000, 4000)
    assert torch.bincount(data.train.labels_B).tolist() == [5000] * 6
    # mean and variance in the authors' public code
    assert data.mean_C.tolist() == pytest.approx([0.4898, 0.4677, 0.4254], abs=5e-5)
    assert (data.std_C**2).tolist() == pytest.approx([0.0633, 0.0615, 0.0662], abs=5e-5)
    assert data.warnings == ()


@pytest.mark.parametrize(("name", "unknown"), [("cifar+10", 1000), ("cifar+50", 5000)])
def test_cifar_plus(real_data_root: Root, name: str, unknown: int) -> None:
    root = real_data_root("cifar-10-batches-py", "cifar-100-python")
    data = load(BenchmarkSpec(name=name, split=4, verify=False), root)
    assert sizes(data) == (20000, 4000, unknown)
    assert set(torch.bincount(data.unknown.labels_B).tolist()) == {0, 100}
    assert data.mean_C.tolist() == pytest.approx([0.4964, 0.5064, 0.5172], abs=5e-5)
    assert not any(warning.startswith("cifar10:") for warning in data.warnings)  # these files are as published


def test_cifar10_all_never_touches_test_images(real_data_root: Root) -> None:
    root = real_data_root("cifar-10-batches-py", "cifar-100-python")
    data = load(BenchmarkSpec(name="cifar10-all", verify=False), root)
    assert (len(data.train), len(data.known), data.held_out) == (40000, 10000, "validation")
    assert torch.bincount(data.known.labels_B).tolist() == [1000] * 10
    counts = torch.bincount(data.unknown.labels_B, minlength=100)
    assert counts[58] == 0
    assert int(counts.max()) <= 100
    assert int(counts[counts > 0].min()) == int(counts.max())
    test = load(BenchmarkSpec(name="cifar10", split=0), root)
    tested = {image.numpy().tobytes() for image in test.known.images_BCHW}
    assert not tested & {image.numpy().tobytes() for image in data.known.images_BCHW}


def test_svhn_copies_need_the_waiver(real_data_root: Root) -> None:
    root = real_data_root("svhn")
    data = load(BenchmarkSpec(name="svhn", split=1, verify=False), root)
    assert data.class_names == ("3", "8", "7", "6", "2", "5")
    assert sorted(data.unknown_names) == [0, 1, 4, 9]
    if not data.warnings:
        assert sizes(data) == (42331, 15071, 10961)
        return
    with pytest.raises(DataDamaged, match=r"svhn/train_32x32\.mat has the MD5"):
        load(BenchmarkSpec(name="svhn", split=1), root)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("sorted", ("gondola", "sewing machine", "sea slug", "lesser panda", "espresso")),
        ("wnids", ("jinrikisha", "beach wagon", "guinea pig", "pay-phone", "gondola")),
    ],
)
def test_tinyimagenet_in_both_orders(real_data_root: Root, order: str, names: tuple[str, ...]) -> None:
    root = real_data_root("tiny-imagenet-200")
    spec = BenchmarkSpec(name="tinyimagenet", image_size=64, verify=False, tinyimagenet_order=order)  # type: ignore[arg-type]
    data = load(spec, root)
    assert data.class_names[:5] == names
    assert (data.classes, data.size, len(data.unknown_names)) == (20, 64, 180)
    per_class = torch.bincount(data.train.labels_B)
    assert len(set(per_class.tolist())) == 1
    assert len(data.unknown) == 9 * len(data.known)
    if not data.warnings:
        assert sizes(data) == (10000, 1000, 9000)
