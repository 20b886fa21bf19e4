"""What the runs of a study took: attempts, hours, lost hours, and the machines and versions behind them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.files import read_json
from difair_hpc.report.layout import Cell, Table
from difair_hpc.runs import spool
from difair_hpc.runs.attempts import AttemptView, views
from difair_hpc.runs.spec import flat

_RESULT = {"seconds?": float, "finished?": float, "attempts?": int, "place?": dict}
_PEACEFUL = ("finished", "stopped")
"""Ends of attempts that saved everything they did."""

LOST = (
    "Lost: the time of attempts that ended without saving, from their last epoch in a checkpoint on; a later attempt "
    "had, or would have, to do it again. An attempt that no checkpoint covers is lost as a whole."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCost:
    """What the folder of one run says of its execution; a file that cannot be read leaves its values empty."""

    signature: str
    """Name of the folder."""
    spec: Mapping[str, Any]
    """The run's settings by dotted name."""
    attempts: int
    """How often it was begun."""
    epochs: int
    """Epochs that a checkpoint has covered."""
    seconds: float
    """Worked by all attempts."""
    lost_seconds: float
    """Of these, work that was lost (LOST)."""
    ends: tuple[str, ...]
    """How the attempts ended that did not finish the run: preempted, timed_out, failed … (sweep/ends.py)."""
    running: bool
    """Whether an attempt works on it at this moment."""
    started: float | None
    """Begin of the first attempt, seconds since 1970; None: never begun."""
    ended: float | None
    """When its result was written, seconds since 1970; None: it has none."""
    job: str
    """Job of the newest attempt; empty without one."""
    node: str
    """Node of the newest attempt."""
    machine: Mapping[str, object]
    """Hardware and versions by name, as the result or else the newest attempt recorded them."""

    @property
    def hours(self) -> float:
        """GPU-hours, or core-hours (time multiplied by threads) of a run on a CPU."""
        return self.seconds / 3600 * self._devices

    @property
    def lost_hours(self) -> float:
        """The part of `hours` that was lost."""
        return self.lost_seconds / 3600 * self._devices

    @property
    def unit(self) -> str:
        """What `hours` counts."""
        return "GPU-hours" if self.machine.get("gpu") else "core-hours"

    @property
    def _devices(self) -> int:
        threads = self.machine.get("threads")
        return threads if self.unit == "core-hours" and isinstance(threads, int) else 1


def run_cost(folder: Path) -> RunCost:
    """Read what a run folder says of its execution; a folder that was never made is a run that never began."""
    result, attempts = read_json(folder / "result.json", _RESULT) or {}, views(folder)
    last: Mapping[str, Any] = attempts[-1].record if attempts else {}
    place = _mapping(last.get("place")) | _mapping(result.get("place"))
    machine = [_mapping((result or last).get(part)) for part in ("hardware", "versions")]
    points = spool.read(folder)
    kept = [point["time"] for point in points.values()]
    ended = [attempt for attempt in attempts if not attempt.alive and _reason(attempt) != "finished"]
    return RunCost(
        signature=folder.name,
        spec=flat(_mapping(_mapping(read_json(folder / "spec.json")).get("spec"))),
        attempts=len(attempts) or int(result.get("attempts", 0)),
        epochs=max(points, default=0),
        seconds=float(result.get("seconds", sum(attempt.seconds for attempt in attempts))),
        lost_seconds=sum(_lost(attempt, attempts[number:], kept) for number, attempt in enumerate(attempts, 1)),
        ends=tuple(attempt.kind or _reason(attempt) for attempt in ended),
        running=not result and bool(attempts) and attempts[-1].alive,
        started=attempts[0].record.get("started") if attempts else None,
        ended=result.get("finished"),
        job=str(place.get("job", "")),
        node=str(place.get("node", "")),
        machine={**machine[0], **machine[1]},
    )


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _reason(attempt: AttemptView) -> str:
    return "died" if attempt.end is None else str(attempt.end.get("reason"))


def _lost(attempt: AttemptView, later: Sequence[AttemptView], kept: Sequence[float]) -> float:
    if attempt.alive or _reason(attempt) in _PEACEFUL:
        return 0.0
    begin = float(attempt.record.get("started", 0.0))
    until = float(later[0].record.get("started", "inf")) if later else float("inf")
    saved = max((moment for moment in kept if begin <= moment < until), default=begin)
    return max(0.0, begin + attempt.seconds - saved)


def cost_table(costs: Mapping[str, Sequence[RunCost]]) -> Table:
    """Return runs begun, attempts, hours and what was lost, by stage and in all; a run counts in its first stage."""
    seen: set[str] = set()
    stages: list[tuple[str, list[RunCost]]] = []
    for stage, runs in costs.items():
        stages.append((stage, [run for run in runs if run.attempts and run.signature not in seen]))
        seen |= {run.signature for run in runs}
    every = [run for _, runs in stages for run in runs]
    units = sorted({run.unit for run in every}) or ["hours"]
    body = []
    for stage, runs in [*stages, ("in all", every)]:
        links = tuple(run.signature for run in runs)
        ends = Counter(end for run in runs for end in run.ends)
        planned = sum(int(run.spec.get("protocol.epochs", 0)) for run in runs)
        texts = [str(len(runs)), str(sum(run.attempts for run in runs))]
        texts.append(f"{sum(run.epochs for run in runs)} of {planned}")
        texts += [_hours(sum(run.hours for run in runs if run.unit == unit)) for unit in units]
        seconds, lost = sum(run.seconds for run in runs), sum(run.lost_seconds for run in runs)
        texts += [_hours(sum(run.lost_hours for run in runs)), f"{100 * lost / seconds:.1f}" if seconds else "·"]
        texts.append(", ".join(f"{end} {count}" for end, count in sorted(ends.items())) or "·")
        body.append((Cell(text=stage), *(Cell(text=text, links=links) for text in texts)))
    header = ("Stage", "runs begun", "attempts", "epochs", *units, "lost hours", "lost (%)", "interruptions")
    shared = (
        "A run of two stages counts in the first. epochs: trained, of those that the runs begun have to their end; "
        "what was pruned makes the difference. GPU-hours count a GPU once for each run on it; core-hours are the time "
        "multiplied by the threads of the run. lost (%): share of the time, whatever the machine."
    )
    return Table(title="What it took", header=header, rows=tuple(body), notes=(shared, LOST))


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours >= 1 or not hours else f"{hours:.2g}"


def environment_table(costs: Iterable[RunCost]) -> Table:
    """Return what the runs were executed on: hardware, versions, commit and threads, each value with its runs."""
    runs: dict[tuple[str, str], list[str]] = {}
    for run in {run.signature: run for run in costs}.values():
        for name, value in run.machine.items():
            runs.setdefault((name, "none" if value is None else str(value)), []).append(run.signature)
    names = list(dict.fromkeys(name for name, _ in runs))
    body = tuple(
        (Cell(text=name), Cell(text=value), Cell(text=str(len(runs[name, value])), links=tuple(runs[name, value])))
        for name, value in sorted(runs, key=lambda pair: (names.index(pair[0]), pair[1]))
    )
    notes = () if body else ("No run has begun yet.",)
    return Table(title="Hardware and versions", header=("What", "value", "runs"), rows=body, notes=notes)
