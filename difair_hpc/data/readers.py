"""The images of every data set as uint8 tensors, from files in torchvision's layout.

A file may be anything, and teams share them: so the bytes that are read are those whose checksum was compared, a pickle
is read without running code, and whatever is wrong ends in one message that names the file. Shapes: B images, C
channels, H, W.
"""

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from difair_hpc.data import tinyimagenet
from difair_hpc.data.published import (
    checksums,
    differing,
    missing,
    published,
    refuse_differing,
    refuse_missing,
    unchanged,
)
from difair_hpc.data.sets import ImageSet, joined, of_classes
from difair_hpc.data.splits import CIFAR10_NAMES, CIFAR100_NAMES, DIGIT_NAMES
from difair_hpc.errors import DataDamaged
from difair_hpc.words import counted

Part = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A data set whose files have been found and checked."""

    name: str
    """digits, mnist, svhn, cifar10, cifar100 or tinyimagenet."""
    class_names: tuple[str, ...]
    """Name of each class by its original number."""
    read: Callable[[Part, tuple[int, ...]], ImageSet]
    """The images of the given classes in one part, in file order, with their original labels."""
    differences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By part: what about its files is not as published, and was waived."""


def open_source(
    name: str, data_root: Path, *, verify: bool = True, order: Literal["sorted", "wnids"] = "sorted"
) -> Source:
    """Find and check the files of a data set; nothing is unpickled before its checksum is known.

    Args:
        name: digits, mnist, svhn, cifar10, cifar100 or tinyimagenet.
        data_root: Folder of all data sets in torchvision's layout.
        verify: Refuse files that are not as published; otherwise they are read and noted in `differences`.
        order: How Tiny ImageNet numbers its classes: by sorted folder name, or by line of wnids.txt.

    Raises:
        DataMissing: A file is not there.
        DataDamaged: A file is not as published and `verify` is true.
    """
    if name == "digits":
        from difair_hpc.data import digits

        return Source(name=name, class_names=DIGIT_NAMES, read=lambda part, want: of_classes(digits.read(part), want))
    if name == "tinyimagenet":
        return _open_tinyimagenet(data_root, verify, order)
    files = published(name)
    refuse_missing(name, data_root, files.folder, missing(files, data_root))
    sums = checksums(files, data_root)
    differences = differing(files, sums)
    if verify:
        refuse_differing(name, data_root, differences)
    folder = data_root / files.folder

    def read(part: Part, classes: tuple[int, ...]) -> ImageSet:
        contents = {folder / file: unchanged(folder / file, sums[part][file]) for file in files.checksums[part]}
        return of_classes(_READERS[name](contents), classes)

    names = {"cifar10": CIFAR10_NAMES, "cifar100": CIFAR100_NAMES}.get(name, DIGIT_NAMES)
    return Source(name=name, class_names=names, read=read, differences=differences)


def _open_tinyimagenet(data_root: Path, verify: bool, order: Literal["sorted", "wnids"]) -> Source:
    folder = data_root / tinyimagenet.FOLDER
    refuse_missing("tinyimagenet", data_root, tinyimagenet.FOLDER, tinyimagenet.missing(data_root))
    differences = tinyimagenet.differing(folder)
    if verify:
        refuse_differing("tinyimagenet", data_root, differences)
    wnids = tinyimagenet.class_ids(folder, order)

    def read(part: Part, classes: tuple[int, ...]) -> ImageSet:
        return tinyimagenet.read(folder, part, wnids, classes)

    names = tinyimagenet.class_names(folder, wnids)
    return Source(name="tinyimagenet", class_names=names, read=read, differences=differences)


def _mnist(contents: Mapping[Path, bytes]) -> ImageSet:
    (images_path, images), (labels_path, labels) = contents.items()
    with _damage_named(images_path):
        images_BHW = _idx(images)
    with _damage_named(labels_path):
        labels_B = _idx(labels)
    return _checked(images_path, images_BHW[:, None], labels_B, shape=(1, 28, 28), classes=10)


