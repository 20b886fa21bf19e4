"""What `difair data` shows and fetches: every data set, whether it is under the data root, and its download."""

import errno
import sys
import tempfile
import zipfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from difair_hpc.data import published, tinyimagenet
from difair_hpc.data.misplaced import is_dropping
from difair_hpc.data.splits import BENCHMARKS
from difair_hpc.errors import DataDamaged, DiskFull, Failure, InvalidValue, RootUnusable

DATASETS = ("digits", "mnist", "svhn", "cifar10", "cifar100", "tinyimagenet")
"""Every data set that a benchmark reads."""

TINYIMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINYIMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
"""Of the archive above, as quoted by Avalanche and other loaders of it; the authors publish no sum."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetState:
    """What is on this disk of one data set."""

    name: str
    """One of `DATASETS`."""
    where: Path
    """Folder in which it is expected."""
    present: bool
    """Something of it is there."""
    complete: bool
    """Every file that is needed is there."""
    verified: bool | None
    """The files are as published; None if that was not looked at."""
    missing: tuple[str, ...]
    """Files that are not there, relative to the data root."""
    note: str
    """What is not as published or how to get it; empty if nothing needs saying."""


def needed(benchmark: str) -> tuple[str, ...]:
    """Return the names of the data sets that a benchmark reads.

    Raises:
        InvalidValue: There is no such benchmark.
    """
    if benchmark not in BENCHMARKS:
        raise InvalidValue("benchmark", benchmark, "one of " + ", ".join(BENCHMARKS))
    if benchmark == "cifar10":
        return ("cifar10",)
    return ("cifar10", "cifar100") if benchmark.startswith("cifar") else (benchmark.removesuffix("-all"),)


def inspect(data_root: Path, *, verify: bool = True) -> list[DatasetState]:
    """Return the state of every data set, without reading any image.

    Args:
        data_root: Folder of all data sets in torchvision's layout; it need not exist.
        verify: Compute checksums and counts of the sets that are complete (seconds for each).
    """
    return [_state(name, data_root, verify) for name in DATASETS]


def download(name: str, data_root: Path) -> Path:
    """Fetch a data set under the data root, checked before it takes its place, and return its folder.

    A set that is there as published is left alone; one that is there in another form is never overwritten.

    Raises:
        InvalidValue: There is no such data set.
        DataDamaged: Other files stand in its place, or what arrived is not as published.
        RootUnusable: The data root cannot be written.
        Failure: The network or the server failed; DiskFull if the disk did.
    """
    if name not in DATASETS:
        raise InvalidValue("data set", name, f"one of {', '.join(DATASETS)}")
    state = _state(name, data_root, verify=True)
    if state.verified:
        return state.where
    if state.complete or (name == "tinyimagenet" and state.where.exists()):
        raise DataDamaged(f"{state.where} holds another {name}: {state.note} Move that folder away to fetch {name}.")
    try:
        data_root.mkdir(parents=True, exist_ok=True)
        stage = tempfile.TemporaryDirectory(prefix=".incoming-", dir=data_root)
    except OSError as error:
        raise RootUnusable(
            f"the data root {data_root} cannot be written ({error}): choose another data_root=FOLDER."
        ) from error
    with stage:
        _fetch_into(Path(stage.name), name, state.where)
        _move_into_place(Path(stage.name), data_root, name)
    return state.where


def _state(name: str, data_root: Path, verify: bool) -> DatasetState:
    if name == "digits":
        home, note = published.scikit_learn(), "comes with scikit-learn"
        return DatasetState(name=name, where=home, present=True, complete=True, verified=True, missing=(), note=note)
    where, absent = _place(name, data_root)
    present = where.is_dir() and not all(is_dropping(path.name) for path in where.iterdir())
    verified, note = None, ""
    if absent:
        folder = str(where.relative_to(data_root))
        note = published.how_to_get(name, data_root, folder, absent)
        if not present and "Get it with" in note:
            note = f"Get it with `difair data get {name}`."
    elif verify:
        note = _difference(name, data_root)
        verified = not note
    return DatasetState(
        name=name, where=where, present=present, complete=not absent, verified=verified, missing=absent, note=note
    )


def _place(name: str, data_root: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of a data set and which of its files are missing."""
    if name == "tinyimagenet":
        return data_root / tinyimagenet.FOLDER, tinyimagenet.missing(data_root)
    files = published.published(name)
    return data_root / files.folder, published.missing(files, data_root)


def _difference(name: str, data_root: Path) -> str:
    """Return what is not as published about a complete data set; empty if nothing."""
    try:
        if name == "tinyimagenet":
            found = tinyimagenet.differing(data_root / tinyimagenet.FOLDER)
        else:
            files = published.published(name)
            found = published.differing(files, published.checksums(files, data_root))
    except DataDamaged as error:
        return str(error)
    phrases = [phrase for part in found.values() for phrase in part]
    return f"{'; '.join(phrases)}. Usable with {published.WAIVER} only." if phrases else ""


def _fetch_into(stage: Path, name: str, where: Path) -> None:
    """Download and unpack, with every message of the libraries on stderr."""
    try:
        with redirect_stdout(sys.stderr):
            _fetch(stage, name)
    except (OSError, RuntimeError, HTTPException, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFull(
                f"no space left under {stage.parent} for {name}: free some or choose another data_root=FOLDER."
            ) from error
        raise Failure(
            f"{name} could not be fetched from {_url(name)} ({error}). Try again where there is a network, "
            f"or fetch it elsewhere and place its files in {where}."
        ) from error


def _fetch(stage: Path, name: str) -> None:
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    if name == "tinyimagenet":
        download_url(TINYIMAGENET_URL, str(stage), md5=TINYIMAGENET_MD5)
        extract(stage / Path(TINYIMAGENET_URL).name, stage)
    elif name == "svhn":
        for part in ("train", "test"):
            datasets.SVHN(stage / "svhn", split=part, download=True)
    else:
        {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name](
            stage, download=True
        )


def _url(name: str) -> str:
    from torchvision import datasets

    addresses: dict[str, str] = {
        "mnist": datasets.MNIST.mirrors[0],
        "svhn": datasets.SVHN.split_list["train"][0],
        "cifar10": datasets.CIFAR10.url,
        "cifar100": datasets.CIFAR100.url,
        "tinyimagenet": TINYIMAGENET_URL,
    }
    return addresses[name]


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder; refuse one with a member that would land outside.

    Raises:
        DataDamaged: A member's path leaves the folder.
    """
    with zipfile.ZipFile(archive) as content:
        for member in content.namelist():
            if not (folder / member).resolve().is_relative_to(folder.resolve()):
                raise DataDamaged(
                    f"{archive} wants to write outside of its folder ({member}): it is not the published file."
                )
        content.extractall(folder)


def _move_into_place(stage: Path, data_root: Path, name: str) -> None:
    """Check what arrived and move it, file by file or as one folder, to where readers look."""
    where, absent = _place(name, stage)
    published.refuse_missing(name, stage, str(where.relative_to(stage)), absent)
    difference = _difference(name, stage)
    if difference:
        raise DataDamaged(f"{_url(name)} did not send the published {name}: {difference}")
    if name == "tinyimagenet":
        where.rename(data_root / tinyimagenet.FOLDER)
        return
    files = published.published(name)
    (data_root / files.folder).mkdir(parents=True, exist_ok=True)
    for part in files.checksums.values():
        for file in part:
            (where / file).replace(data_root / files.folder / file)
