"""All pictures of one run, and of several runs of one split side by side, each with the words below it."""

from collections.abc import Iterator, Sequence

from difair_hpc.report import detection as curves
from difair_hpc.report.images import RunImages
from difair_hpc.report.misses import nearest_misses
from difair_hpc.report.notes import joined, method_name
from difair_hpc.report.page import Picture
from difair_hpc.report.paper import HEADLINE
from difair_hpc.report.representations import mean_representations, unknown_representations
from difair_hpc.report.tsne import LIMIT, representation_map
from difair_hpc.report.views import own_score

_MEANS = {"cross_entropy": "as the paper's Figures 3a and 5b", "difair": "as the paper's Figures 3a and 5a"}
_SINGLE = {"difair_std": "as the paper's Figure 5c"}
_MAPS = {"difair": "as the paper's Figures 6a and 6c", "difair_std": "as the paper's Figures 6b and 6d"}


def run_pictures(run: RunImages) -> Iterator[Picture]:
    """Draw one run, a picture at a time: representations, t-SNE, scores and nearest misses.

    Yields:
        Pictures whose names end in the run's signature; those without anything to show say why.
    """
    row = run.row
    whose = f"{method_name(row.method)}, {row.benchmark} split {row.split}, seed {row.seed} (run {row.signature})"
    words = {
        "mean_representations": (
            "Mean representation of the training images that are classified correctly, one line per class; "
            "the area of a square is the size of the value, hollow ones are below 0, shaded ones are the class's own. "
            f"{_figure(_MEANS, row.method, 'Figure 5a')}."
        ),
        "unknown_representations": (
            "Single unknown images, true class → known class it was taken for (shaded): "
            f"the one scored most known and the median by the score {own_score(run)}. "
            f"{_figure(_SINGLE, row.method, 'Figure 5c')}."
        ),
        "tsne": (
            "t-SNE of the held-out images' representations, one map drawn twice; unknown classes in colour on the "
            f"right. At most {LIMIT} images, evenly drawn. {_figure(_MAPS, row.method, 'Figure 6')}."
        ),
        "scores": "Scores of known and unknown images; not in the paper, beside its Table 1.",
        "nearest_misses": (
            f"Unknown images scored most known and known images scored most unknown by the score {own_score(run)}; "
            "not in the paper."
        ),
    }
    drawers = (
        mean_representations,
        unknown_representations,
        representation_map,
        curves.score_histograms,
        nearest_misses,
    )
    for (name, caption), draw in zip(words.items(), drawers, strict=True):
        yield Picture(name=f"{name}_{row.signature}", caption=f"{whose}: {caption}", figure=draw(run))


def comparison_pictures(runs: Sequence[RunImages]) -> Iterator[Picture]:
    """Draw the ROC and OSCR curves of each benchmark split, one line per method with the score it is compared by.

    That score is fixed in paper.py. Of several runs of one method the one with the lowest seed is drawn. Splits without
    unknown classes are left out.
    """
    splits: dict[tuple[str, int], dict[str, RunImages]] = {}
    for run in sorted(runs, key=lambda one: (one.row.seed, one.row.signature)):
        if run.row.auroc and len(run.outputs.unknown):
            splits.setdefault((run.row.benchmark, run.row.split), {}).setdefault(run.row.method, run)
    for (benchmark, split), shown in sorted(splits.items()):
        lines = []
        for method, run in shown.items():
            score = HEADLINE.get(method, own_score(run))
            lines.append(curves.detection(run, score, f"{method_name(method)} ({score})"))
        drawn = f"Runs {joined([run.row.signature for run in shown.values()])}."
        where = f"{benchmark} split {split}"
        caption = f"of {where}, one line per method, with the score it is compared by. {drawn}"
        yield Picture(
            name=f"roc_{benchmark}_{split}",
            caption=f"ROC curves {caption} Not in the paper, beside its Table 1.",
            figure=curves.roc_figure(lines, f"ROC, {where}"),
        )
        yield Picture(
            name=f"oscr_{benchmark}_{split}",
            caption=f"OSCR curves {caption} Not in the paper.",
            figure=curves.oscr_figure(lines, f"OSCR, {where}"),
        )


def _figure(published: dict[str, str], method: str, alike: str) -> str:
    """Say which figure of the paper this is, or what it is drawn like where the paper has none of the method."""
    words = published.get(method, f"drawn like the paper's {alike}, which has none of this method")
    return words[0].upper() + words[1:]
