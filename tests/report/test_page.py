"""The report's folder: complete, half-finished and empty studies, repeated writing, what its imports cost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from difair_hpc.errors import RootUnusable
from difair_hpc.report.canvas import new_figure
from difair_hpc.report.page import Picture, report_text, study_note, study_pictures, write_report
from difair_hpc.report.rows import StageRows, StudyRows
from difair_hpc.report.tables_of import study_tables
from tests.report.made import assert_accepted, diverged, row, searched
from tests.report.test_html import cost

CHOSEN = {"alpha": 10.0, "radius_coefficient": 0.4}
HISTORY = [{"epoch": epoch, "loss": 1.0 / (epoch + 1), "weight_spread.cat": 0.02} for epoch in range(6)]


TABLES = ("table1", "table2", "runs")


def study() -> StudyRows:
    coarse = tuple(searched(a, c, 0.9 + a / 1000, warnings=["one | thread"]) for a in (8, 10) for c in (0.4, 0.6))
    final = (row(split=2, accuracy=0.93, auroc={"distance": 0.76, "mos": 0.85}), diverged(split=3))
    return StudyRows(
        study="paper",
        stages=(
            StageRows(stage="coarse", rows=coarse, planned=4, reasons=("Best accuracy below 0.5.",), chosen=(CHOSEN,)),
            StageRows(stage="fine", rows=(), planned=15),
            StageRows(stage="final", rows=final, planned=5),
        ),
    )


def text_of(made: StudyRows) -> str:
    return report_text(made, study_tables(made), study_pictures(made, {}))


def test_all_files_are_written_and_named(tmp_path: Path) -> None:
    written = write_report(study(), tmp_path / "report", histories={"difair-cifar10-2-0-600": HISTORY})
    tables = {f"{name}.{kind}" for name in (*TABLES, "grid_coarse", "grid_fine") for kind in ("md", "csv", "tex")}
    searched = [f"{name}_coarse" for name in ("accuracy", "occupancy", "importances", "pareto")]
    names = (*searched, "training", "weight_spread_difair-cifar10-2-0-600")
    pictures = {f"{name}.{kind}" for name in names for kind in ("png", "svg", "pdf")}
    assert {path.name for path in written} == tables | pictures | {"report.md", "report.html"}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {path.name for path in written}
    assert written[-1].name == "report.md"


def test_every_link_of_the_report_leads_to_a_file(tmp_path: Path) -> None:
    written = write_report(study(), tmp_path, histories={"difair-cifar10-2-0-600": HISTORY})
    links = re.findall(r"\]\(([^)]+)\)", written[-1].read_text(encoding="utf-8"))
    assert len(links) == 18
    assert all((tmp_path / link).is_file() for link in links)


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_report(study(), tmp_path)}
    assert {path.name: path.read_bytes() for path in write_report(study(), tmp_path)} == first


def test_the_accepted_report() -> None:
    assert_accepted("report.md", text_of(study()))


def test_a_half_finished_study_says_what_is_missing() -> None:
    text = text_of(study())
    assert "| coarse | 4 | 4 | 0 | 0 |" in text
    assert "| fine | 15 | 0 | 0 | 15 |" in text
    assert "| final | 5 | 1 | 1 | 3 |" in text
    assert "The study is not finished: 18 runs have not ended" in text
    assert "No run of this stage can be drawn yet." in text


def test_what_was_pruned_is_counted_and_listed_with_its_reason() -> None:
    stage = StageRows(
        stage="coarse",
        rows=(searched(8, 0.4, 0.9),),
        planned=3,
        searched={"abc": {"method.alpha": 2, "method.radius": 1.5}},
        pruned={"abc": "closed_set_accuracy 0.4000 at epoch 200; 0.5000 was needed"},
    )
    text = text_of(StudyRows(study="s", stages=(stage,)))
    assert "| Stage | planned | completed | diverged | pruned | not ended |" in text
    assert "| coarse | 3 | 1 | 0 | 1 | 1 |" in text
    assert (
        "- Pruned: run abc (method.alpha=2, method.radius=1.5): closed_set_accuracy 0.4000 at epoch 200; "
        "0.5000 was needed."
    ) in text


def test_the_choice_and_its_reasons_stand_in_the_report() -> None:
    text = text_of(study())
    assert "Chosen: alpha = 10, radius_coefficient = 0.4.\n\n- Best accuracy below 0.5.\n" in text
    assert "Nothing is chosen yet." in text


def test_a_finished_study_does_not_call_itself_preliminary() -> None:
    done = StudyRows(study="s", stages=(StageRows(stage="final", rows=(row(),), planned=1),))
    assert "not finished" not in text_of(done)
    assert "No run gave a warning." in text_of(done)


@pytest.mark.parametrize(
    "stages", [(), (StageRows(stage="coarse", rows=(), planned=3),), (StageRows(stage="final", rows=(), planned=3),)]
)
def test_a_study_without_any_run_still_has_a_report(stages: tuple[StageRows, ...], tmp_path: Path) -> None:
    written = write_report(StudyRows(study="s", stages=stages), tmp_path)
    text = written[-1].read_text(encoding="utf-8")
    assert "| DIFAIR | · [98.9] |" in text
    assert ("has no final stage" in text) == (not any(stage.stage == "final" for stage in stages))


def test_a_search_whose_runs_all_diverged_is_drawn(tmp_path: Path) -> None:
    stage = StageRows(stage="coarse", rows=(searched(1, 0.6, None),), planned=1)
    names = {path.name for path in write_report(StudyRows(study="s", stages=(stage,)), tmp_path)}
    assert {"accuracy_coarse.png", "occupancy_coarse.png"} <= names


def test_a_warning_is_counted_once_per_run_over_all_stages() -> None:
    assert "- Warning of 4 runs: one \\| thread\n" in text_of(study()).split("## Warnings")[1]


def test_results_that_were_left_out_are_named_below_the_tables_of_their_stage() -> None:
    problem = "Left out: runs/x/result.json: spec is that of another run."
    stages = (
        StageRows(stage="coarse", rows=(searched(8, 0.4, 0.9),), planned=2, problems=("Left out: y.",)),
        StageRows(stage="final", rows=(row(),), planned=2, problems=(problem,)),
    )
    tables = study_tables(StudyRows(study="s", stages=stages))
    assert [name for name, table in tables.items() if problem in table.notes] == ["table1", "table2"]
    assert [name for name, table in tables.items() if "Left out: y." in table.notes] == ["grid_coarse"]


def test_what_mlflow_shows_of_the_study_has_the_tables_without_their_notes() -> None:
    note = study_note(study(), study_tables(study()))
    assert note.startswith("## Study paper\n")
    assert "| final | 5 | 1 | 1 | 3 |" in note
    assert "**Stage coarse**: Chosen: alpha = 10, radius_coefficient = 0.4." in note
    assert "| DIFAIR |" in note.partition("Table 2")[2]
    assert "Each cell" not in note
    assert len(note) < 8000, "MLflow takes no more"


def test_further_pictures_and_what_runs_took_are_shown(tmp_path: Path) -> None:
    extra = Picture(name="extra", caption="Something else", figure=new_figure(1, 1))
    taken = {"fine": [cost("abc", running=True, ended=None, node="node7")]}
    written = {path.name: path for path in write_report(study(), tmp_path, pictures=[extra], costs=taken)}
    page = written["report.html"].read_text(encoding="utf-8")
    assert 'alt="Something else"' in page
    assert '<tr id="run-abc">' in page
    assert re.search(r"fine</th><td>15</td><td>0</td><td>0</td><td>15</td><td>1</td>", page)
    assert "![Something else](extra.png)" in written["report.md"].read_text(encoding="utf-8")


def test_restarts_follow_the_cycles_of_the_run() -> None:
    pictures = study_pictures(study(), {"difair-cifar10-2-0-600": HISTORY})
    spread = next(picture for picture in pictures if picture.name.startswith("weight_spread"))
    # 600 epochs in 3 cycles
    assert [line.get_xdata()[0] for line in spread.figure.axes[0].lines[1:]] == [200, 400]  # type: ignore[index]


def test_a_report_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RootUnusable, match="file"):
        write_report(study(), tmp_path / "file" / "report")


def test_tables_need_neither_torch_nor_matplotlib_and_figures_no_pyplot() -> None:
    code = (
        "import sys, difair_hpc.report.page; heavy = {'torch', 'matplotlib', 'difair_hpc.sweep'} & set(sys.modules);"
        "import difair_hpc.report.figures; heavy |= {'torch', 'matplotlib.pyplot'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
