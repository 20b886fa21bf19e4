"""report.html: one page that needs nothing but itself, made from the tables and pictures of a report."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from difair_hpc.files import read_bytes
from difair_hpc.osr.spec import OWN_SCORES
from difair_hpc.report.cost import RunCost, cost_table, environment_table
from difair_hpc.report.deviations import deviation_table, open_table
from difair_hpc.report.layout import Table
from difair_hpc.report.notes import MISSING, method_name, pruned_lines, warning_notes
from difair_hpc.report.rows import ResultRow, StudyRows

HEAVY_BYTES = 200_000
"""An SVG above this size is embedded as PNG."""

RUNS = "../../../runs/"
"""The run folders, seen from studies/<study>/report/ of an output root."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """A picture as the page holds it."""

    name: str
    """Name of its files without suffix."""
    caption: str
    """What it shows, for those who see it and those who do not."""
    source: str
    """The picture itself as a data: URI."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """One line of the table of runs."""

    signature: str
    """Name of the run's folder."""
    texts: tuple[str, ...]
    """The other columns: RUN_COLUMNS."""


RUN_COLUMNS = (
    "method", "benchmark", "split", "seed", "state", "epochs", "accuracy (%)", "AUROC (%)", "time", "attempts",
    "job, node",
)  # fmt: skip
"""What the table of runs says beside the signature."""


def embedded(name: str, caption: str, files: Sequence[Path]) -> Embedded:
    """Return a picture with the lighter of its two forms inside.

    Args:
        name: Name of its files without suffix.
        caption: What it shows.
        files: Its files; one of them is a PNG, and an SVG is preferred unless it is heavy.
    """
    by_kind = {path.suffix: path for path in files}
    vector = by_kind.get(".svg")
    path = by_kind[".png"] if vector is None or vector.stat().st_size > HEAVY_BYTES else vector
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    data = base64.b64encode(read_bytes(path)).decode()
    return Embedded(name=name, caption=caption, source=f"data:image/{kind};base64,{data}")


def report_html(
    study: StudyRows,
    *,
    progress: Table,
    tables: Mapping[str, Table],
    pictures: Sequence[Embedded],
    costs: Mapping[str, Sequence[RunCost]],
) -> str:
    """Return the page; every text in it is escaped, and it runs no script.

    Args:
        study: The finished runs by stage, the choices and their reasons.
        progress: How far each stage is.
        tables: The report's tables by file name without suffix; those of ablations and the paper come first.
        pictures: The report's pictures in the order in which they are shown.
        costs: What each run took, by stage; empty where nobody knows.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    room = Environment(
        loader=PackageLoader("difair_hpc", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = list({row.signature: row for stage in study.stages for row in stage.rows}.values())
    runs = list({run.signature: run for stage in costs.values() for run in stage}.values())
    order = sorted(tables, key=lambda name: (name.startswith("grid_"), name not in ("ablation", "table1", "table2")))
    return room.get_template("report.html.j2").render(
        study=study,
        pruned_lines=pruned_lines,
        dates=_dates(runs),
        progress=progress,
        tables={name: tables[name] for name in order},
        pictures=pictures,
        cost=cost_table(costs),
        deviations=deviation_table(rows),
        open_points=open_table(rows),
        environment=environment_table(runs),
        warnings=warning_notes(rows),
        columns=RUN_COLUMNS,
        runs=run_lines(rows, runs),
        folder=RUNS,
    )


def run_lines(rows: Sequence[ResultRow], costs: Sequence[RunCost]) -> list[RunLine]:
    """Return a line for every run that has a result or a folder: benchmark by benchmark, method by method."""
    found, taken = {row.signature: row for row in rows}, {run.signature: run for run in costs}
    lines = [_line(signature, found.get(signature), taken.get(signature)) for signature in {**found, **taken}]
    return sorted(lines, key=lambda line: (line.texts[1], line.texts[0], line.texts[2:4], line.signature))


def _line(signature: str, row: ResultRow | None, cost: RunCost | None) -> RunLine:
    texts = [MISSING] * len(RUN_COLUMNS)
    if cost is not None:
        keys = ("method.name", "benchmark.name", "benchmark.split", "seed")
        texts[:4] = [str(cost.spec.get(key, MISSING)) for key in keys]
        ended = f"ended: {cost.ends[-1]}" if cost.ends else "began"
        texts[4] = "running" if cost.running else ended if cost.attempts else "not begun"
        texts[8] = _duration(cost.seconds) if cost.attempts else MISSING
        texts[9] = str(cost.attempts)
        texts[10] = ", ".join(part for part in (cost.job, cost.node) if part) or MISSING
    if row is not None:
        own = OWN_SCORES.get(row.method, ())
        scores = [f"{score} {100 * value:.1f}" for score, value in row.auroc.items() if score in own]
        texts[:4] = [row.method, row.benchmark, str(row.split), str(row.seed)]
        texts[4:6] = [row.outcome, str(row.epochs)]
        texts[6] = MISSING if row.closed_set_accuracy is None else f"{100 * row.closed_set_accuracy:.1f}"
        texts[7] = ", ".join(scores) or MISSING
    texts[0] = method_name(texts[0])
    return RunLine(signature=signature, texts=tuple(texts))


def _dates(runs: Sequence[RunCost]) -> str:
    begun = [run.started for run in runs if run.started is not None]
    ended = [run.ended for run in runs if run.ended is not None]
    if not begun:
        return "No run has begun yet." if not ended else f"The last result is of {_moment(max(ended))}."
    last = f"the last result is of {_moment(max(ended))}" if ended else "there is no result yet"
    return f"The first run began on {_moment(min(begun))}; {last}."


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):  # of a damaged record
        return "an unknown day"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{rest:02d}s"
