"""The published files of MNIST, SVHN, CIFAR-10 and CIFAR-100, whether this disk has them, and where scikit-learn is.

The folders are torchvision's. So are the MD5 sums, but for those of MNIST's unpacked files, which stand below:
torchvision lists the sums of its archives only, and takes any unpacked file of the right name.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from difair_hpc.data.misplaced import advice
from difair_hpc.errors import DataDamaged, DataMissing

WAIVER = "data.verify=false"
"""How a user admits files that are not as published; quoted in messages."""

_MNIST_MD5 = {
    "train": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    },
    "test": {
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The files a data set consists of."""

    name: str
    """mnist, svhn, cifar10 or cifar100."""
    folder: str
    """Folder of the files, relative to the data root."""
    checksums: Mapping[str, Mapping[str, str]]
    """MD5 by file name, for each part: train, test and, in CIFAR, meta (class names)."""


def published(name: str) -> Published:
    """Return what `name` (mnist, svhn, cifar10 or cifar100) consists of."""
    from torchvision import datasets

    if name == "mnist":
        return Published(name=name, folder="MNIST/raw", checksums=_MNIST_MD5)
    if name == "svhn":
        files = {part: dict([datasets.SVHN.split_list[part][1:]]) for part in ("train", "test")}
        return Published(name=name, folder="svhn", checksums=files)
    cifar = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    files = {
        "train": dict(cifar.train_list),
        "test": dict(cifar.test_list),
        "meta": {cifar.meta["filename"]: cifar.meta["md5"]},
    }
    return Published(name=name, folder=cifar.base_folder, checksums=files)


def missing(files: Published, data_root: Path) -> tuple[str, ...]:
    """Return the files that are not there, relative to the data root."""
    names = [f"{files.folder}/{file}" for part in files.checksums.values() for file in part]
    return tuple(name for name in names if not there(data_root / name))


def there(path: Path) -> bool:
    """Return whether a file or folder exists; DataMissing if the folders above it may not be entered."""
    try:
        return path.exists()
    except OSError as error:
        raise DataMissing(f"{path} cannot be looked up ({error}). Check the permissions of its folders.") from error


def checksums(files: Published, data_root: Path) -> dict[str, dict[str, str]]:
    """Return the MD5 of each file as it is, by part and name."""
    folder = data_root / files.folder
    return {part: {file: md5_of(folder / file) for file in names} for part, names in files.checksums.items()}


def differing(files: Published, sums: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return by part what is not as published, one phrase per file; parts that are as published are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for part, expected in files.checksums.items():
        phrases = [
            f"{files.folder}/{file} has the MD5 {sums[part][file]}, published is {published}"
            for file, published in expected.items()
            if sums[part][file] != published
        ]
        if phrases:
            found[part] = tuple(phrases)
    return found


def md5_of(path: Path) -> str:
    """Return the MD5 (hex) of a file: its identity, not its safety. DataDamaged if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataDamaged(f"{path} cannot be read ({error}). Check its permissions and its disk.") from error


def unchanged(path: Path, md5: str) -> bytes:
    """Return the content of a file that had this MD5 when it was checked.

    Raises:
        DataDamaged: it cannot be read, or has changed since.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataDamaged(f"{path} cannot be read ({error}). Check its permissions and its disk.") from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataDamaged(f"{path} was changed after it was checked; repeat the command when nobody writes it.")
    return content


def refuse_missing(name: str, data_root: Path, folder: str, absent: tuple[str, ...]) -> None:
    """Raise DataMissing if any file is absent: what, where it is expected, what is there instead, how to get it."""
    if absent:
        raise DataMissing(f"{name} is not under {data_root}: {how_to_get(name, data_root, folder, absent)}")


def how_to_get(name: str, data_root: Path, folder: str, absent: tuple[str, ...]) -> str:
    """Say which files of a data set are missing, what is there in their place, and what to do."""
    more = f" and {len(absent) - 4} more" if len(absent) > 4 else ""
    said = f"missing {', '.join(absent[:4])}{more}. "
    if instead := advice(data_root, folder, absent, name=name):
        return f"{said}{instead}."
    if name == "tinyimagenet" and (data_root / folder).exists():
        archive = "tiny-imagenet-200.zip"
        return f"{said}Take them from the archive {archive}, or move {data_root / folder} away and get the whole."
    return f"{said}Get it with `difair data get {name}`, or point data_root=FOLDER at where it is."


def refuse_differing(name: str, data_root: Path, differences: Mapping[str, tuple[str, ...]]) -> None:
    """Raise DataDamaged if anything is not as published: the file, what was expected and how to admit it."""
    phrases = [phrase for part in differences.values() for phrase in part]
    if phrases:
        raise DataDamaged(
            f"{name} under {data_root} is not as published: {'; '.join(phrases)}. Remove the files and run "
            f"`difair data get {name}`, or admit them as they are with {WAIVER}."
        )


def scikit_learn() -> Path:
    """Return the folder of scikit-learn, which the digits come with; importing it would take a second."""
    package = importlib.util.find_spec("sklearn")
    return Path(package.origin).parent if package and package.origin else Path("sklearn")
