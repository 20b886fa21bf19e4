"""In what the runs differ from the paper's protocol, and how what the paper leaves open was read (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.spec import NetworkSpec
from difair_hpc.report import paper as published
from difair_hpc.report.layout import Cell, Table
from difair_hpc.report.rows import ResultRow
from difair_hpc.train.spec import ProtocolSpec

_PARTS = {"benchmark": asdict(BenchmarkSpec()), "network": asdict(NetworkSpec()), "protocol": asdict(ProtocolSpec())}
_DEFAULTS: Mapping[str, Any] = {
    f"{part}.{key}": value
    for part, values in _PARTS.items()
    for key, value in values.items()
    if f"{part}.{key}" not in ("benchmark.split", "protocol.evaluate_every")
}

_MEANING: Mapping[str, str] = {
    "benchmark.cifar_plus_known": "Known classes of CIFAR+N as in Vaze's file: other tasks than the paper's.",
    "benchmark.name": "The paper has no numbers for it.",
    "benchmark.verify": "Data files were not checked against their published checksums: images may be missing.",
    "network.batch_norm_momentum": "Running statistics average over another number of steps: few epochs have too few.",
    "protocol.augment": "Other augmentation than the paper's: accuracy and AUROC suffer where it is weaker.",
    "protocol.batch_size": "Another number of steps per epoch, and other noise in each.",
    "protocol.epochs": "Numbers of runs with another length are not comparable with the paper's.",
    "protocol.flip": "The paper mirrors images unless they show digits (A.2).",
    "precision": "Rounding differs; results are close, never equal.",
    "protocol.schedule_unit": "The rate moves with every batch, which few epochs need to reach its low end.",
    "protocol.weight_decay_form": "With momentum 0.9, coupled decay is about ten times as strong as decoupled.",
}

OPEN: Sequence[tuple[str, str, str]] = (
    ("Known classes of CIFAR+N", "the text's four vehicles, not those of Vaze's file", "benchmark.cifar_plus_known"),
    (
        "Numbers of Tiny ImageNet's classes",
        "sorted names (Vaze); most likely wnids.txt",
        "benchmark.tinyimagenet_order",
    ),
    ("Random crop", "zeros on each side in pixels, an offset of its own for each image", "protocol.crop_padding"),
    ("Kind of dropout", "single values (Keras), not whole channels (Neal, Vaze)", "network.dropout"),
    ("Weight of the newest batch in batch norm", "Keras' 0.01", "network.batch_norm_momentum"),
    ("Epsilon of batch norm", "Keras' 0.001", "network.batch_norm_epsilon"),
    ("Padding of convolutions with stride 2", "on all sides (pytorch), not bottom and right", "network.padding"),
    ("Initial weights", "encoder N(0, 0.05), head Glorot uniform, batch norm scale 1", ""),
    ("Activation after the last convolution", "none", ""),
    ("Weight decay", "decoupled (Keras 2.12), on every parameter", "protocol.weight_decay_form"),
    ("Warm-up", "Vaze's: from a thousandth of the peak to the cosine's value; none after restarts", ""),
    ("Floor of the schedule", "a thousandth of the peak (linear)", "protocol.schedule_floor"),
    ("Label smoothing, and Tiny ImageNet's optimiser", "none; SGD at 0.01 as in the text (Vaze: Adam)", ""),
    ("CAC's loss", "anchor term with weight 0.1 (its authors); true class left out of the tuplet term", ""),
    ("Class centres of CAC and CELR", "means over correctly classified training images, not augmented", ""),
    ("Maximum output score", "largest single output, not a sum over the features of a class", ""),
    ("Balance of test images", "all test images count", ""),
    ("Seeds", "one run per split; the seed is in the table of runs", ""),
    ("Standard deviation over splits", "of the population; CIFAR10 and SVHN count one class set twice", ""),
    ("Normalisation", "mean and variance of the split's known training images, by channel", ""),
    ("Epochs of the search", "those of the protocol; the deviations name others", ""),
    ("Axes of Figure 4", "lost; alpha and radius take the values named in the text and others around", ""),
)
"""What the paper leaves open, the reading taken, and the setting that holds it (empty: it cannot be set)."""


def paper_values(benchmark: str) -> dict[str, Any]:
    """Return the settings behind the paper's numbers on a benchmark by dotted name (A.2)."""
    values = {**_DEFAULTS, "benchmark.name": benchmark if benchmark in _KNOWN else "one of the paper's"}
    values["precision"] = "float32"
    values["protocol.flip"] = not benchmark.startswith(("mnist", "svhn", "digits"))
    if benchmark == "tinyimagenet":
        values |= {"protocol.learning_rate": 0.01, "benchmark.image_size": 64}
    magnitude = next((value for name, value in _MAGNITUDES.items() if benchmark.startswith(name)), None)
    values["protocol.augment"] = "contrast_brightness" if magnitude is None else "randaugment"
    values["protocol.augment_magnitude"] = magnitude or 0.0
    values["protocol.augment_exclude"] = ["Rotate", "TranslateX", "TranslateY"] if benchmark == "svhn" else []
    return values


_MAGNITUDES = {"svhn": 18.0, "cifar": 6.0, "tinyimagenet": 9.0}
"""RandAugment's M by what the name of a benchmark begins with."""
_KNOWN = (*published.BENCHMARKS, "cifar10-all")


def deviation_table(rows: Sequence[ResultRow]) -> Table:
    """Name every setting that differs from the paper's in some run, with the runs and what it means."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for row in {row.signature: row for row in rows}.values():
        used = {"protocol.augment": "none", **row.settings}
        used |= {"protocol.epochs": row.epochs, "benchmark.name": row.benchmark}
        used["precision"] = row.versions.get("precision", "float32")
        if row.diverged:
            used.pop("protocol.epochs")  # it ended where the loss did
        if used.get("protocol.warmup_epochs", 0) is None:
            used["protocol.warmup_epochs"] = 10.0  # the same share of all epochs as the paper's 10 of 600
        paper = paper_values(row.benchmark)
        found = [(key, used[key], paper[key]) for key in paper if key in used and used[key] != paper[key]]
        for key, here, there in found:
            runs.setdefault((key, _shown(here), _shown(there)), []).append(row.signature)
    body = tuple(
        (
            *(Cell(text=text) for text in line),
            Cell(text=str(len(runs[line])), links=tuple(runs[line])),
            Cell(text=_MEANING.get(line[0], "Not the value of the paper's protocol.")),
        )
        for line in sorted(runs)
    )
    title, header = "Deviations from the paper's protocol", ("Setting", "here", "paper", "runs", "what it means")
    none = "Every run follows the paper's protocol." if rows else "No run has finished yet."
    return Table(title=title, header=header, rows=body, notes=() if body else (none,))


def open_table(rows: Sequence[ResultRow]) -> Table:
    """List what the paper leaves open, the reading taken, and the values that these runs have."""
    body = []
    for topic, reading, key in OPEN:
        used = sorted({_shown(row.settings[key]) for row in rows if key in row.settings})
        body.append((Cell(text=topic), Cell(text=reading), Cell(text=", ".join(used) or "·")))
    title, header = "What the paper leaves open", ("Question", "reading", "these runs")
    return Table(title=title, header=header, rows=tuple(body), notes=("· fixed in the code, or no run has finished.",))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
