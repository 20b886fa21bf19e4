"""Tables 1 and 2 and the search's list: numbers worked by hand, missing, mixed and diverged places, accepted texts."""

import pytest

from difair_hpc.report.layout import Cell, Plain, Table, csv, markdown, records, texts
from difair_hpc.report.rows import ResultRow
from difair_hpc.report.tables import accuracy_table, auroc_table
from tests.report.made import assert_accepted, diverged, row


def cell(table: Table, line: str, column: str) -> Cell:
    index = table.header.index(column)
    return next(cells[index] for cells in table.rows if cells[0].text == line)


def part(table: Table, line: str, key: str) -> Plain:
    return next(record[key] for record in records(table) if record["Method"] == line)


def five_splits(method: str = "difair", benchmark: str = "cifar10", **changes: object) -> list[ResultRow]:
    # accuracies 94, 95, 96, 97, 98 %: mean 96, population deviation sqrt((4 + 1 + 0 + 1 + 4) / 5) = sqrt 2
    return [
        row(
            method,
            benchmark,
            split,
            accuracy=0.94 + split / 100,
            auroc={"distance": 0.75 + split / 100, "mos": 0.85},
            **changes,
        )
        for split in range(5)
    ]


def test_five_splits_give_mean_population_deviation_and_signed_difference() -> None:
    table = accuracy_table(five_splits())
    # mean 96.0; the paper 95.8 with deviation 1.2; difference +0.2
    assert cell(table, "DIFAIR", "CIFAR10").text == "96.0 ± 1.4 [95.8 ± 1.2, +0.2]"
    assert part(table, "DIFAIR", "CIFAR10 mean") == pytest.approx(96.0)
    assert part(table, "DIFAIR", "CIFAR10 std") == pytest.approx(2**0.5)
    assert part(table, "DIFAIR", "CIFAR10 splits") == 5
    assert part(table, "DIFAIR", "CIFAR10 difference") == pytest.approx(0.2)


def test_each_score_has_its_own_line() -> None:
    table = auroc_table(five_splits())
    # distance: 75..79, mean 77.0 against 77.3; mos: 85.0 five times against 86.5
    assert cell(table, "DIFAIR", "CIFAR10").text == "77.0 ± 1.4 [77.3, -0.3]"
    assert cell(table, "DIFAIR†", "CIFAR10").text == "85.0 ± 0.0 [86.5, -1.5]"


def test_mos_of_cross_entropy_is_the_maximum_logit_score() -> None:
    scores = {"msp": 0.89, "mos": 0.92, "celr": 0.5}
    table = auroc_table([row("cross_entropy", split=split, auroc=scores) for split in range(5)])
    assert cell(table, "MSP", "CIFAR10").text == "89.0 ± 0.0 [89.0, 0.0]"
    assert cell(table, "MLS†", "CIFAR10").text == "92.0 ± 0.0 [92.0, 0.0]"
    assert cell(table, "CELR", "CIFAR10").text == "50.0 ± 0.0 [57.1, -7.1]"


def test_seeds_are_averaged_within_a_split_before_splits_are() -> None:
    # split 0: 90 and 94, mean 92; split 1: 98 once. Mean of splits 95.0 (of runs: 94.0), deviation 3.0
    rows = [row(accuracy=0.90), row(seed=1, accuracy=0.94), row(split=1, accuracy=0.98)]
    assert cell(accuracy_table(rows), "DIFAIR", "CIFAR10").text == "95.0 ± 3.0 (n=2) [95.8 ± 1.2, -0.8]"


def test_one_split_has_no_deviation() -> None:
    table = accuracy_table([row(accuracy=0.9)])
    assert cell(table, "DIFAIR", "CIFAR10").text == "90.0 (n=1) [95.8 ± 1.2, -5.8]"
    assert part(table, "DIFAIR", "CIFAR10 std") is None


def test_places_without_a_run_or_without_a_published_number() -> None:
    table = auroc_table(five_splits("difair", "digits"))
    assert table.header[1:] == ("digits", "MNIST", "SVHN", "CIFAR10", "CIFAR+10", "CIFAR+50", "TinyImageNet")
    assert cell(table, "DIFAIR", "digits").text == "77.0 ± 1.4 [–]"
    assert cell(table, "MSP", "digits").text == "· [–]"
    assert cell(table, "MSP", "MNIST").text == "· [99.4]"
    assert part(table, "MSP", "MNIST difference") is None


def test_quoted_lines_keep_the_papers_number_only() -> None:
    table = auroc_table(five_splits())
    assert cell(table, "DCHS (Cevikalp et al., 2023)", "CIFAR10").text == "· [94.7]"
    assert cell(table, "MLS† (Vaze et al., 2022)", "SVHN").text == "· [97.1]"
    said = [any(note.startswith("Lines with a citation") for note in t.notes) for t in (table, accuracy_table([]))]
    assert said == [True, False]


