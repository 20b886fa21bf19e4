"""What is seen while training goes on: a live table in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from difair_hpc.cli.screen import duration
from difair_hpc.osr.spec import OWN_SCORES
from difair_hpc.runs.folder import RunState
from difair_hpc.runs.shown import run_label
from difair_hpc.sweep.describe import StageView
from difair_hpc.words import visible

if TYPE_CHECKING:
    from difair_hpc.train.trainer import TrainState

_SHOWN = ("closed_set_accuracy", "occupancy")
_LINE_SECONDS = 5.0


class EpochLines:
    """One line per evaluated epoch of a single run."""

    def __init__(self, screen: Console, epochs: int) -> None:
        """Remember where to print and how long the run is."""
        self._screen = screen
        self._epochs = epochs
        self._began = time.monotonic()
        self._first: int | None = None

    def epoch(self, state: "TrainState") -> None:
        """Print the newest epoch if it was evaluated."""
        point = state.history[-1]
        if self._first is None:
            self._first = state.epoch - 1
        if "closed_set_accuracy" not in point.metrics:
            return
        done = state.epoch - self._first
        left = (time.monotonic() - self._began) / done * (self._epochs - state.epoch)
        shown = [f"{name} {value:.4f}" for name, value in point.metrics.items() if name in ("train_loss", *_SHOWN)]
        shown += [f"{name} {value:.4f}" for name, value in point.metrics.items() if name.startswith("auroc.")]
        self._screen.print(f"epoch {state.epoch}/{self._epochs}  {'  '.join(shown)}  left {duration(left)}")


class StudyProgress:
    """Shows a study as it advances; use as a context manager."""

    def __init__(self, screen: Console, stages: Sequence[str]) -> None:
        """Remember where to print, and the names of all stages."""
        self._screen = screen
        self._stages = stages
        self._live = Live(console=screen, refresh_per_second=4, transient=True) if screen.is_terminal else None
        self._said: dict[str, str] = {}
        self._last_line = 0.0
        self._out_since = 0.0
        self._clock = _Clock()

    def __enter__(self) -> "StudyProgress":
        """Take over the terminal, if it is one."""
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def warn(self, text: str) -> None:
        """Say something once that went wrong beside the study."""
        if text not in self._said:
            self._said[text] = "said"
            self._screen.print(f"warning: {text}")

    def outage(self, text: str) -> None:
        """Say once per outage what does not answer, whatever words it finds later, and once that it answers again."""
        if text and not self._out_since:
            self._out_since = time.monotonic()
            self._screen.print(f"warning: {text}")
        elif self._out_since and not text:
            self._screen.print(f"it answers again, after {duration(time.monotonic() - self._out_since)}")
            self._out_since = 0.0

    def show(self, seen: Sequence[StageView]) -> None:
        """Show where the stages stand."""
        self._clock.update(seen)
        for view in seen:
            self._announce(view)
            if view.halted:
                self.warn(f"nothing more is submitted: {view.halted}")
        if self._live is not None:
            self._live.update(self._picture(seen))
        elif time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._screen.print(self._headline(seen[-1]))

    def _announce(self, view: StageView) -> None:
        """Say once that each run has ended, and what a finished stage chose."""
        for trial in view.trials:
            state = trial.state
            key = f"{view.stage.name} {state.signature}"
            status = "pruned" if trial.pruned else state.status
            if status not in ("done", "failed", "dead", "pruned") or self._said.get(key) == status:
                continue
            self._said[key] = status
            label = run_label(view.parameters[trial.number])
            ending = f"pruned: {trial.pruned}" if trial.pruned else _ending(state)
            self._screen.print(f"{view.stage.name}  {state.signature}  {label}  {ending}", overflow="fold")
        if view.choice is not None and view.stage.name not in self._said:
            self._said[view.stage.name] = "chosen"
            for reason in view.choice.reasons:
                self._screen.print(f"{view.stage.name}  {reason}")

    def _picture(self, seen: Sequence[StageView]) -> Group:
        view = seen[-1]
        table = Table(box=None, pad_edge=False)
        for column in ("run", "what differs", "where", "epoch", "accuracy", "last heard"):
            table.add_column(column, no_wrap=column != "what differs")
        for trial in view.trials:
            if trial.state.status == "running":
                table.add_row(*self._row(view, trial.state, run_label(view.parameters[trial.number])))
        return Group(Text(visible(self._headline(view))), table)

    def _row(self, view: StageView, state: RunState, label: str) -> list[str]:
        share = f" +{state.step}/{state.steps}" if state.step else ""
        accuracy = "–" if state.accuracy is None else f"{state.accuracy:.4f}"
        heard = "–" if state.heard is None else duration(max(0.0, time.time() - state.heard))
        place = " ".join(word for word in (state.node, state.job) if word)
        return [state.signature, label, place, f"{state.epoch}{share} of {view.epochs}", accuracy, heard]

    def _headline(self, view: StageView) -> str:
        counts = _counts(view)
        position = f"stage {self._stages.index(view.stage.name) + 1} of {len(self._stages)}"
        parts = [f"{view.stage.name} ({position})"]
        parts[0] += f": {counts['done']} done, {counts['running']} running, {counts['left']} left"
        parts += [f"{counts[word]} {word}" for word in _SAID_WHERE_ANY if counts[word]]
        best = max((state.accuracy for state in view.states.values() if state.accuracy is not None), default=None)
        if best is not None:
            parts.append(f"best accuracy {best:.4f}")
        parts.append(f"stage ends in about {duration(self._clock.left(view))}")
        return ", ".join(parts)


_SAID_WHERE_ANY = ("pruned", "starting", "held", "cancelled", "failed", "dead")


def _counts(view: StageView) -> Counter[str]:
    """Count the stage's runs by one word each, so that the counts add up to all of them."""
    counts: Counter[str] = Counter()
    waiting: dict[str, str] = {}
    for run, state in view.states.items():
        if state.status in ("done", "running") or run in view.pruned or state.hold in ("held", "cancelled"):
            ended = "pruned" if run in view.pruned and state.status != "done" else state.status
            counts[ended if ended in ("done", "running", "pruned") else state.hold] += 1
        else:
            waiting[run] = state.status if state.status in ("failed", "dead") else "left"
    jobs = [job for job in view.jobs if not job.held]
    listed = {run for job in jobs for run in job.runs}
    starters = sum(not set(job.runs).isdisjoint(waiting) for job in jobs)
    busy = sum(state.status == "running" and run in listed for run, state in view.states.items())
    starting = max(0, min(starters, len(jobs) - busy)) + view.submitted
    ordered = sorted(waiting, key=lambda run: run not in listed)
    for place, run in enumerate(ordered):
        counts["starting" if place < starting else waiting[run]] += 1
    counts["left"] += max(0, view.runs - len(view.states))
    return counts


