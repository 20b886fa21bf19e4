"""Runs image by image for the tests of pictures: a real short training on digits, and one made by hand."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from difair_hpc.data.benchmarks import load
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.anchors import anchors
from difair_hpc.osr.method import Assessment, Centres
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.metrics import evaluate as measure
from difair_hpc.osr.outputs import Outputs, Part
from difair_hpc.osr.spec import CacSpec, CrossEntropySpec, DifairSpec, MethodSpec, NetworkSpec
from difair_hpc.report.images import RunImages, Scored
from difair_hpc.train.evaluate import all_outputs
from difair_hpc.train.trainer import Task, fit, new_state
from tests.report.made import row
from tests.train.tiny import Watcher, first, protocol

SPECS: dict[str, MethodSpec] = {"difair": DifairSpec(), "cross_entropy": CrossEntropySpec(), "cac": CacSpec()}


@functools.cache
def trained_run(method: str = "difair", epochs: int = 5) -> RunImages:
    """Train a small network on the handwritten digits and keep all that it says."""
    torch.set_num_threads(1)
    data = load(BenchmarkSpec(name="digits", image_size=8), Path("no-such-folder"))
    data = replace(data, train=first(data.train, 400))
    work = Task(
        method=make_method(SPECS[method], data.classes),
        protocol=protocol(epochs=epochs, batch_size=32),
        data=data,
        seed=0,
    )
    state = new_state(work, NetworkSpec(batch_norm_momentum=0.1))
    assert fit(state, work, Watcher()) == "finished"
    made = all_outputs(state.network, data)
    centres = work.method.centres(made.train.output, made.train.labels_B, made.head)
    known, unknown = (work.method.assess(part.output, centres) for part in (made.known, made.unknown))
    measured = measure(known=known, labels_B=made.known.labels_B, inside_B=None, unknown=unknown)
    accuracy = measured.closed_set_accuracy
    return RunImages(
        row=row(method, "digits", accuracy=accuracy, auroc=measured.auroc, epochs=epochs, signature=f"run-{method}"),
        outputs=made,
        class_names=data.class_names,
        unknown_names=data.unknown_names,
        known=scored(known),
        unknown=scored(unknown),
        points_KD=None if centres.points_KD is None else centres.points_KD.double().numpy(),
        space="logits" if method == "cac" else "features",
        pictures={"known": data.known.images_BCHW.numpy(), "unknown": data.unknown.images_BCHW.numpy()},
    )


def scored(found: Assessment) -> Scored:
    """Return what a method says as the report reads it."""
    return Scored(
        predictions_B=found.predictions_B.numpy(),
        scores={name: values_B.numpy() for name, values_B in found.scores.items()},
        distances_BK=None if found.distances_BK is None else found.distances_BK.numpy(),
    )


def made_run(
    names: Sequence[str],
    *,
    per_class: int = 1,
    unknown_classes: int = 3,
    images: int = 6,
    noise: float = 0.0,
    pictures: bool = False,
) -> RunImages:
    """Return a DIFAIR run with anchors at 10; image i of a class reaches 10, 8, 6 ... of its anchor, unknown ones half.

    Unknown class c, numbered 100 + c, looks like known class c.
    """
    classes = len(names)
    method = make_method(replace(DifairSpec(), features_per_class=per_class), classes)
    points_KD = anchors(classes=classes, features_per_class=per_class, alpha=10.0)
    chance = torch.Generator().manual_seed(0)

    def part(count: int, share: float, first_label: int) -> Part:
        own_B = torch.arange(count).repeat_interleave(images)
        reach_B1 = share * (1 - 0.2 * (torch.arange(len(own_B)) % images) * 5 / images)[:, None]
        values_BD = points_KD[own_B % classes] * reach_B1
        values_BD = values_BD + noise * torch.randn(values_BD.shape, generator=chance)
        return Part(features_BD=values_BD.float(), logits_BK=None, labels_B=own_B + first_label)

    made = Outputs(
        train=part(classes, 1.0, 0), known=part(classes, 1.0, 0), unknown=part(unknown_classes, 0.5, 100), head={}
    )
    found = [scored(method.assess(one.output, Centres())) for one in (made.known, made.unknown)]
    pixels = {
        "known": np.full((len(made.known), 1, 8, 8), 200, dtype=np.uint8),
        "unknown": np.full((len(made.unknown), 1, 8, 8), 50, dtype=np.uint8),
    }
    return RunImages(
        row=row("difair", "cifar10", signature="made", spec__method__features_per_class=per_class),
        outputs=made,
        class_names=tuple(names),
        unknown_names={100 + c: f"unknown_{c}" for c in range(unknown_classes)},
        known=found[0],
        unknown=found[1],
        points_KD=points_KD.double().numpy(),
        space="features",
        pictures=pixels if pictures else None,  # type: ignore[arg-type]
    )
