"""A benchmark's split as three sets of images: train, known and unknown (section 4, appendix A.2)."""

from pathlib import Path

import torch

from difair_hpc.data import pixels, splits
from difair_hpc.data.published import WAIVER
from difair_hpc.data.readers import Part, Source, open_source
from difair_hpc.data.sets import (
    ImageSet,
    OpenSetData,
    chosen,
    of_classes,
    rank_in_class,
    relabelled,
    spread_share,
)
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import ClassSplit
from difair_hpc.errors import DataDamaged

BENCHMARKS = splits.BENCHMARKS
"""Names that `load` knows."""

UNKNOWN_PER_CLASS = 100
"""Unknown images of each CIFAR-100 class in cifar10-all: about as many in all (9,900) as validation images (10,000)."""


def load(spec: BenchmarkSpec, data_root: Path) -> OpenSetData:
    """Read one split of a benchmark; the same spec and files give the same data, whatever the seed of a run.

    Known and unknown images are test images. The benchmarks on -all never touch those: their known images are
    `validation_share` of each class in the training files, and the unknown images of cifar10-all are the first of each
    class in CIFAR-100's training file, of the classes that CIFAR-10 has not.

    Args:
        spec: Benchmark, split and how images are read.
        data_root: Folder of all data sets in torchvision's layout; digits needs none.

    Raises:
        InvalidValue: No such benchmark or split.
        DataMissing: A data set is not under `data_root`.
        DataDamaged: A file is not as published (and `spec.verify` is true), broken, or without images that are needed.
    """
    split = splits.class_split(spec.name, spec.split, cifar_plus_known=spec.cifar_plus_known)
    home, away = _sources(spec, data_root)
    if spec.name.endswith("-all"):
        train, known = _validation(home.read("train", split.known), spec.validation_share)
        unknown = _first_of_each(away.read("train", split.unknown), UNKNOWN_PER_CLASS)
        used: list[tuple[Source, Part]] = [(home, "train"), (away, "train")]
    else:
        train, (known, unknown) = home.read("train", split.known), _tested(home, away, split)
        used = [(home, "train"), (home, "test"), (away, "test")]
    train, known = relabelled(train, split.known), relabelled(known, split.known)
    if spec.train_per_class is not None:
        train = _first_of_each(train, spec.train_per_class)
    _refuse_gaps(spec, split, home, [train, known, unknown])
    mean_C, std_C = pixels.channel_statistics(train.images_BCHW)
    sets = [_resized(images, spec.image_size) for images in (train, known, unknown)]
    return OpenSetData(
        train=sets[0],
        known=sets[1],
        unknown=sets[2],
        class_names=tuple(home.class_names[label] for label in split.known),
        unknown_names={label: away.class_names[label] for label in split.unknown},
        mean_C=mean_C,
        std_C=std_C,
        held_out="validation" if spec.name.endswith("-all") else "test",
        fingerprint=pixels.fingerprint(*sets),
        warnings=_warnings(used),
    )


def load_served(spec: BenchmarkSpec, data_root: Path) -> tuple[ImageSet, dict[int, str]]:
    """Read the unknown images of all tasks that a training on `spec` serves (`splits.sharing`), and name their classes.

    Raises:
        DataMissing, DataDamaged: As of `load`.
    """
    known = spec.cifar_plus_known
    tasks = splits.sharing(spec.name, spec.split, cifar_plus_known=known)
    unknown = [splits.class_split(*task, cifar_plus_known=known).unknown for task in tasks]
    classes = tuple(sorted({label for labels in unknown for label in labels}))
    away = _sources(spec, data_root)[1]
    names = {label: away.class_names[label] for label in classes}
    return _resized(away.read("test", classes), spec.image_size), names


def _sources(spec: BenchmarkSpec, data_root: Path) -> tuple[Source, Source]:
    """Return the data sets of the known and of the unknown classes; often they are one."""
    from_cifar10 = spec.name.startswith("cifar")
    name = "cifar10" if from_cifar10 else spec.name.removesuffix("-all")
    home = open_source(name, data_root, verify=spec.verify, order=spec.tinyimagenet_order)
    if from_cifar10 and spec.name != "cifar10":
        return home, open_source("cifar100", data_root, verify=spec.verify)
    return home, home


def _tested(home: Source, away: Source, split: ClassSplit) -> tuple[ImageSet, ImageSet]:
    """Return the test images of the known and of the unknown classes with their original labels."""
    if away is not home:
        return home.read("test", split.known), away.read("test", split.unknown)
    images = home.read("test", split.known + split.unknown)
    return of_classes(images, split.known), of_classes(images, split.unknown)


def _validation(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet]:
    """Return the images left for training and those held out."""
    held_B = spread_share(images.labels_B, share)
    return chosen(images, ~held_B), chosen(images, held_B)


def _first_of_each(images: ImageSet, count: int) -> ImageSet:
    return chosen(images, rank_in_class(images.labels_B) < count)


def _resized(images: ImageSet, size: int) -> ImageSet:
    return ImageSet(images_BCHW=pixels.resized(images.images_BCHW, size), labels_B=images.labels_B)


def _refuse_gaps(spec: BenchmarkSpec, split: ClassSplit, home: Source, sets: list[ImageSet]) -> None:
    """Raise DataDamaged where a partial copy leaves nothing to train on or to measure."""
    train, known, unknown = sets
    counts_K = torch.bincount(train.labels_B, minlength=len(split.known)).tolist()
    gaps = [f"training images of {home.class_names[c]}" for c, n in zip(split.known, counts_K, strict=True) if n == 0]
    gaps += ["held-out images of known classes"] if len(known) == 0 else []
    gaps += ["images of unknown classes"] if len(unknown) == 0 and split.unknown else []
    if gaps:
        raise DataDamaged(
            f"{spec.name}, split {spec.split}, has no {', no '.join(gaps)}. Use a fuller copy of the data."
        )


def _warnings(used: list[tuple[Source, Part]]) -> tuple[str, ...]:
    """Return one text for each part of a data set that was used although it is not as published."""
    texts = [
        f"{source.name}: {phrase}; admitted by {WAIVER}"
        for source, part in used
        for phrase in source.differences.get(part, ())
    ]
    return tuple(dict.fromkeys(texts))
