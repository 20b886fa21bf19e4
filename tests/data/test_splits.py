"""The class splits: the published lists, their known coincidences, and what is refused."""

import hashlib
import json

import pytest

from difair_hpc.data.splits import BENCHMARKS, CIFAR10_NAMES, CIFAR100_NAMES, class_split, sharing
from difair_hpc.errors import InvalidValue

OPEN_SET = ("digits", "mnist", "svhn", "cifar10", "cifar+10", "cifar+50", "tinyimagenet")
SIZES = {
    "digits": (6, 4),
    "mnist": (6, 4),
    "svhn": (6, 4),
    "cifar10": (6, 4),
    "cifar+10": (4, 10),
    "cifar+50": (4, 50),
    "tinyimagenet": (20, 180),
}


@pytest.mark.parametrize("benchmark", OPEN_SET)
@pytest.mark.parametrize("split", range(5))
def test_every_split_has_its_number_of_different_classes(benchmark: str, split: int) -> None:
    classes = class_split(benchmark, split)
    assert (len(set(classes.known)), len(set(classes.unknown))) == SIZES[benchmark]
    assert (len(classes.known), len(classes.unknown)) == SIZES[benchmark]
    if not benchmark.startswith("cifar+"):
        assert not set(classes.known) & set(classes.unknown)


def test_the_papers_third_cifar10_split_is_index_2_in_the_papers_order() -> None:
    names = [CIFAR10_NAMES[label] for label in class_split("cifar10", 2).known]
    assert names == ["automobile", "dog", "horse", "cat", "truck", "deer"]  # appendix E.2
    assert [CIFAR10_NAMES[label] for label in class_split("cifar10", 2).unknown] == ["airplane", "bird", "frog", "ship"]


@pytest.mark.parametrize(
    ("benchmark", "equal"), [("mnist", set()), ("svhn", {(0, 1)}), ("cifar10", {(0, 1)}), ("tinyimagenet", set())]
)
def test_which_splits_are_the_same_set(benchmark: str, equal: set[tuple[int, int]]) -> None:
    known = [frozenset(class_split(benchmark, split).known) for split in range(5)]
    assert {(a, b) for a in range(5) for b in range(a + 1, 5) if known[a] == known[b]} == equal


def test_cifar_plus_has_two_readings_of_what_is_known() -> None:
    vehicles = [class_split("cifar+10", split).known for split in range(5)]
    vaze = [class_split("cifar+50", split, cifar_plus_known="vaze").known for split in range(5)]
    assert vehicles == [(0, 1, 8, 9)] * 5
    assert vaze == [(4, 7, 9, 1), (6, 7, 1, 9), (9, 6, 1, 7), (6, 4, 9, 1), (1, 0, 9, 8)]


@pytest.mark.parametrize("split", range(5))
def test_the_unknown_of_cifar_plus_10_end_the_list_of_cifar_plus_50(split: int) -> None:
    assert class_split("cifar+50", split).unknown[-10:] == class_split("cifar+10", split).unknown


def test_the_unknown_of_cifar_plus_10_by_name() -> None:
    names = [CIFAR100_NAMES[label] for label in class_split("cifar+10", 4).unknown]
    assert names == ["forest", "baby", "bear", "wolf", "man", "chimpanzee", "possum", "porcupine", "tiger", "lion"]


def test_all_lists_are_those_of_vazes_file() -> None:
    lists = {
        name: [class_split(name, split).known for split in range(5)]
        for name in ("mnist", "svhn", "cifar10", "tinyimagenet")
    }
    lists["cifar+ vaze"] = [class_split("cifar+10", split, cifar_plus_known="vaze").known for split in range(5)]
    for name in ("cifar+10", "cifar+50"):
        lists[name] = [class_split(name, split).unknown for split in range(5)]
    # Taken over the lists of osr_splits.py (3258f05) in its order, not over ours.
    expected = "ef6b4b618c455b63d18f9024deddde3fa8dce690b89440183775afcc37e29439"
    assert hashlib.sha256(json.dumps(lists).encode()).hexdigest() == expected


def test_cifar100_names_are_the_100_in_alphabetical_order() -> None:
    assert len(set(CIFAR100_NAMES)) == 100
    assert list(CIFAR100_NAMES) == sorted(CIFAR100_NAMES)
    assert (CIFAR100_NAMES[0], CIFAR100_NAMES[58], CIFAR100_NAMES[99]) == ("apple", "pickup_truck", "worm")


def test_search_benchmarks_know_all_classes() -> None:
    assert class_split("digits-all", 0).known == tuple(range(10))
    assert class_split("digits-all", 0).unknown == ()
    unknown = class_split("cifar10-all", 0).unknown
    assert len(unknown) == 99
    assert 58 not in unknown  # a pickup truck is a truck


@pytest.mark.parametrize("benchmark", ["digits-all", "cifar10-all"])
def test_search_benchmarks_have_one_split_only(benchmark: str) -> None:
    with pytest.raises(InvalidValue, match=f"split=1 is not possible: allowed is 0 for {benchmark}"):
        class_split(benchmark, 1)


def test_an_unknown_benchmark_lists_the_valid_ones() -> None:
    with pytest.raises(InvalidValue) as caught:
        class_split("cifar11", 0)
    assert str(caught.value).startswith("benchmark=cifar11 is not possible: allowed is one of digits, mnist")
    assert all(name in str(caught.value) for name in BENCHMARKS)


@pytest.mark.parametrize(
    ("task", "served"),
    [
        (("cifar10", 1), [("cifar10", 0), ("cifar10", 1)]),
        (("svhn", 0), [("svhn", 0), ("svhn", 1)]),
        (("cifar10", 2), [("cifar10", 2)]),
        (("mnist", 4), [("mnist", 4)]),
        (("cifar10-all", 0), [("cifar10-all", 0)]),
        (("cifar+50", 3), [(name, split) for name in ("cifar+10", "cifar+50") for split in range(5)]),
    ],
    ids=str,
)
def test_one_training_serves_every_task_with_the_same_known_classes(
    task: tuple[str, int], served: list[tuple[str, int]]
) -> None:
    assert list(sharing(*task)) == served


def test_with_the_known_classes_of_vazes_file_splits_1_and_2_share_a_training() -> None:
    assert sharing("cifar+10", 0, cifar_plus_known="vaze") == (("cifar+10", 0), ("cifar+50", 0))
    assert len(sharing("cifar+50", 2, cifar_plus_known="vaze")) == 4
