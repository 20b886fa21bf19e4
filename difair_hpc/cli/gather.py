"""What a report is made of, read from a study's ledger and run folders: rows, images, histories, costs, pictures."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difair_hpc.errors import DataDamaged, InvalidValue, Unreadable
from difair_hpc.files import read_json
from difair_hpc.folders import exists
from difair_hpc.runs.folder import run_folder
from difair_hpc.sweep.ledger import ledger, studies
from difair_hpc.sweep.pruning import pruned_runs

if TYPE_CHECKING:
    from difair_hpc.report.cost import RunCost
    from difair_hpc.report.images import SavedImages
    from difair_hpc.report.page import History, Picture
    from difair_hpc.report.rows import ResultRow, StudyRows

DRAWN = ("difair", "difair_std", "cross_entropy")
"""Methods whose representations the paper draws."""


def study_rows(root: Path, name: str, *, rescore: bool = False) -> "StudyRows":
    """Collect the finished runs of a study; `rescore` makes all measurements anew from the saved outputs.

    Raises:
        InvalidValue: There is no such study.
        DataDamaged: Nobody can read what the study says of itself.
    """
    from difair_hpc.report.rows import StageRows, StudyRows

    description = ledger(root, name).description()
    if description is None and name in studies(root):
        raise DataDamaged(
            f"studies/{name}/study.json is damaged; repeat its difair sweep command, which writes it anew."
        )
    if description is None:
        raise InvalidValue("study", name, "one of " + (", ".join(studies(root)) or "none: no study was started yet"))
    stages = []
    for stage in description["stages"]:
        rows, problems = _rows(root, stage["trials"])
        if rescore:
            rows, damaged = _rescored(root, rows)
            problems = [*problems, *damaged]
        stages.append(
            StageRows(
                stage=stage["name"],
                rows=tuple(rows),
                problems=tuple(problems),
                pruned=pruned_runs(ledger(root, name), stage.get("book", ""), root),
                planned=(stage["planned"] or 0) - len(stage["trials"]) + len(_tasks(stage["trials"])),
                reasons=tuple(stage["reasons"]),
                chooses=stage.get("chooses", True),
                search=stage["search"],
                searched={trial["signature"]: trial["parameters"] for trial in stage["trials"]},
                chosen=tuple(_without_group(choice) for choice in stage["chosen"]),
            )
        )
    return StudyRows(study=name, stages=tuple(stages))


def study_images(root: Path, study: "StudyRows") -> "SavedImages":
    """Return the runs of the final stage image by image, each read when it is asked for."""
    from difair_hpc.report.images import SavedImages

    return SavedImages(root, study.final_rows)


def study_costs(root: Path, name: str) -> "dict[str, list[RunCost]]":
    """Collect by stage what every run of a study took, those without a result included."""
    from difair_hpc.report.cost import run_cost

    stages = (ledger(root, name).description() or {"stages": []})["stages"]
    signatures = {stage["name"]: dict.fromkeys(trial["signature"] for trial in stage["trials"]) for stage in stages}
    costs: dict[str, list[RunCost]] = {stage: [] for stage in signatures}
    for stage, found in signatures.items():
        for signature in found:
            with suppress(Unreadable):  # `study_rows` says which run is left out
                costs[stage].append(run_cost(run_folder(root, signature).path))
    return costs


def study_histories(root: Path, study: "StudyRows") -> "dict[str, History]":
    """Return the metrics by epoch of the runs that are drawn, by signature."""
    found: dict[str, History] = {}
    for row in _drawn(study):
        with suppress(Unreadable):  # a figure without this curve
            if points := run_folder(root, row.signature).points():
                found[row.signature] = [{"epoch": point["epoch"], **point["metrics"]} for point in points.values()]
    return found


def split_pictures(root: Path, data_root: Path, study: "StudyRows") -> "tuple[list[Picture], list[str]]":
    """Draw the representations and detections of one split, and return what could not be read.

    The paper draws CIFAR10's third split; a study without it shows its first benchmark's.
    """
    from difair_hpc.report.gallery import comparison_pictures, run_pictures
    from difair_hpc.report.images import run_images, with_pictures

    pictures: list[Picture] = []
    seen, problems = [], []
    for row in _of_one_split(study):
        try:
            run = run_images(root, row)
        except DataDamaged as error:
            problems.append(str(error))
            continue
        if run is None:
            continue
        seen.append(run)
        if row.method in DRAWN:
            pictures += run_pictures(with_pictures(run, data_root))
    return [*pictures, *comparison_pictures(seen)], problems


def _rows(root: Path, trials: Sequence[Mapping[str, Any]]) -> "tuple[list[ResultRow], list[str]]":
    from difair_hpc.report.results import read_rows, row_of_task

    results, unread = _results(root, [trial["signature"] for trial in trials])
    found, left_out = read_rows(results)
    by_signature = {row.signature: row for row in found}
    rows, problems = [], [*unread, *left_out]
    for signature, benchmark, split in _tasks(trials):
        row = by_signature.get(signature)
        if row is None:
            continue
        if benchmark is None or (row.benchmark, row.split) == (benchmark, split):
            rows.append(row)
            continue
        where = f"runs/{signature}/result.json"
        try:
            rows.append(row_of_task(row, results[signature] or {}, benchmark=benchmark, split=split, where=where))
        except DataDamaged as error:
            problems.append(f"Left out: {error}")
    return rows, problems


def _tasks(trials: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None, int]]:
    """Return run, benchmark and split of each distinct trial; a search's trials do not name a benchmark."""
    found: dict[tuple[str, str | None, int], None] = {}
    for trial in trials:
        benchmark, split = trial["parameters"].get("benchmark"), trial["parameters"].get("split", 0)
        named = benchmark if isinstance(benchmark, str) else None
        found[trial["signature"], named, split if isinstance(split, int) else 0] = None
    return [*found]