def test_difair_std_is_listed_once_it_has_a_run() -> None:
    assert "DIFAIR-std" not in [line[0] for line in texts(auroc_table(five_splits()))]
    table = auroc_table([row("difair_std", split=2, auroc={"distance": 0.739, "mos": 0.84})])
    assert cell(table, "DIFAIR-std", "CIFAR10").text == "73.9 (n=1) [–]"
    # appendix E.2 prints 72.9 and 84.0 for this very split
    assert any("DIFAIR-std 73.9 [72.9, +1.0]; DIFAIR-std† 84.0 [84.0, 0.0]" in note for note in table.notes)


def test_rivals_trained_here_stand_after_the_quoted_row_they_belong_to() -> None:
    rows = [row("arpl", auroc={"arpl": 0.7}), row("arpl_cs", auroc={"arpl": 0.8}), row("dchs", auroc={"dchs": 0.9})]
    table = auroc_table(rows)
    names = [line[0] for line in texts(table)]
    start = names.index("DCHS (Cevikalp et al., 2023)")
    assert names[start + 1 : start + 5] == [
        "DCHS without outside images (ours)",
        "(ARPL+CS)+ (Vaze et al., 2022)",
        "ARPL+CS (ours, same protocol)",
        "ARPL (ours, same protocol)",
    ]
    assert cell(table, "DCHS without outside images (ours)", "CIFAR10").text == "90.0 (n=1) [–]"
    assert not any("ours" in line[0] for line in texts(auroc_table([])))
    assert [line[0] for line in texts(accuracy_table(rows))][-3:] == ["ARPL", "ARPL+CS", "DCHS without outside images"]


def test_every_number_names_its_runs_by_split_and_seed() -> None:
    rows = [row(split=1), row(seed=1), row(), diverged(split=2)]
    table = accuracy_table(rows)
    assert cell(table, "DIFAIR", "CIFAR10").links == tuple(f"difair-cifar10-{n}-600" for n in ("0-0", "0-1", "1-0"))
    assert cell(table, "DIFAIR", "MNIST").links == ()


def test_results_of_one_training_are_named_below_the_table() -> None:
    rows = [row(weights_sha256="w"), row(split=1, weights_sha256="w"), diverged("cac")]
    assert any(note.startswith("1 training stands behind 2 results") for note in accuracy_table(rows).notes)
    assert not any("behind" in note for note in accuracy_table(five_splits()).notes)


def test_runs_of_different_code_are_marked_and_places_with_the_same_difference_share_a_note() -> None:
    rows = [
        row(method, split=split, versions={"commit": commit, "python": f"3.1{split}"})
        for method in ("difair", "cac")
        for split, commit in enumerate(("a1", "b2"))
    ]
    table = accuracy_table(rows)
    assert " ! (n=2)" in cell(table, "CAC", "CIFAR10").text
    assert (
        "! CAC on CIFAR10 and DIFAIR on CIFAR10 average runs that differ in: versions.commit a1 and b2." in table.notes
    )


def test_different_images_of_one_split_are_marked_in_every_method() -> None:
    rows = [row(data_fingerprint="a" * 64), row("cac", data_fingerprint="b" * 64), row("cac", "mnist")]
    table = accuracy_table([*rows, row(split=1, data_fingerprint="c" * 64)])
    assert " ! " in cell(table, "DIFAIR", "CIFAR10").text
    assert " ! " in cell(table, "CAC", "CIFAR10").text
    assert " ! " not in cell(table, "CAC", "MNIST").text
    assert sum("CIFAR10 split 0: the runs saw different images" in note for note in table.notes) == 1


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        ({"instructions": "DEFAULT"}, "versions.instructions AVX512 and DEFAULT"),
        ({"arithmetic": "MKL_CBWR=AVX2"}, "versions.arithmetic MKL_CBWR=AVX2 and as delivered"),
        ({}, ""),
        (None, ""),
    ],
)
def test_runs_that_were_computed_in_another_way_are_marked_where_that_is_on_record(
    hardware: dict[str, str] | None, words: str
) -> None:
    known = {"instructions": "AVX512", "arithmetic": ""}
    other = {} if hardware is None else {"hardware": known | hardware}
    table = accuracy_table([row(hardware=known), row(split=1, **other)])
    assert (" ! (n=2)" in cell(table, "DIFAIR", "CIFAR10").text) is bool(words)
    assert any(words in note for note in table.notes)


def test_diverged_runs_are_left_out_and_named() -> None:
    table = accuracy_table([*five_splits()[:4], diverged(split=4)])
    # 94, 95, 96, 97: mean 95.5, deviation sqrt(1.25)
    assert cell(table, "DIFAIR", "CIFAR10").text == "95.5 ± 1.1 (n=4) [95.8 ± 1.2, -0.3]"
    assert any("diverged: DIFAIR cifar10 split 4 (difair-cifar10-4-0-600)" in note for note in table.notes)


def test_a_place_whose_runs_all_diverged_is_missing() -> None:
    table = auroc_table([diverged(benchmark="digits")])
    assert cell(table, "DIFAIR", "digits").text == "· [–]"
    assert any("digits split 0" in note for note in table.notes)


def test_many_diverged_runs_are_counted() -> None:
    table = accuracy_table([diverged(seed=seed) for seed in range(13)])
    assert any(note.endswith("; 3 more.") for note in table.notes)


