"""Settings side by side: lines, averages over splits, gaps, accepted text."""

from difair_hpc.report.ablation import ablation_table
from difair_hpc.report.layout import csv, markdown, records, texts
from difair_hpc.report.page import report_text, study_note, study_pictures
from difair_hpc.report.rows import ResultRow, StageRows, StudyRows
from difair_hpc.report.tables_of import main_tables, study_tables
from tests.report.made import assert_accepted, diverged, row
from tests.report.test_html import page

FORM = "protocol.weight_decay_form"
SMOOTHING = "method.label_smoothing"
DIFAIR_OWN = {"distance": 0.77, "mos": 0.85, "knn": 0.99}


def made(name: str, method: str, accuracy: float = 0.9, *, split: int = 2, **changes: object) -> ResultRow:
    return row(method, split=split, accuracy=accuracy, signature=name, **changes)


PLAIN = StageRows(
    stage="plain",
    planned=6,
    chooses=False,
    searched={
        "a0": {"method": "difair", FORM: "decoupled", "split": 0},
        "b0": {"method": "difair", FORM: "coupled", "split": 0},
        "c0": {"method": "cross_entropy", FORM: "coupled", "split": 0},
        "a1": {"method": "difair", FORM: "decoupled", "split": 1},
        "b1": {"method": "difair", FORM: "coupled", "split": 1},
        "d0": {"method": "arpl", FORM: "coupled", "split": 0},
    },
    rows=(
        made("a1", "difair", 0.92, split=1, auroc={"distance": 0.75, "mos": 0.85}),
        made("a0", "difair", 0.9, split=0, auroc=DIFAIR_OWN),
        made("b0", "difair", 0.8, split=0, auroc=DIFAIR_OWN),
        made("c0", "cross_entropy", split=0, auroc={"msp": 0.5, "mos": 0.6}, spec__method__label_smoothing=0.0),
        diverged("arpl", split=0, signature="d0"),
    ),
)
SMOOTHED = StageRows(
    stage="smoothed",
    planned=1,
    chooses=False,
    searched={"s2": {"method": "cross_entropy", FORM: "coupled", SMOOTHING: 0.9}},
    rows=(made("s2", "cross_entropy", auroc={"msp": 0.7, "mos": 0.6}, warnings=["one thread"]),),
)


def test_a_line_is_a_setting_in_the_files_order_with_its_splits_averaged() -> None:
    table = ablation_table([PLAIN])
    assert table.header == ("method", "weight_decay_form", "accuracy (%)", "occupancy (%)", "AUROC (%)", "runs")
    # 90 and 92: mean 91, population standard deviation 1; distance 77 and 75: 76 ± 1; mos twice 85
    assert texts(table) == [
        ["DIFAIR", "decoupled", "91.00 ± 1.00", "80.00 ± 0.00", "distance 76.00 ± 1.00, mos 85.00 ± 0.00", "2 runs"],
        ["DIFAIR", "coupled", "80.00", "80.00", "distance 77.00, mos 85.00", "2 runs, 1 without result"],
        ["Cross-entropy", "coupled", "90.00", "·", "msp 50.00, mos 60.00", "c0"],
        ["ARPL", "coupled", "·", "·", "·", "d0, 1 diverged"],
    ]
    assert table.rows[0][-1].links == ("a0", "a1")


def test_scores_that_belong_to_no_method_are_left_to_the_other_tables() -> None:
    assert not any("knn" in key for key in records(ablation_table([PLAIN]))[0])


def test_stages_share_a_table_and_a_key_that_one_of_them_lacks_comes_from_its_runs() -> None:
    table = ablation_table([PLAIN, SMOOTHED])
    shown = {line[0] + " " + line[1]: line[3] for line in texts(table)}
    assert table.header[:4] == ("stage", "method", "weight_decay_form", "label_smoothing")
    assert shown == {
        "plain DIFAIR": "·",
        "plain Cross-entropy": "0",
        "plain ARPL": "·",
        "smoothed Cross-entropy": "0.9",
    }


def test_an_ablation_without_results_lists_what_is_planned() -> None:
    table = ablation_table([StageRows(stage="s", rows=(), planned=1, chooses=False, searched={"x": {"split": 1}})])
    assert texts(table) == [["·", "·", "x, 1 without result"]]
    assert table.notes == ("No run of this study has finished yet.",)


def test_accepted_texts() -> None:
    table = ablation_table([PLAIN, SMOOTHED])
    assert_accepted("ablation.md", markdown(table))
    assert_accepted("ablation.csv", csv(table))


def test_the_report_of_an_ablation_begins_with_it_and_speaks_of_no_choice_and_no_map() -> None:
    study = StudyRows(study="ablation", stages=(PLAIN, SMOOTHED))
    tables = study_tables(study)
    assert main_tables(tables) == [tables["ablation"]]
    assert not any(name.startswith("grid_") for name in tables)
    text = report_text(study, tables, study_pictures(study, {}))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## What was run", "## Ablation: settings side by side", "## Comparison with the paper"]
    assert "chosen yet" not in text
    assert text.count("Ablation: settings side by side") == 1
    assert "| plain | DIFAIR | decoupled |" in study_note(study, tables)
    assert page(study, tables).count("This stage compares settings and chooses none.") == 2


def test_results_that_were_left_out_are_named_below_the_ablation() -> None:
    stage = StageRows(stage="s", rows=(), planned=1, chooses=False, problems=("Left out: y.",))
    assert "Left out: y." in study_tables(StudyRows(study="s", stages=(stage,)))["ablation"].notes
