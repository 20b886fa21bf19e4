"""From the outputs of a network to predictions, scores and metrics: the same from a GPU as from a saved file (pure)."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from difair_hpc.osr import posthoc, scores
from difair_hpc.osr.method import Assessment, Centres, Method
from difair_hpc.osr.methods import CrossEntropy
from difair_hpc.osr.metrics import Evaluation
from difair_hpc.osr.metrics import evaluate as measure
from difair_hpc.osr.openmax import openmax
from difair_hpc.osr.outputs import Outputs, Part


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Assessed:
    """What a method and the scores beyond it say about a split."""

    known: Assessment
    unknown: Assessment
    """Without images where all classes are known."""
    centres: Centres


def assess(method: Method, outputs: Outputs, *, further: bool = True) -> Assessed:
    """Predict and score all held-out images: the method's own scores first, then (`further`) every score that fits."""
    centres = method.centres(outputs.train.output, outputs.train.labels_B, outputs.head)
    both = []
    for part in (outputs.known, outputs.unknown):
        own = method.assess(part.output, centres)
        added = further_scores(method, outputs.train, centres, part) if further else {}
        both.append(replace(own, scores={**own.scores, **added}))
    return Assessed(known=both[0], unknown=both[1], centres=centres)


def evaluate(method: Method, outputs: Outputs, found: Assessed, unknown: Collection[int]) -> Evaluation:
    """Compute all metrics of all scores.

    Args:
        method: What was trained.
        outputs: What its network says.
        found: The result of `assess` on them.
        unknown: The unknown classes that count; the outputs may hold those of several tasks.
    """
    counted = torch.tensor(sorted(unknown), dtype=torch.int64, device=outputs.unknown.labels_B.device)
    return measure(
        known=found.known,
        labels_B=outputs.known.labels_B,
        inside_B=method.inside(outputs.known.output, outputs.known.labels_B),
        unknown=found.unknown.only(torch.isin(outputs.unknown.labels_B, counted)),
    )


def further_scores(method: Method, train: Part, centres: Centres, part: Part) -> dict[str, Tensor]:
    """Return the scores that need no training of their own, by name, (B,) float64 each.

    energy, gen: of the values that the method takes a softmax of. knn, rmds: on the features. knn_z, rmds_z: on the
    representation that is pulled to the anchors, not normalised. vim: linear head. openmax: cross-entropy.
    """
    found: dict[str, Tensor] = {}
    if (believed_BK := method.class_logits(part.output, centres)) is not None:
        found |= {"energy": scores.energy(believed_BK), "gen": scores.gen(believed_BK)}
    found["knn"] = posthoc.knn(train.features_BD, part.features_BD, normalised=True)
    found["rmds"] = posthoc.rmds(train.features_BD, train.labels_B, part.features_BD)
    if method.anchored:
        bank, values = _anchored(method, train), _anchored(method, part)
        found["knn_z"] = posthoc.knn(bank, values, normalised=False)
        if method.space == "logits":
            found["rmds_z"] = posthoc.rmds(bank, train.labels_B, values)
    if train.logits_BK is not None and part.logits_BK is not None:
        found["vim"] = posthoc.vim(train.features_BD, train.logits_BK, part.features_BD, part.logits_BK)
        if isinstance(method, CrossEntropy):
            found["openmax"] = openmax(train.logits_BK, train.labels_B, part.logits_BK)
    return found


def _anchored(method: Method, part: Part) -> Tensor:
    values = part.logits_BK if method.space == "logits" else part.features_BD
    assert values is not None, "a method whose points lie among logits has logits"
    return values