def test_different_epochs_in_one_place_are_marked() -> None:
    rows = [*five_splits()[:4], row(split=4, accuracy=0.98, epochs=30)]
    table = accuracy_table(rows)
    assert cell(table, "DIFAIR", "CIFAR10").text == "96.0 ± 1.4 ! [95.8 ± 1.2, +0.2]"
    assert part(table, "DIFAIR", "CIFAR10 mixed") == 1
    assert "! DIFAIR on CIFAR10 averages runs that differ in: epochs 30 and 600." in table.notes


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("spec__protocol__learning_rate", 0.01, "protocol.learning_rate 0.01 and 0.1"),
        ("spec__method__alpha", 8, "method.alpha 8 and 10"),
        ("spec__network__dropout", "channel", "network.dropout channel and element"),
        ("evaluation__held_out", "validation", "held_out test and validation"),
    ],
)
def test_other_settings_in_one_place_are_marked(key: str, value: object, words: str) -> None:
    table = accuracy_table([row(), row(split=1, **{key: value})])
    assert " ! (n=2)" in cell(table, "DIFAIR", "CIFAR10").text
    assert any(note.endswith(f"differ in: {words}.") for note in table.notes)


def test_settings_may_differ_between_places_and_in_spelling() -> None:
    rows = [
        row(),
        row(benchmark="tinyimagenet", spec__protocol__learning_rate=0.01),
        row(split=1, spec__method__alpha=10),
    ]
    assert not any("differ in" in note for note in accuracy_table(rows).notes)


def test_the_same_run_counts_once() -> None:
    rows = [row(accuracy=0.9), row(accuracy=0.9), row(seed=1, accuracy=0.93)]
    assert cell(accuracy_table(rows), "DIFAIR", "CIFAR10").text.startswith("91.5 (n=1)")


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [*five_splits(), *five_splits("cac"), diverged(split=3, seed=9), row(warnings=["b", "a"], seed=4)]
    assert markdown(accuracy_table(rows)) == markdown(accuracy_table(rows[::-1]))


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (600, "Trained for 600 epochs, as in the paper."),
        (30, "Trained for 30 epochs (CIFAR10). The paper trained for 600"),
        (1, "Trained for 1 epoch (CIFAR10). The paper trained for 600"),
    ],
)
def test_the_length_of_training_is_said(epochs: int, words: str) -> None:
    notes = [note for note in accuracy_table([row(epochs=epochs)]).notes if note.startswith("Trained")]
    assert len(notes) == 1
    assert notes[0].startswith(words)
    assert ("NOT comparable" in notes[0]) == (epochs != 600)


def test_other_hyperparameters_than_the_papers_are_said() -> None:
    notes = accuracy_table([row(spec__method__alpha=8.0)]).notes
    assert any("DIFAIR ran here with alpha 8, radius_coefficient 0.4, features_per_class 5;" in note for note in notes)
    assert not any("ran here with" in note for note in accuracy_table([row(), row("cac")]).notes)


@pytest.mark.parametrize(
    ("benchmark", "key", "value", "words"),
    [
        ("cifar+10", "spec__benchmark__cifar_plus_known", "vaze", "four vehicle classes"),
        ("tinyimagenet", "spec__benchmark__tinyimagenet_order", "sorted", "wnids.txt"),
        ("mnist", "evaluation__held_out", "validation", "measured on validation images"),
    ],
)
def test_classes_or_images_other_than_the_papers_are_said(benchmark: str, key: str, value: str, words: str) -> None:
    assert any(words in note for note in accuracy_table([row(benchmark=benchmark, **{key: value})]).notes)
    assert not any(words in note for note in accuracy_table([row(benchmark=benchmark)]).notes)


def test_each_distinct_warning_stands_once_with_its_count() -> None:
    rows = [row(warnings=["partial data", "partial data"]), row(split=1, warnings=["partial data", "one thread"])]
    assert [note for note in accuracy_table(rows).notes if note.startswith("Warning")] == [
        "Warning of 1 run: one thread",
        "Warning of 2 runs: partial data",
    ]


def test_without_any_run_the_papers_numbers_still_stand() -> None:
    table = accuracy_table([])
    assert cell(table, "CAC", "SVHN").text == "· [98.2 ± 0.1]"
    assert any("No run of a final stage has finished" in note for note in table.notes)


def study_rows() -> list[ResultRow]:
    digits = five_splits("difair", "digits", epochs=30, warnings=["trained on | one = thread"])
    cross_entropy = [
        row("cross_entropy", "mnist", k, accuracy=0.99, auroc={"msp": 0.99, "mos": 0.995}) for k in range(3)
    ]
    return [*digits, *five_splits(), *cross_entropy, diverged("cac", "svhn", 1)]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("table1", auroc_table(study_rows())),
        ("table2", accuracy_table(study_rows())),
    ],
)
def test_accepted_texts(name: str, table: Table) -> None:
    assert_accepted(f"{name}.md", markdown(table))
    assert_accepted(f"{name}.csv", csv(table))
