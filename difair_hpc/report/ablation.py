"""Settings side by side, for stages that compare and choose nothing: what follows from what the paper leaves open."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev

from difair_hpc.osr.spec import OWN_SCORES
from difair_hpc.report import paper as published
from difair_hpc.report.grid import length_notes
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.notes import MISSING, completed, data_notes, joined, method_name, plain, warning_notes
from difair_hpc.report.rows import ResultRow, StageRows

_REPEATED = ("split", "seed")
"""Searched keys that repeat a setting: runs that differ in nothing else share a line."""


def ablation_table(stages: Sequence[StageRows]) -> Table:
    """Put the settings of all stages side by side, in the order of the sweep file.

    Args:
        stages: Stages that choose nothing. A line is one setting; its splits and seeds are averaged.

    Returns:
        Searched keys, closed-set accuracy, occupancy and the AUROC of the methods' own scores (percent), and the runs.
    """
    rows = {row.signature: row for stage in stages for row in stage.rows}
    keys = _distinct(key for stage in stages for values in stage.searched.values() for key in values)
    keys = [key for key in keys if key not in _REPEATED]
    spheres = any(row.occupancy is not None for row in rows.values())
    scores = _distinct(score for row in rows.values() for score in _own(row))
    several = len(stages) > 1
    lines: list[tuple[Cell, ...]] = []
    for stage in stages:
        for signatures in _settings(stage):
            found = [rows[signature] for signature in signatures if signature in rows]
            values = {**(found[0].settings if found else {}), **stage.searched[signatures[0]]}
            lines.append(
                (
                    *[Cell(text=stage.stage)] * several,
                    *(_setting(key, values.get(key)) for key in keys),
                    *_numbers(found, spheres=spheres, scores=scores),
                    _runs(signatures, found),
                )
            )
    return Table(
        title="Ablation: settings side by side",
        header=(
            *["stage"] * several,
            *(key.rpartition(".")[2] for key in keys),
            *("accuracy (%)", *["occupancy (%)"] * spheres, "AUROC (%)", "runs"),
        ),
        rows=tuple(lines),
        notes=tuple(_notes(list(rows.values()))),
    )


def _settings(stage: StageRows) -> list[list[str]]:
    """Return the runs of each setting."""
    found: dict[str, list[str]] = {}
    for signature, values in stage.searched.items():
        setting = str({key: value for key, value in values.items() if key not in _REPEATED})
        found.setdefault(setting, []).append(signature)
    return list(found.values())


def _setting(key: str, value: object) -> Cell:
    """Return a value; none where the stage does not search the key and its runs do not have it."""
    if value is None:
        return Cell(text=MISSING, parts=(("", None),))
    return Cell(text=method_name(str(value)) if key == "method" else plain(value))


def _numbers(rows: Sequence[ResultRow], *, spheres: bool, scores: Sequence[str]) -> list[Cell]:
    done = completed(rows)
    own = [score for row in done for score in _own(row)]  # a method's own order
    return [
        _average({"": [row.closed_set_accuracy for row in done]}),
        *[_average({"": [row.occupancy for row in done]})] * spheres,
        _average({score: [_own(row).get(score) for row in done] for score in _distinct([*own, *scores])}),
    ]


def _own(row: ResultRow) -> dict[str, float]:
    """Return the AUROC of the scores that belong to the run's method."""
    return {score: row.auroc[score] for score in OWN_SCORES.get(row.method, ()) if score in row.auroc}


def _average(shares: Mapping[str, Sequence[float | None]]) -> Cell:
    """Return mean and deviation in percent, by score where there are several."""
    texts: list[str] = []
    parts: list[tuple[str, float | None]] = []
    for name, values in shares.items():
        percents = [100 * value for value in values if value is not None]
        mean, spread = (fmean(percents), pstdev(percents)) if percents else (None, None)
        spread = spread if len(percents) > 1 else None
        parts += [(f"{name} mean".lstrip(), mean), (f"{name} std".lstrip(), spread)]
        if mean is not None:
            texts.append(f"{name} {mean:.2f}".lstrip() + ("" if spread is None else f" ± {spread:.2f}"))
    return Cell(text=", ".join(texts) or MISSING, parts=tuple(parts))


def _runs(signatures: Sequence[str], found: Sequence[ResultRow]) -> Cell:
    """Name the run of a line, or count its runs, and say how many have no numbers."""
    text = signatures[0] if len(signatures) == 1 else f"{len(signatures)} runs"
    without = {"diverged": sum(row.diverged for row in found), "without result": len(signatures) - len(found)}
    counts = [f"{count} {what}" for what, count in without.items() if count]
    return Cell(text=", ".join([text, *counts]), links=tuple(row.signature for row in found))


def _notes(rows: Sequence[ResultRow]) -> list[str]:
    if not rows:
        return ["No run of this study has finished yet."]
    splits = {
        name: sorted({row.split for row in rows if row.benchmark == name})
        for name in _distinct(row.benchmark for row in rows)
    }
    places = [f"{published.BENCHMARKS.get(name, name)} (split {joined(found)})" for name, found in splits.items()]
    return [
        f"On {joined(places)}. Where a line has several runs: mean ± population standard deviation over them. "
        "AUROC: by the method's own scores.",
        "Nothing is chosen by this table. What single runs differ in may be chance: more splits or seeds tell.",
        *length_notes(rows),
        *data_notes(rows),
        *warning_notes(rows),
    ]


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
