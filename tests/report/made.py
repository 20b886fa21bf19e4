"""Result files made up for the tests of the report, and the comparison of texts with accepted ones."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path

from difair_hpc.report.results import row_from_result
from difair_hpc.report.rows import ResultRow

GOLDEN = Path(__file__).parent / "golden"

DIFAIR = {"alpha": 10.0, "radius_coefficient": 0.4, "features_per_class": 5}
METHODS: Mapping[str, Mapping[str, object]] = {
    "cross_entropy": {},
    "cac": {"alpha": 10.0, "anchor_weight": 0.1},
    "difair": DIFAIR,
    "difair_std": DIFAIR,
    "arpl": {},
    "arpl_cs": {},
    "dchs": {},
}


def result(
    method: str = "difair",
    benchmark: str = "cifar10",
    split: int = 0,
    *,
    seed: int = 0,
    accuracy: float = 0.9,
    auroc: Mapping[str, float] | None = None,
    epochs: int = 600,
    **changes: object,
) -> dict[str, object]:
    """Return a completed run's result.json; `changes` are dotted keys with __ for the dot, None included."""
    content: dict[str, object] = {
        "schema": 1,
        "signature": f"{method}-{benchmark}-{split}-{seed}-{epochs}",
        "outcome": "completed",
        "spec": {
            "benchmark": {"name": benchmark, "split": split, "cifar_plus_known": "vehicles"},
            "method": {"name": method, **METHODS[method]},
            "network": {"dropout": "element"},
            "protocol": {"epochs": epochs, "cycles": 3, "learning_rate": 0.1},
            "seed": seed,
        },
        "evaluation": {
            "closed_set_accuracy": accuracy,
            "occupancy": 0.8 if method.startswith("difair") else None,
            "auroc": dict(auroc or {}),
            "held_out": "test",
        },
        "epochs": epochs,
        "attempts": 1,
        "seconds": 12.3,
        "warnings": [],
    }
    for key, value in changes.items():
        put(content, key.replace("__", "."), value)
    return content


def put(content: dict[str, object], key: str, value: object) -> dict[str, object]:
    """Set a dotted key in nested mappings."""
    *parents, leaf = key.split(".")
    place = content
    for parent in parents:
        inner = place[parent]
        assert isinstance(inner, dict)
        place = inner
    place[leaf] = value
    return content


def without(content: dict[str, object], key: str) -> dict[str, object]:
    """Return a copy that lacks a dotted key."""
    clone = copy.deepcopy(content)
    *parents, leaf = key.split(".")
    place = clone
    for parent in parents:
        inner = place[parent]
        assert isinstance(inner, dict)
        place = inner
    del place[leaf]
    return clone


def row(*args: object, **changes: object) -> ResultRow:
    """Return the row of a made-up result."""
    return row_from_result(result(*args, **changes))  # type: ignore[arg-type]


def diverged(*args: object, **changes: object) -> ResultRow:
    """Return the row of a run whose loss stopped being finite."""
    return row(*args, **{**changes, "outcome": "diverged", "evaluation": None})


def searched(
    alpha: float, coefficient: float, accuracy: float | None, occupancy: float = 0.8, **changes: object
) -> ResultRow:
    """Return the row of a search run; accuracy None: it diverged."""
    signature = f"{alpha:g}-{coefficient:.4f}"
    choice = {"signature": signature, "spec__method__alpha": alpha, "spec__method__radius_coefficient": coefficient}
    if accuracy is None:
        return diverged("difair", "cifar10-all", **{**choice, **changes})
    measured = {"accuracy": accuracy, "evaluation__occupancy": occupancy, "evaluation__held_out": "validation"}
    return row("difair", "cifar10-all", **{**choice, **measured, **changes})


def assert_accepted(name: str, text: str) -> None:
    """Compare a text with the accepted one of this name; ACCEPT_GOLDEN=1 in the environment accepts it instead."""
    path = GOLDEN / name
    if os.environ.get("ACCEPT_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    accepted = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == accepted, f"{name} changed; if the new text is right: ACCEPT_GOLDEN=1 pytest tests/report"
