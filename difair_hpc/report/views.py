"""What the pictures of one run share: its representations as arrays, its own score, names and images as they are shown.

Shapes: B images, K known classes, D features or logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from difair_hpc.osr.outputs import Part
from difair_hpc.report.canvas import literal
from difair_hpc.report.images import RunImages
from difair_hpc.report.notes import method_name

Side = Literal["known", "unknown"]

_LONGEST = 18


def run_title(run: RunImages, what: str) -> str:
    """Return the title of a picture: what it shows, and of which method and split."""
    row = run.row
    return f"{what}\n{literal(f'{method_name(row.method)}, {row.benchmark} split {row.split} seed {row.seed}')}"


def shown_name(name: str) -> str:
    """Return a class name as it is printed: literally, and without its middle where it is long."""
    return literal(name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[1 - _LONGEST // 2 :]}")


def own_score(run: RunImages) -> str:
    """Return the name of the method's own score, the first."""
    return next(iter(run.known.scores))


def representations(run: RunImages, part: Part) -> NDArray[np.float64]:
    """Return features or logits, whatever the method's points lie among, (B, D)."""
    if run.space == "features":
        return np.asarray(part.features_BD.double().numpy())
    assert part.logits_BK is not None, "logits are shown of networks that have them"
    return np.asarray(part.logits_BK.double().numpy())


def class_means(run: RunImages) -> NDArray[np.float64]:
    """Return the mean representation of each class's correctly classified training images (5.1), (K, D).

    Correct is where the largest logit, without logits the nearest point, is that of the image's class. A class without
    such an image has a line of NaN.
    """
    train, values_BD = run.outputs.train, representations(run, run.outputs.train)
    labels_B = train.labels_B.numpy()
    if train.logits_BK is not None:
        taken_B = train.logits_BK.numpy().argmax(axis=1)
    else:
        assert run.points_KD is not None, "a method without logits predicts by its points"
        taken_B = np.stack([np.linalg.norm(values_BD - point_D, axis=1) for point_D in run.points_KD]).argmin(axis=0)
    own = [values_BD[(labels_B == k) & (taken_B == k)] for k in range(len(run.class_names))]
    return np.stack([rows.mean(axis=0) if len(rows) else np.full(values_BD.shape[1], np.nan) for rows in own])


def evenly(count: int, limit: int) -> NDArray[np.int64]:
    """Return up to `limit` positions out of `count`, evenly spread, first and last among them."""
    return np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One held-out image and what the method made of it."""

    side: Side
    """Whether its class is known."""
    position: int
    """In the order of the outputs."""
    true: str
    """Name of its class."""
    taken: str
    """Name of the known class it was taken for."""
    score: float
    """The method's own score."""


def by_score(run: RunImages, side: Side, label: int | None = None) -> list[Judged]:
    """Return held-out images by the method's own score, the most known first; `label`: those of one class only."""
    scored, part = (run.known, run.outputs.known) if side == "known" else (run.unknown, run.outputs.unknown)
    scores_B, labels_B = scored.scores[own_score(run)], part.labels_B.numpy()
    names: Mapping[int, str] = dict(enumerate(run.class_names)) if side == "known" else run.unknown_names
    return [
        Judged(
            side=side,
            position=int(i),
            true=names[int(labels_B[i])],
            taken=run.class_names[scored.predictions_B[i]],
            score=float(scores_B[i]),
        )
        for i in np.argsort(scores_B, kind="stable")
        if label is None or labels_B[i] == label
    ]


def draw_image(ax: Axes, run: RunImages, judged: Judged, **where: Any) -> None:
    """Draw the image itself; needs `pictures`."""
    assert run.pictures is not None, "images are drawn where they are at hand"
    picture_CHW = run.pictures[judged.side][judged.position]
    pixels = picture_CHW[0] if len(picture_CHW) == 1 else picture_CHW.transpose(1, 2, 0)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", **where)
