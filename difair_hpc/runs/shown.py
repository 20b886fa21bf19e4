"""How MLflow's own pages (3.17) show a study: its kind, its description, names of runs, a view of their table."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from difair_hpc.files import write_atomically
from difair_hpc.osr.spec import OWN_SCORES
from difair_hpc.runs.spec import flat
from difair_hpc.words import counted

NOTE = "mlflow.note.content"
"""Tag for the description of an experiment or a run, in Markdown."""

NOTE_LIMIT = 8000
"""Most characters of a tag's value."""

REPORT = "shown.json"
"""File in a study's folder that says what MLflow gets of the newest report."""

_KEY = "difair"
VIEW = f"mlflow.sharedViewState.{_KEY}"
"""Tag for a view of the table of runs. The pages offer it under Views, and read an address with its key."""

_BY_SCORE = ("oscr.", "fpr95.", "aupr.")
"""Metrics that stand in MLflow for a method's own scores only; result.json has them all."""
_COLUMNS = (
    *(f"metrics.`{name}`" for name in ("closed_set_accuracy", "occupancy", "auroc.distance", "auroc.mos", "auroc.msp")),
    *(f"params.`method.{name}`" for name in ("alpha", "radius_coefficient", "features_per_class")),
    *(f"tags.`{name}`" for name in ("difair.stage", "method", "benchmark", "split", "seed")),
    "attributes.`Duration`",
)


def address(experiment_id: str) -> str:
    """Return where the pages show this view of an experiment, below the server's address."""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={_KEY}"


def first_tags(study: str, root: Path) -> dict[str, str]:
    """Return the tags that an experiment begins with.

    Without its kind, MLflow takes an experiment for one with language models. In MLflow's own order, study and stages
    hide their runs until each is unfolded, and charts show nothing; sorted by a metric, the table is flat.

    Args:
        study: Name of the study.
        root: Output root with the run folders.
    """
    state = {
        "searchFilter": "tags.`difair.kind` = 'run'",
        "orderByKey": "metrics.`closed_set_accuracy`",
        "orderByAsc": False,
        "selectedColumns": _COLUMNS,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    view = {"name": "Runs, best first", "createdAt": int(time.time() * 1000), "state": json.dumps(state)}
    note = f"Study {study} of difair-hpc, shipped from the run folders under {root.absolute()}."
    return {
        "mlflow.experimentKind": "custom_model_development",
        NOTE: note[:NOTE_LIMIT],
        VIEW: json.dumps(view),
    }


def keep_report(study: Path, files: Iterable[Path], note: str) -> None:
    """Keep which files of `report/` in the study's folder MLflow gets, and the description of the study (Markdown)."""
    content = {"time": time.time(), "files": [path.name for path in files], "note": note}
    write_atomically(study / REPORT, json.dumps(content, indent=1))


def run_label(parameters: Mapping[str, Any]) -> str:
    """Name a run by what differs from its neighbours: `alpha=6 radius=2`."""
    parts = []
    for key, value in parameters.items():
        name = key.rpartition(".")[2]
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        parts.append(shown if name in ("benchmark", "method") else f"{name}={shown}")
    return " ".join(parts)


def run_count(count: int, verb: str = "") -> str:
    """Return a number of runs in words that agree with it; so does the verb, which is given for many: are, have."""
    return counted(count, "run", verb)


def placed(described: Mapping[str, Any] | None) -> dict[str, list[tuple[str, str]]]:
    """Return the runs of a study by signature, each with its stages and its name in them.

    Args:
        described: Content of study.json; None: there is none yet.
    """
    places: dict[str, list[tuple[str, str]]] = {}
    for stage in (described or {"stages": []})["stages"]:
        for trial in stage["trials"]:
            places.setdefault(trial["signature"], []).append((stage["name"], run_label(trial["parameters"])))
    return places


def final_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Return what the runs are compared by: of the further scores only the AUROC, or dozens of charts hide the others.

    Args:
        result: Content of a result.json.
    """
    own = OWN_SCORES.get(result["spec"]["method"]["name"], ())
    numbers = {
        name: float(value)
        for name, value in flat(result["evaluation"] or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    kept = {
        name: value
        for name, value in numbers.items()
        if not name.startswith(_BY_SCORE) or name.partition(".")[2] in own
    }
    return kept | {"seconds": float(result["seconds"])}
