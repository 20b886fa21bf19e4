"""`difair status [STUDY]`: where studies and runs stand, read from the folders alone; writes nothing."""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difair_hpc import config
from difair_hpc.cli.screen import ago, console, duration, run_label
from difair_hpc.errors import InvalidValue
from difair_hpc.runs.folder import RunState, run_folder
from difair_hpc.sweep.ledger import ledger, studies


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument("words", nargs="*", metavar="STUDY or key=value", help="a study (default: all), root=FOLDER")


def run(arguments: argparse.Namespace) -> int:
    """Print every run of the studies, and the runs that belong to none."""
    where = config.settings_only([word for word in arguments.words if "=" in word])
    names = [word for word in arguments.words if "=" not in word] or studies(where.root)
    for name in names:
        if name not in studies(where.root):
            known = ", ".join(studies(where.root)) or f"none: {where.root} holds no study"
            raise InvalidValue("study", name, f"one of {known}")
    rows = [row for name in names for row in _study(where.root, name)]
    if not any("=" not in word for word in arguments.words):
        rows += _single(where.root, {row["signature"] for row in rows})
    if arguments.format == "json":
        console().out(json.dumps(rows, indent=1))
        return 0
    _print(rows, where.root)
    return 0


def _study(root: Path, name: str) -> list[dict[str, Any]]:
    description = ledger(root, name).description() or {"stages": []}
    return [
        _row(name, stage["name"], trial["parameters"], run_folder(root, trial["signature"]).state())
        for stage in description["stages"]
        for trial in stage["trials"]
    ]


def _single(root: Path, known: set[str]) -> list[dict[str, Any]]:
    """Return the runs that no study asked for."""
    rows = []
    for path in sorted((root / "runs").glob("*/spec.json")):
        if path.parent.name in known:
            continue
        folder = run_folder(root, path.parent.name)
        spec = folder.spec().to_dict()
        parameters = {"benchmark": spec["benchmark"]["name"], "method": spec["method"]["name"]}
        parameters |= {"split": spec["benchmark"]["split"], "seed": spec["seed"]}
        rows.append(_row("train", "single", parameters, folder.state()))
    return rows


def _row(study: str, stage: str, parameters: Mapping[str, Any], state: RunState) -> dict[str, Any]:
    epochs = None if state.result is None else state.result["spec"]["protocol"]["epochs"]
    return {
        "study": study,
        "stage": stage,
        "signature": state.signature,
        "parameters": dict(parameters),
        "status": state.status,
        "epoch": state.epoch,
        "epochs": epochs,
        "closed_set_accuracy": state.accuracy,
        "occupancy": None if state.result is None else (state.result["evaluation"] or {}).get("occupancy"),
        "attempts": state.attempts,
        "heard": state.heard,
        "seconds": None if state.result is None else state.result["seconds"],
        "message": state.message,
    }


def _print(rows: list[dict[str, Any]], root: Path) -> None:
    screen = console()
    if not rows:
        screen.print(f"no runs in {root}; difair sweep digits starts a study", soft_wrap=True)
        return
    lines = [["study", "stage", "run", "what differs", "status", "epoch", "accuracy", "occupancy", "time"]]
    for row in rows:
        took = duration(row["seconds"]) if row["status"] == "done" else ago(row["heard"])
        shown = [row["study"], row["stage"], row["signature"], run_label(row["parameters"]), row["status"]]
        shown += [str(row["epoch"]), _number(row["closed_set_accuracy"]), _number(row["occupancy"]), took]
        lines.append(shown)
    widths = [
        max(map(len, column)) for column in zip(*lines, strict=True)
    ]  # rich's table takes a second per 1,000 rows
    for line in lines:
        screen.out("  ".join(map(str.ljust, line, widths)).rstrip())
    counts = Counter(row["status"] for row in {row["signature"]: row for row in rows}.values())
    screen.print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    for row in rows:
        if row["message"]:
            screen.print(f"{row['signature']}: {row['message']}", soft_wrap=True, markup=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
