"""One run image by image: what comparisons and figures read, made from the saved outputs of its network.

Shapes: B images, K known classes, D features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from difair_hpc.data.benchmarks import load
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import class_split
from difair_hpc.errors import DataDamaged, DataMissing
from difair_hpc.osr.evaluation import Assessed, assess, evaluate
from difair_hpc.osr.method import Assessment, Method
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.report.rows import ResultRow, RowKey
from difair_hpc.runs import outputs as saved_outputs
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.outputs import SavedOutputs
from difair_hpc.runs.spec import build


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """What a method says about one set of images."""

    predictions_B: NDArray[np.int64]
    """Predicted known class."""
    scores: Mapping[str, NDArray[np.float64]]
    """By name: (B,), larger = more likely unknown; the method's own scores first."""
    distances_BK: NDArray[np.float64] | None
    """Distance to the point of each class; None where the method has none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunImages:
    """One finished run with all that its network said."""

    row: ResultRow
    """Benchmark, split, method, seed, signature and metrics."""
    outputs: Outputs
    """Features, logits and labels of the training, known and unknown images."""
    class_names: tuple[str, ...]
    """Names of the known classes by label."""
    unknown_names: Mapping[int, str]
    """Name of each unknown class by its original number."""
    known: Scored
    unknown: Scored
    """Without images where all classes are known."""
    points_KD: NDArray[np.float64] | None
    """Anchors or class centres; None where the method has none."""
    space: Literal["features", "logits"]
    """What the points lie among, and what a figure of representations shows for this method."""
    pictures: Mapping[Literal["known", "unknown"], NDArray[Any]] | None = None
    """The images themselves, (B, C, H, W) uint8 in the order of the outputs; None where the data are not at hand."""


class SavedImages(Mapping[RowKey, RunImages]):
    """The runs of some rows image by image, each read when it is asked for; runs without saved outputs are absent."""

    def __init__(self, root: Path, rows: Sequence[ResultRow]) -> None:
        """Know the rows; nothing is read yet."""
        self._root = root
        self.problems: dict[str, None] = {}
        """What could not be read so far, one sentence each, in the order of asking."""
        self._rows = {row.key: row for row in rows if not row.diverged}

    def __getitem__(self, key: RowKey) -> RunImages:
        """Read a run, with the method's own scores.

        Raises:
            KeyError: It has no saved outputs, or they cannot be read: then `problems` tells.
        """
        try:
            found = run_images(self._root, self._rows[key], further=False)
        except DataDamaged as error:
            self.problems[str(error)] = None
            found = None
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[RowKey]:
        """Return the keys of the rows."""
        return iter(self._rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)


def run_images(root: Path, row: ResultRow, *, further: bool = True) -> RunImages | None:
    """Read a run's saved outputs and score them; None where there are none.

    Args:
        root: The output root.
        row: The run and the task that is meant: only the unknown images of that task are returned.
        further: Compute the scores beyond the method's own, too.

    Raises:
        DataDamaged: The outputs cannot be read.
    """
    read = _read(root, row, further=further)
    if read is None:
        return None
    method, saved, found = read
    where_B = torch.isin(saved.outputs.unknown.labels_B, torch.tensor(_unknown_classes(row), dtype=torch.int64))
    unknown = saved.outputs.unknown
    points_KD = found.centres.points_KD
    return RunImages(
        row=row,
        outputs=replace(saved.outputs, unknown=_only(unknown, where_B)),
        class_names=saved.class_names,
        unknown_names=saved.unknown_names,
        known=_scored(found.known),
        unknown=_scored(found.unknown.only(where_B)),
        points_KD=None if points_KD is None else np.asarray(points_KD.double()),
        space=method.space,
    )


def with_pictures(run: RunImages, data_root: Path) -> RunImages:
    """Return the run with the images themselves, where the data are at hand and are those it was measured on."""
    settings = {key: value for key, value in run.row.settings.items() if key.startswith("benchmark.")}
    values = {key.removeprefix("benchmark."): value for key, value in settings.items()}
    spec = build(BenchmarkSpec, {**values, "name": run.row.benchmark, "split": run.row.split}, key="benchmark")
    try:
        data = load(spec, data_root)
    except (DataMissing, DataDamaged):  # a report is read on machines without the data; the figure says so
        return run
    sides = ((data.known, run.outputs.known), (data.unknown, run.outputs.unknown))
    if not all(torch.equal(images.labels_B, part.labels_B) for images, part in sides):
        return run
    return replace(run, pictures={"known": data.known.images_BCHW.numpy(), "unknown": data.unknown.images_BCHW.numpy()})


def rescored(root: Path, row: ResultRow) -> ResultRow:
    """Return the row with all measurements made anew from the saved outputs; as it is where there are none.

    Raises:
        DataDamaged: The outputs cannot be read.
    """
    read = None if row.diverged else _read(root, row, further=True)
    if read is None:
        return row
    method, saved, found = read
    return replace(row, **asdict(evaluate(method, saved.outputs, found, _unknown_classes(row))))


def _read(root: Path, row: ResultRow, *, further: bool) -> tuple[Method, SavedOutputs, Assessed] | None:
    folder = run_folder(root, row.signature)
    saved = saved_outputs.load(folder.path)
    if saved is None:
        return None
    method = make_method(folder.spec().method, len(saved.class_names))
    return method, saved, assess(method, saved.outputs, further=further)


def _unknown_classes(row: ResultRow) -> tuple[int, ...]:
    known: Any = row.settings.get("benchmark.cifar_plus_known", "vehicles")
    return class_split(row.benchmark, row.split, cifar_plus_known=known).unknown


def _only(part: Part, where_B: Tensor) -> Part:
    return Part(
        features_BD=part.features_BD[where_B],
        logits_BK=None if part.logits_BK is None else part.logits_BK[where_B],
        labels_B=part.labels_B[where_B],
    )


def _scored(found: Assessment) -> Scored:
    return Scored(
        predictions_B=found.predictions_B.numpy(),
        scores={name: values_B.numpy() for name, values_B in found.scores.items()},
        distances_BK=None if found.distances_BK is None else found.distances_BK.numpy(),
    )
