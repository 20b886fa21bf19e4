"""Which classes are known and which unknown, for every benchmark and split (pure, plain numbers).

Source: Vaze et al. (2022), osr_closed_set_all_you_need, data/open_set_splits/osr_splits.py, the file the paper follows
(section 4); the same numbers stand in ARPL's split.py. A class's new label is its position in `known`.
CIFAR-100 numbers are fine labels in alphabetical order (apple 0, ..., worm 99).
"""

from dataclasses import dataclass
from typing import Literal

from difair_hpc.errors import InvalidValue

_Classes = tuple[tuple[int, ...], ...]

DIGIT_NAMES = tuple(str(digit) for digit in range(10))
"""Class names of digits, MNIST and SVHN."""

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Class names of CIFAR-10 in the order of its labels."""

# fmt: off
CIFAR100_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
"""Fine class names of CIFAR-100 in the order of its labels."""

_MNIST: _Classes = (
    (2, 4, 5, 9, 8, 3),
    (3, 2, 6, 9, 4, 0),
    (5, 8, 3, 2, 4, 6),
    (3, 7, 8, 4, 0, 5),
    (6, 3, 4, 9, 8, 2),
)
"""Known digits of MNIST per split; the others are unknown."""

_SVHN: _Classes = (
    (5, 3, 7, 2, 8, 6),
    (3, 8, 7, 6, 2, 5),
    (8, 9, 4, 7, 2, 1),
    (3, 8, 2, 5, 0, 6),
    (4, 9, 2, 7, 1, 0),
)
"""Known digits of SVHN per split; splits 0 and 1 are the same set."""

_CIFAR10: _Classes = (
    (0, 6, 4, 9, 1, 7),
    (7, 6, 4, 9, 0, 1),
    (1, 5, 7, 3, 9, 4),
    (8, 6, 1, 9, 0, 7),
    (2, 4, 1, 7, 9, 6),
)
"""Known classes of CIFAR-10 per split; 0 and 1 are the same set; the paper's third split is index 2."""

_VEHICLES = (0, 1, 8, 9)
"""Known classes of CIFAR+N in the paper's text and the authors' public code: airplane, automobile, ship, truck."""

_CIFAR_PLUS_VAZE: _Classes = (
    (4, 7, 9, 1),
    (6, 7, 1, 9),
    (9, 6, 1, 7),
    (6, 4, 9, 1),
    (1, 0, 9, 8),
)
"""Known classes of CIFAR+N per split in Vaze's file; 1 and 2 are the same set, only 4 is the vehicles."""

_CIFAR_PLUS_50: _Classes = (
    (
        27, 94, 29, 77, 88, 26, 69, 48, 75, 5, 59, 93, 39, 57, 45, 40, 78, 20, 98, 47, 66, 70, 91, 76, 41, 83, 99, 32,
        53, 72, 2, 95, 21, 73, 84, 68, 35, 11, 55, 60, 30, 25, 1, 9, 8, 0, 46, 52, 49, 71,
    ),
    (
        65, 97, 86, 24, 45, 67, 2, 3, 91, 98, 79, 29, 62, 82, 33, 76, 0, 35, 5, 16, 54, 11, 99, 52, 85, 1, 25, 66, 28,
        84, 23, 56, 75, 46, 21, 72, 55, 68, 8, 69, 41, 9, 49, 40, 73, 60, 48, 30, 95, 71,
    ),
    (
        20, 83, 65, 97, 94, 2, 93, 16, 67, 29, 62, 33, 24, 98, 5, 86, 35, 54, 0, 91, 52, 66, 85, 84, 56, 11, 1, 76, 25,
        55, 21, 99, 72, 41, 23, 75, 28, 68, 69, 46, 8, 9, 49, 40, 73, 60, 48, 95, 30, 71,
    ),
    (
        92, 82, 77, 64, 5, 33, 62, 56, 70, 0, 20, 28, 67, 14, 84, 53, 91, 29, 85, 2, 52, 83, 75, 35, 11, 21, 72, 98,
        55, 1, 41, 76, 25, 66, 69, 9, 48, 54, 40, 23, 95, 60, 30, 73, 46, 49, 68, 99, 8, 71,
    ),
    (
        47, 6, 19, 0, 62, 93, 59, 65, 54, 70, 34, 55, 23, 38, 72, 76, 53, 31, 78, 96, 77, 27, 92, 18, 82, 50, 98, 32,
        1, 75, 83, 4, 51, 35, 80, 11, 74, 66, 36, 42, 33, 2, 3, 97, 46, 21, 64, 63, 88, 43,
    ),
)
"""Unknown CIFAR-100 classes of CIFAR+50 per split; the last ten of each list are those of CIFAR+10."""

