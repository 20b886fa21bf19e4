"""The tables of differences and ranks: which splits count, when images are resampled, and what is said of it."""

import numpy as np
import pytest
import torch

from difair_hpc.osr.metrics import auroc
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.report.images import RunImages, Scored
from difair_hpc.report.layout import Cell, Table, markdown, texts
from difair_hpc.report.pairs import comparison_tables
from difair_hpc.report.rows import ResultRow, RowKey
from tests.report.made import assert_accepted, diverged, row

SCORES = {"difair": "mos", "cac": "cac", "cross_entropy": "mos", "arpl": "arpl"}


def made(method: str, auroc: float, benchmark: str = "mnist", split: int = 0, **changes: object) -> ResultRow:
    return row(
        method, benchmark, split, auroc={SCORES[method]: auroc}, data_fingerprint=f"{benchmark}{split}", **changes
    )


def at(table: Table, method: str, measure: str, column: str) -> Cell:
    index = table.header.index(column)
    return next(cells[index] for cells in table.rows if (cells[0].text, cells[1].text) == (method, measure))


def compared(rows: list[ResultRow], images: dict[RowKey, RunImages] | None = None) -> Table:
    return comparison_tables(rows, images or {})["comparison"]


def test_differences_are_taken_split_by_split() -> None:
    # +2 and -1 points on the splits both have: mean +0.5, and with two units the bounds are the two differences
    rows = [made("difair", 0.92), made("cac", 0.90), made("difair", 0.80, split=1), made("cac", 0.81, split=1)]
    table = compared([*rows, made("difair", 0.99, split=2), made("cac", 0.5, split=3)])
    assert at(table, "CAC", "AUROC", "MNIST").text == "+0.5 [-1.0, +2.0] (n=2, splits only)"
    assert at(table, "CAC", "accuracy", "MNIST").text == "0.0 [0.0, 0.0] (n=2, splits only)"
    assert dict(at(table, "CAC", "AUROC", "MNIST").parts)["mean"] == pytest.approx(0.5)
    assert at(table, "CAC", "AUROC", "MNIST").links == tuple(made.signature for made in rows)


def test_seeds_of_a_split_are_averaged_first() -> None:
    rows = [made("difair", 0.9), made("difair", 0.94, seed=1), made("cac", 0.9)]
    assert at(compared(rows), "CAC", "AUROC", "MNIST").text == "+2.0 (n=1, splits only)"


@pytest.mark.parametrize("benchmark", ["cifar10", "svhn"])
def test_splits_with_the_same_classes_count_once(benchmark: str) -> None:
    rows = [made(m, a, benchmark, split) for split in (0, 1) for m, a in (("difair", 0.9 + split / 10), ("cac", 0.8))]
    table = compared(rows)
    assert at(table, "CAC", "AUROC", table.header[2]).text == "+10.0 (n=1, splits only)"
    # where split 0 lacks a run of one method, split 1 counts
    assert at(compared(rows[1:]), "CAC", "AUROC", table.header[2]).text == "+20.0 (n=1, splits only)"


def test_cifar_plus_has_one_accuracy_and_five_tasks() -> None:
    rows = [made(method, 0.9, "cifar+10", split) for method in ("difair", "cac") for split in range(5)]
    table = compared(rows)
    assert "(n=5" in at(table, "CAC", "AUROC", "CIFAR+10").text
    assert "(n=1" in at(table, "CAC", "accuracy", "CIFAR+10").text
    # with Vaze's known classes only 1 and 2 are the same set
    vaze = [
        made(method, 0.9, "cifar+10", split, spec__benchmark__cifar_plus_known="vaze")
        for method in ("difair", "cac")
        for split in range(5)
    ]
    assert "(n=4" in at(compared(vaze), "CAC", "accuracy", "CIFAR+10").text


