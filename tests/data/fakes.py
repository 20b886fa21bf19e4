"""Small data sets in the published layouts, written by hand into a temporary folder."""

import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(root: Path, labels: list[int]) -> None:
    """Image i is all i, in both parts."""
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None, None], (len(labels), 28, 28))
    for part in ("train", "t10k"):
        write_idx(root / f"MNIST/raw/{part}-images-idx3-ubyte", images)
        write_idx(root / f"MNIST/raw/{part}-labels-idx1-ubyte", np.array(labels))


def write_cifar_batch(path: Path, labels: list[int], key: str) -> None:
    """Image i is all i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.broadcast_to(np.arange(len(labels), dtype=np.uint8)[:, None], (len(labels), 3072)).copy()
    path.write_bytes(pickle.dumps({"data": data, key: labels}, protocol=4))


def write_cifar10(root: Path, labels: list[int]) -> None:
    folder = root / "cifar-10-batches-py"
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        write_cifar_batch(folder / name, labels, "labels")
    (folder / "batches.meta").write_bytes(b"")


def write_cifar100(root: Path, labels: list[int]) -> None:
    folder = root / "cifar-100-python"
    for name in ("train", "test"):
        write_cifar_batch(folder / name, labels, "fine_labels")
    (folder / "meta").write_bytes(b"")


def write_svhn(root: Path, labels: list[int]) -> None:
    """Labels as in the files: 10 is the digit 0. Image i is all i."""
    (root / "svhn").mkdir(parents=True, exist_ok=True)
    images = np.broadcast_to(np.arange(len(labels), dtype=np.uint8), (32, 32, 3, len(labels))).copy()
    for part in ("train", "test"):
        savemat(root / f"svhn/{part}_32x32.mat", {"X": images, "y": np.array(labels, dtype=np.uint8)[:, None]})


def write_tinyimagenet(root: Path, *, per_class: int = 1) -> list[str]:
    """200 classes whose wnids.txt runs backwards; image brightness = place in the sorted order. Return wnids.txt."""
    folder = root / "tiny-imagenet-200"
    wnids = [f"n{number:08d}" for number in range(200)]
    (folder / "val/images").mkdir(parents=True)
    rows = []
    for number, wnid in enumerate(wnids):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        image = Image.new("L" if number == 0 else "RGB", (64, 64), number if number == 0 else (number,) * 3)
        for index in range(per_class):
            image.save(folder / "train" / wnid / "images" / f"{wnid}_{index}.JPEG")
        image.save(folder / "val/images" / f"val_{number}.JPEG")
        rows.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t63\t63\n")
    (folder / "val/val_annotations.txt").write_text("".join(rows))
    (folder / "wnids.txt").write_text("\n".join(reversed(wnids)) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\tname of {wnid}, other name\n" for wnid in wnids))
    return wnids[::-1]