def _rescored(root: Path, rows: "Sequence[ResultRow]") -> "tuple[list[ResultRow], list[str]]":
    from difair_hpc.report.images import rescored

    found, problems = [], []
    for row in rows:
        try:
            found.append(rescored(root, row))
        except DataDamaged as error:
            problems.append(f"Left out: {error}")
    return found, problems


def _of_one_split(study: "StudyRows") -> "list[ResultRow]":
    """Return a run of each method on the split that is drawn, that of the lowest seed."""
    from difair_hpc.report import paper

    rows = sorted((row for row in study.final_rows if not row.diverged), key=lambda row: row.seed)
    if not rows:
        return []

    def place(row: "ResultRow") -> tuple[bool, bool, str, int]:
        return row.benchmark != "cifar10", row.split != paper.THIRD_SPLIT, row.benchmark, row.split

    first = min(map(place, rows))
    return list({row.method: row for row in reversed(rows) if place(row) == first}.values())[::-1]


def _drawn(study: "StudyRows") -> "list[ResultRow]":
    return [row for row in _of_one_split(study) if row.method in DRAWN]


def _results(root: Path, signatures: Sequence[str]) -> tuple[dict[str, Mapping[str, object] | None], list[str]]:
    """Return the results of runs by signature, and a sentence for each run whose folder cannot be read."""
    found: dict[str, Mapping[str, object] | None] = {}
    unread: list[str] = []
    for signature in dict.fromkeys(signatures):
        try:
            found[signature] = _result(root, signature)
        except Unreadable as error:
            unread.append(f"Left out: {error}")
    return found, unread


def _result(root: Path, signature: str) -> Mapping[str, object] | None:
    """Return a run's result; None where there is none, an empty one where the file holds no mapping."""
    path = run_folder(root, signature).path / "result.json"
    content = read_json(path)
    return content if isinstance(content, Mapping) else {} if exists(path) else None


def _without_group(parameters: Mapping[str, Any]) -> dict[str, float]:
    return {re.sub(r"^\w+\.", "", key): value for key, value in parameters.items() if isinstance(value, int | float)}