def test_signed_ranks_run_over_all_benchmarks() -> None:
    # seven splits of two benchmarks with differences 1 to 7 points, all for DIFAIR: p = 2 / 2**7
    places = [("mnist", split) for split in range(5)] + [("tinyimagenet", 0), ("tinyimagenet", 1)]
    rows = [made("difair", 0.8 + (n + 1) / 100, *place) for n, place in enumerate(places)]
    rows += [made("cac", 0.8, *place) for place in places]
    # cross-entropy ran on six of them, with one difference against DIFAIR, the smallest: p = 4 / 2**6
    rows += [made("cross_entropy", 0.8 if n else 0.82, *place) for n, place in enumerate(places[:6])]
    table = compared(rows)
    # Holm: the smaller p times 2, the other as it is
    assert at(table, "CAC", "AUROC", "signed ranks").text == "p 0.016, Holm 0.031 (n=7)"
    assert at(table, "Cross-entropy", "AUROC", "signed ranks").text == "p 0.062, Holm 0.062 (n=6)"
    assert at(table, "CAC", "accuracy", "signed ranks").text == "n too small (n=0, least p 1)"


def test_splits_of_one_training_are_one_difference_in_the_signed_ranks() -> None:
    def rows(**weights: str) -> list[ResultRow]:
        return [
            made(method, value, "cifar+50", split, **({"weights_sha256": weights[method]} if method in weights else {}))
            for split in range(5)
            for method, value in (("difair", 0.9), ("cac", 0.8))
        ]

    assert at(compared(rows()), "CAC", "AUROC", "signed ranks").text == "n too small (n=5, least p 0.062)"
    shared = compared(rows(difair="w", cac="v"))
    assert at(shared, "CAC", "AUROC", "signed ranks").text == "n too small (n=1, least p 1)"
    assert "(n=5" in at(shared, "CAC", "AUROC", "CIFAR+50").text


def test_only_the_score_that_was_fixed_beforehand_is_compared() -> None:
    rows = [row("difair", auroc={"distance": 0.99, "mos": 0.8}), row("cac", auroc={"cac": 0.7, "mos": 0.95})]
    assert at(compared(rows), "CAC", "AUROC", "CIFAR10").text == "+10.0 (n=1, splits only)"
    assert comparison_tables([rows[0], row("cac", auroc={"mos": 0.9})], {}) == {}


def test_runs_that_differ_in_more_than_the_method_are_marked_and_named() -> None:
    table = compared([made("difair", 0.9), made("cac", 0.8, epochs=30), made("cross_entropy", 0.8)])
    assert at(table, "CAC", "AUROC", "MNIST").text == "+10.0 ! (n=1, splits only)"
    assert at(table, "Cross-entropy", "AUROC", "MNIST").text == "+10.0 (n=1, splits only)"
    assert table.notes[-1].startswith("! CAC on MNIST: the runs differ in more than the method: epochs 30 and 600")
    other = row("cac", "mnist", auroc={"cac": 0.8}, data_fingerprint="other")
    assert any("saw different images" in note for note in compared([made("difair", 0.9), other]).notes)


@pytest.mark.parametrize(
    "rows", [[], [made("cac", 0.8)], [made("difair", 0.8)], [made("difair", 0.8), diverged("cac", "mnist")]]
)
def test_without_two_methods_on_one_split_there_is_nothing_to_compare(rows: list[ResultRow]) -> None:
    assert comparison_tables(rows, {}) == {}


def test_ranks_count_places_that_all_methods_share() -> None:
    values = {"difair": (0.9, 0.7, 0.9), "cac": (0.8, 0.7, 0.8), "cross_entropy": (0.7, 0.6)}
    rows = [made(method, value, split=n) for method, found in values.items() for n, value in enumerate(found)]
    # split 0: 1 2 3; split 1: 1.5 1.5 3; split 2 lacks cross-entropy
    table = comparison_tables(rows, {})["ranks"]
    assert texts(table) == [["DIFAIR", "mos", "1.25"], ["CAC", "cac", "1.75"], ["Cross-entropy", "mos", "3.00"]]
    assert "n=2 places" in table.notes[0]
    assert "ranks" not in comparison_tables([*rows, made("arpl", 0.9, split=4)], {})


def seen(method: str, split: int, shift: float, *, count: int = 80) -> tuple[ResultRow, RunImages]:
    """Return a run with scores of single images; its images are those of every method on this split."""
    rng = np.random.default_rng(split)
    known, unknown = rng.normal(size=count), rng.normal(size=60) + shift
    labels = rng.integers(0, 6, count)
    predictions = np.where(rng.random(count) < 0.9, labels, (labels + 1) % 6)
    part = [Part(features_BD=torch.zeros(n, 1), logits_BK=None, labels_B=torch.zeros(n).long()) for n in (count, 60)]
    part[0] = Part(features_BD=part[0].features_BD, logits_BK=None, labels_B=torch.tensor(labels))
    score = SCORES[method]
    accuracy = float((predictions == labels).mean())
    ran = made(method, auroc(known, unknown), split=split, accuracy=accuracy)
    return ran, RunImages(
        row=ran,
        outputs=Outputs(train=part[1], known=part[0], unknown=part[1], head={}),
        class_names=("a", "b", "c", "d", "e", "f"),
        unknown_names={0: "z"},
        known=Scored(predictions_B=predictions, scores={score: known}, distances_BK=None),
        unknown=Scored(predictions_B=np.zeros(60, dtype=np.int64), scores={score: unknown}, distances_BK=None),
        points_KD=None,
        space="logits",
    )