_TINYIMAGENET: _Classes = (
    (108, 147, 17, 58, 193, 123, 72, 144, 75, 167, 134, 14, 81, 171, 44, 197, 152, 66, 1, 133),
    (198, 161, 91, 59, 57, 134, 61, 184, 90, 35, 29, 23, 199, 38, 133, 19, 186, 18, 85, 67),
    (177, 0, 119, 26, 78, 80, 191, 46, 134, 92, 31, 152, 27, 60, 114, 50, 51, 133, 162, 93),
    (98, 36, 158, 177, 189, 157, 170, 191, 82, 196, 138, 166, 43, 13, 152, 11, 75, 174, 193, 190),
    (95, 6, 145, 153, 0, 143, 31, 23, 189, 81, 20, 21, 89, 26, 36, 170, 102, 177, 108, 169),
)
"""Known classes of Tiny ImageNet per split; what a number counts is BenchmarkSpec.tinyimagenet_order."""
# fmt: on

_PICKUP_TRUCK = 58
"""The one CIFAR-100 class taken as a CIFAR-10 class (truck). The nearest others differ: bus, streetcar, tractor and
tank are no trucks, wolf and fox no dogs, lion, tiger and leopard no cats."""

_DISJOINT_FROM_CIFAR10 = tuple(label for label in range(100) if label != _PICKUP_TRUCK)

BENCHMARKS = (
    "digits",
    "mnist",
    "svhn",
    "cifar10",
    "cifar+10",
    "cifar+50",
    "tinyimagenet",
    "digits-all",
    "cifar10-all",
)
"""Names of all benchmarks; those on -all know every class and hold out a validation part for the search."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSplit:
    """The classes of one split, as numbers of the data set they come from."""

    known: tuple[int, ...]
    """Original class numbers in the order of their new labels 0 to K-1."""
    unknown: tuple[int, ...]
    """Original class numbers; CIFAR-100 fine labels for cifar+10, cifar+50 and cifar10-all."""


def class_split(
    benchmark: str, split: int, *, cifar_plus_known: Literal["vehicles", "vaze"] = "vehicles"
) -> ClassSplit:
    """Return the known and unknown classes of a benchmark's split (section 4).

    Args:
        benchmark: One of `BENCHMARKS`.
        split: 0 to 4; only 0 for the benchmarks on -all.
        cifar_plus_known: Which known classes CIFAR+N has: the paper's four vehicles, or those of Vaze's file.

    Raises:
        InvalidValue: The benchmark is unknown or has no such split.
    """
    _refuse_unknown(benchmark, split)
    if benchmark.endswith("-all"):
        return ClassSplit(known=tuple(range(10)), unknown=_DISJOINT_FROM_CIFAR10 if benchmark == "cifar10-all" else ())
    if benchmark.startswith("cifar+"):
        known = _VEHICLES if cifar_plus_known == "vehicles" else _CIFAR_PLUS_VAZE[split]
        return ClassSplit(known=known, unknown=_CIFAR_PLUS_50[split][-int(benchmark.removeprefix("cifar+")) :])
    lists = {"digits": _MNIST, "mnist": _MNIST, "svhn": _SVHN, "cifar10": _CIFAR10, "tinyimagenet": _TINYIMAGENET}
    known = lists[benchmark][split]
    classes = 200 if benchmark == "tinyimagenet" else 10
    return ClassSplit(known=known, unknown=tuple(label for label in range(classes) if label not in known))


Task = tuple[str, int]
"""Name of a benchmark and one of its splits."""


def sharing(
    benchmark: str, split: int, *, cifar_plus_known: Literal["vehicles", "vaze"] = "vehicles"
) -> tuple[Task, ...]:
    """Return the tasks that one training serves, the given one among them: same images, same set of known classes.

    CIFAR10 and SVHN have the same known classes in splits 0 and 1; CIFAR+10 and CIFAR+50 differ in the unknown only,
    and with the paper's vehicles all ten of their splits share one training.
    """
    family = ("cifar+10", "cifar+50") if benchmark.startswith("cifar+") else (benchmark,)
    splits = range(1 if benchmark.endswith("-all") else len(_MNIST))
    known = {
        (name, number): frozenset(class_split(name, number, cifar_plus_known=cifar_plus_known).known)
        for name in family
        for number in splits
    }
    _refuse_unknown(benchmark, split)
    return tuple(task for task, classes in known.items() if classes == known[benchmark, split])


def _refuse_unknown(benchmark: str, split: int) -> None:
    if benchmark not in BENCHMARKS:
        raise InvalidValue("benchmark", benchmark, f"one of {', '.join(BENCHMARKS)}")
    if benchmark.endswith("-all") and split != 0:
        raise InvalidValue("split", split, f"0 for {benchmark}, because it knows all classes")
    if not 0 <= split < len(_MNIST):
        raise InvalidValue("split", split, f"a whole number from 0 to {len(_MNIST) - 1}")