class _Clock:
    """Estimates the time left from the epochs that went by since the command started."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: dict[str, float] = {}

    def update(self, seen: Sequence[StageView]) -> None:
        """Remember how far each stage was when it was first seen at work."""
        view = seen[-1]
        if view.stage.name not in self._first:
            self._first[view.stage.name] = self._share(view)
            self._began = time.monotonic()

    def left(self, view: StageView) -> float | None:
        """Return seconds until the stage ends, or None before anything can be said."""
        done = self._share(view) - self._first.get(view.stage.name, 0.0)
        if done <= 0:
            return None
        return (time.monotonic() - self._began) * (view.runs - self._share(view)) / done

    def _share(self, view: StageView) -> float:
        """Return the stage's finished runs, running ones in part."""
        total = 0.0
        pruned = view.pruned
        for run, state in view.states.items():
            total += 1.0 if state.status == "done" or run in pruned else min(state.epoch / max(view.epochs, 1), 1.0)
        return total


def _ending(state: RunState) -> str:
    if state.result is None:
        return f"{state.status} at epoch {state.epoch}: {state.message or 'it left no message'}"
    evaluation = state.result["evaluation"]
    if evaluation is None:
        return f"diverged in epoch {state.epoch}"
    named = [("accuracy", evaluation["closed_set_accuracy"]), ("occupancy", evaluation["occupancy"])]
    own = OWN_SCORES.get(state.result["spec"]["method"]["name"], ())
    named += [(f"AUROC {score}", value) for score, value in evaluation["auroc"].items() if score in own]
    return "  ".join(f"{name} {value:.4f}" for name, value in named if value is not None)