def together(*runs: tuple[ResultRow, RunImages]) -> tuple[list[ResultRow], dict[RowKey, RunImages]]:
    return [ran for ran, _ in runs], {ran.key: images for ran, images in runs}


def bounds(cell: Cell) -> tuple[float, float]:
    parts = dict(cell.parts)
    low, high = parts["low"], parts["high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


def test_images_give_one_split_an_interval_around_its_difference() -> None:
    table = compared(*together(seen("difair", 0, 1.5), seen("cac", 0, 1.0)))
    found = at(table, "CAC", "AUROC", "MNIST")
    assert found.text.endswith(" (n=1)")
    low, high = bounds(found)
    mean = dict(found.parts)["mean"]
    assert isinstance(mean, float)
    assert low < mean < high
    assert not any(note.startswith("splits only") for note in table.notes)


def test_the_same_images_for_both_methods_leave_no_chance_in_equal_methods() -> None:
    table = compared(
        *together(seen("difair", 0, 1.0), seen("cac", 0, 1.0), seen("difair", 1, 1.0), seen("cac", 1, 1.0))
    )
    assert at(table, "CAC", "AUROC", "MNIST").text == "0.0 [0.0, 0.0] (n=2)"
    assert at(table, "CAC", "accuracy", "MNIST").text == "0.0 [0.0, 0.0] (n=2)"


def test_resampled_images_widen_the_interval_of_the_splits() -> None:
    runs = [seen(method, split, shift) for split in (0, 1) for method, shift in (("difair", 1.5), ("cac", 1.0))]
    rows, images = together(*runs)
    with_images, without = (bounds(at(compared(rows, held), "CAC", "AUROC", "MNIST")) for held in (images, {}))
    assert with_images[0] < without[0] < without[1] < with_images[1]


@pytest.mark.parametrize("problem", ["missing", "other images", "other AUROC"])
def test_without_matching_image_scores_only_splits_are_resampled_and_that_is_said(problem: str) -> None:
    runs = [seen(method, split, shift) for split in (0, 1) for method, shift in (("difair", 1.5), ("cac", 1.0))]
    if problem == "other images":
        runs[3] = seen("cac", 1, 1.0, count=70)
        runs[3] = (row("cac", "mnist", 1, auroc=runs[3][0].auroc, data_fingerprint="elsewhere"), runs[3][1])
    if problem == "other AUROC":
        runs[3] = (made("cac", 0.5, split=1), runs[3][1])
    rows, images = together(*runs)
    if problem == "missing":
        del images[rows[3].key]
    table = compared(rows, images)
    assert at(table, "CAC", "AUROC", "MNIST").text.endswith("(n=2, splits only)")
    assert sum(note.startswith("splits only: ") for note in table.notes) == 1


def test_the_same_runs_give_the_same_table() -> None:
    rows, images = together(seen("difair", 0, 1.5), seen("cac", 0, 1.0), seen("cross_entropy", 0, 0.5))
    assert compared(rows, images) == compared(rows[::-1], images)
    assert at(compared(rows, images), "CAC", "AUROC", "MNIST") == at(
        compared(rows[:2], images), "CAC", "AUROC", "MNIST"
    )


def test_accepted_text() -> None:
    runs = [
        seen(method, split, shift + split / 10)
        for split in range(3)
        for method, shift in (("difair", 1.3), ("cac", 1.0), ("cross_entropy", 1.2))
    ]
    rows, images = together(*runs)
    rows += [made("difair", 0.9, "svhn", 2), made("cac", 0.91, "svhn", 2, epochs=30)]
    tables = comparison_tables(rows, images)
    assert_accepted("comparison.md", "\n".join(markdown(table) for table in tables.values()))
