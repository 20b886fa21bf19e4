"""What a drill found: differences between two studies, and a table of faults by kind. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

Facts = Mapping[str, str]
"""What two executions of a study must share, name to value as text: drill/facts.py gathers them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One fault and what came of it: a line of faults.jsonl."""

    number: int
    kind: str
    run: str
    """Signature of the run that was hit, or whose progress was watched."""
    what: str
    """What exactly was done to what."""
    time: float
    """When it began, seconds since 1970."""
    held: float
    """Seconds for which the cause lasted: a server down, a disk full."""
    seconds: float
    """From the end of the cause until the run was further than before."""
    lost: int
    """Epochs that had been finished and had to be trained again."""
    problem: str = ""
    """Why it was not survived; empty where it was."""


def differences(undisturbed: Facts, found: Facts) -> list[str]:
    """Return a sentence for each fact that is not the same in both, in the order of their names."""
    names = sorted(undisturbed.keys() | found.keys())
    return [
        f"{name}: {undisturbed.get(name, 'nothing')} undisturbed, {found.get(name, 'nothing')} in the drill"
        for name in names
        if undisturbed.get(name) != found.get(name)
    ]


_HEADER = ("fault", "number", "survived", "epochs lost: max", "mean", "seconds to recover: median", "max")


def table(records: Sequence[Record], meanings: Mapping[str, str]) -> list[str]:
    """Return the lines of a Markdown table: one per kind, in the order of `meanings` (kind to words), and all."""
    rows = [_HEADER, tuple("---" if column == 0 else "--:" for column in range(len(_HEADER)))]
    for kind, words in meanings.items():
        if own := [record for record in records if record.kind == kind]:
            rows.append(_row(f"`{kind}` {words}", own))
    if records:
        rows.append(_row("all", records))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]


def _row(name: str, records: Sequence[Record]) -> tuple[str, ...]:
    lost, seconds = [record.lost for record in records], [record.seconds for record in records]
    survived = sum(not record.problem for record in records)
    figures = (f"{max(lost)}", f"{fmean(lost):.2f}", f"{median(seconds):.1f}", f"{max(seconds):.1f}")
    return (name, str(len(records)), str(survived), *figures)
