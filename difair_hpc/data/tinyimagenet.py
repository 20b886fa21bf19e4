"""Tiny ImageNet (Stanford CS231n): 200 classes of 64 x 64 JPEG files; its validation images serve as test images.

Decoding takes a while, so the pixels are kept beside the files in decoded/, where that folder can be written.
Shapes: B images, C channels, H, W.
"""

import hashlib
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from difair_hpc.data.misplaced import is_dropping
from difair_hpc.data.published import there
from difair_hpc.data.sets import ImageSet
from difair_hpc.errors import DataDamaged
from difair_hpc.words import counted

FOLDER = "tiny-imagenet-200"
"""Folder under the data root, as in the official archive."""

CLASSES = 200
SIDE = 64
IMAGES_PER_CLASS = {"train": 500, "test": 50}
"""Published numbers of images per class; test means the folder val."""

Order = Literal["sorted", "wnids"]
Part = Literal["train", "test"]

_log = logging.getLogger(__name__)


def missing(data_root: Path) -> tuple[str, ...]:
    """Return which lists and folders are not there, relative to the data root."""
    names = ["wnids.txt", "words.txt", "train", "val/images", "val/val_annotations.txt"]
    absent = [name for name in names if not there(data_root / FOLDER / name)]
    if "val/images" in absent and "wnids.txt" not in absent and _class_folders(data_root / FOLDER):
        absent.remove("val/images")
    return tuple(f"{FOLDER}/{name}" for name in absent)


def _class_folders(folder: Path) -> list[Path]:
    """Return the folders of classes in val/, into which code for open-set recognition sorts the images."""
    places = [folder / "val" / wnid for wnid in class_ids(folder, "sorted")]
    return [place for place in places if place.is_dir()]


def class_ids(folder: Path, order: Order) -> tuple[str, ...]:
    """Return the WordNet ids of the 200 classes by class number.

    Args:
        folder: The data set's own folder.
        order: sorted alphabetically (torchvision's ImageFolder, Vaze), or in the lines of wnids.txt (TFDS).

    Raises:
        DataDamaged: wnids.txt does not list 200 different classes.
    """
    lines = _lines(folder / "wnids.txt")
    if len(lines) != CLASSES or len(set(lines)) != CLASSES:
        found = f"{counted(len(lines), 'line')} with {counted(len(set(lines)), 'different id')}"
        raise DataDamaged(f"{folder / 'wnids.txt'} has {found}, expected {CLASSES}.")
    return tuple(sorted(lines) if order == "sorted" else lines)


def class_names(folder: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    """Return the first name that words.txt gives each id; the id itself where it gives none."""
    pairs = (line.partition("\t") for line in _lines(folder / "words.txt"))
    names = {wnid: words.split(",")[0].strip() for wnid, _, words in pairs}
    return tuple(names.get(wnid, wnid) for wnid in wnids)


def differing(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return by part what is not as published: numbers of images per class (no checksums are published)."""
    wnids = class_ids(folder, "sorted")
    found: dict[str, tuple[str, ...]] = {}
    for part, expected in IMAGES_PER_CLASS.items():
        counts = Counter(wnid for _, wnid in _listing(folder, part, wnids))
        wrong = [wnid for wnid in wnids if counts[wnid] != expected]
        if wrong:
            place = f"{FOLDER}/{'train' if part == 'train' else 'val'}"
            held = f"{place} holds {counted(counts.total(), 'image')}, published are {CLASSES * expected}"
            first = f"{counts[wrong[0]]} of class {wrong[0]}, published are {expected}"
            found[part] = (f"{held} ({first}; {len(wrong)} of {CLASSES} classes differ)",)
    return found


def read(folder: Path, part: Part, wnids: Sequence[str], classes: tuple[int, ...]) -> ImageSet:
    """Return the images of some classes, labelled with their class numbers, in the order of the listing.

    Args:
        folder: The data set's own folder.
        part: test reads the folder val.
        wnids: The ids of all classes by number, from `class_ids`.
        classes: Numbers of the classes wanted.

    Raises:
        DataDamaged: A file is no 64 x 64 image, or a list cannot be read.
    """
    numbers = {wnids[label]: label for label in classes}
    files = _listing(folder, part, tuple(numbers))
    pixels_BCHW = _pixels(folder, part, [path for path, _ in files])
    labels = [numbers[wnid] for _, wnid in files]
    return ImageSet(images_BCHW=torch.from_numpy(pixels_BCHW), labels_B=torch.tensor(labels, dtype=torch.int64))


def _listing(folder: Path, part: str, wnids: Sequence[str]) -> list[tuple[Path, str]]:
    """Return the files of these classes that are there and the class of each."""
    if part == "train":
        return [(path, wnid) for wnid in wnids for path in sorted(_images(folder / "train" / wnid))]
    annotations = folder / "val" / "val_annotations.txt"
    rows = [line.split("\t") for line in _lines(annotations)]
    if any(len(row) < 2 for row in rows):
        raise DataDamaged(f"{annotations} is broken: each line should be a file, a tab, a class and the box.")
    wanted, present = set(wnids), {path.name: path for path in _images(folder / "val")}
    for place in _class_folders(folder):
        own = {row[0] for row in rows if row[1] == place.name}
        for path in _images(place):
            if path.name not in own:
                raise DataDamaged(f"{path} is of another class by {annotations}: one of them is not as published.")
            present.setdefault(path.name, path)
    return [(present[row[0]], row[1]) for row in rows if row[1] in wanted and row[0] in present]


def _images(place: Path) -> list[Path]:
    """Return the JPEG files in images/ below a folder, or in the folder itself, without what desktops leave there."""
    within = place / "images"
    files = (within if within.is_dir() else place).glob("*.JPEG")
    return [path for path in files if not is_dropping(path.name)]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataDamaged(f"{path} is no text file ({error}). Replace it by the published one.") from error


def _pixels(folder: Path, part: str, files: list[Path]) -> np.ndarray:
    """Return the decoded files (B, 3, 64, 64), from the kept copy if there is one for exactly these files."""
    kept = folder / "decoded" / f"{part}-{_fingerprint(folder, files)}.npy"
    shape = (len(files), 3, SIDE, SIDE)
    if kept.is_file():
        try:
            pixels: np.ndarray = np.load(kept, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            _log.warning("%s cannot be read (%s); decoding the images again", kept, error)
        else:
            if pixels.shape == shape and pixels.dtype == np.uint8:
                return pixels
    pixels = np.empty(shape, dtype=np.uint8)
    for index, path in enumerate(files):
        pixels[index] = _decoded(path)
    _keep(kept, pixels)
    return pixels


def _fingerprint(folder: Path, files: list[Path]) -> str:
    """Return a hash over name, size and time of change of each file: a changed file is decoded again."""
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
        except OSError as error:
            raise DataDamaged(f"{path} cannot be read ({error}). Replace the file.") from error
        digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _decoded(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.size != (SIDE, SIDE):
                raise DataDamaged(f"{path} has {image.size} pixels, expected ({SIDE}, {SIDE}). Replace the file.")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataDamaged(f"{path} cannot be decoded ({error}). Replace the file.") from error


def _keep(kept: Path, pixels: np.ndarray) -> None:
    """Write the decoded pixels whole or not at all; a data root that cannot be written simply keeps none."""
    try:
        kept.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=kept.parent, suffix=".part")
    except OSError as error:
        _log.info("decoded images are not kept (%s)", error)
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, pixels, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(kept)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        _log.info("decoded images are not kept (%s)", error)