def _idx(content: bytes) -> np.ndarray:
    """Return the array in MNIST's own format: two zeros, a code for bytes (8), the number of axes, each length."""
    if content[:3] != b"\0\0\x08":
        raise ValueError("it does not begin as a file of bytes in MNIST's format")
    axes = content[3]
    shape = [int(length) for length in np.frombuffer(content, ">u4", axes, offset=4)]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _svhn(contents: Mapping[Path, bytes]) -> ImageSet:
    from scipy.io import loadmat

    ((path, whole),) = contents.items()
    with _damage_named(path):
        content = loadmat(io.BytesIO(whole))
        images_BCHW = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
        labels_B = content["y"].reshape(-1)
        # The file writes the digit 0 as 10; a label 0 would be a mistake and must not pass for a digit.
        labels_B = np.where(labels_B == 10, 0, np.where(labels_B == 0, -1, labels_B.astype(np.int64)))
    return _checked(path, images_BCHW, labels_B, shape=(3, 32, 32), classes=10)


def _cifar(contents: Mapping[Path, bytes], *, key: str, classes: int) -> ImageSet:
    batches = []
    for path, whole in contents.items():
        with _damage_named(path):
            content: dict[str, np.ndarray] = _ArraysOnly(io.BytesIO(whole), encoding="latin1").load()
            images_BCHW = content["data"].reshape(-1, 3, 32, 32)
            labels_B = np.array(content[key])
        batches.append(_checked(path, images_BCHW, labels_B, shape=(3, 32, 32), classes=classes))
    return joined(batches)


_READERS: dict[str, Callable[[Mapping[Path, bytes]], ImageSet]] = {
    "mnist": _mnist,
    "svhn": _svhn,
    "cifar10": partial(_cifar, key="labels", classes=10),
    "cifar100": partial(_cifar, key="fine_labels", classes=100),
}
"""Readers of the files of one part, by path, which may be partial, re-ordered or broken."""


def _checked(path: Path, images: np.ndarray, labels: np.ndarray, *, shape: tuple[int, ...], classes: int) -> ImageSet:
    """Return images and labels if they can be what they are taken for; otherwise name the file and what is wrong."""
    problem = ""
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        problem = f"images of type {images.dtype} and shape {images.shape[1:]}, expected uint8 and {shape}"
    elif labels.shape != images.shape[:1]:
        problem = f"{counted(len(images), 'image')} but labels of shape {labels.shape}"
    elif labels.size and labels.dtype.kind not in "iu":
        problem = f"labels of type {labels.dtype}, expected whole numbers"
    elif labels.size and (labels.min() < 0 or labels.max() >= classes):
        problem = f"labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
    if problem:
        raise DataDamaged(f"{path} does not hold what it should: {problem}.")
    return ImageSet(images_BCHW=torch.tensor(images), labels_B=torch.tensor(labels.astype(np.int64)))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever a broken file makes a parser raise into DataDamaged; parsers promise no particular exception."""
    try:
        yield
    except Exception as error:
        raise DataDamaged(
            f"{path} cannot be read ({type(error).__name__}: {error}). It is broken, not only partial: replace it."
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """An unpickler for plain values and uint8 arrays: it imports nothing, so a hostile file can call nothing."""

    def find_class(self, module_name: str, global_name: str) -> object:
        """Return our own stand-in for the three names that a pickled array uses; refuse every other."""
        if module_name in ("numpy.core.multiarray", "numpy._core.multiarray") and global_name == "_reconstruct":
            return _empty_array
        if (module_name, global_name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module_name, global_name) == ("numpy", "dtype"):
            return _byte_type
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, which image data has no need of")


def _empty_array(*_: object) -> np.ndarray:
    return np.empty(0, dtype=np.uint8)


def _byte_type(code: object, *_: object) -> np.dtype:
    if code != "u1":
        raise pickle.UnpicklingError(f"it holds an array of type {code}, where images are u1")
    return np.dtype(np.uint8)
