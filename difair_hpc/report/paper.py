"""The paper's published numbers as printed: Table 1, Table 2 and appendix E.2, all in percent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BENCHMARKS: Mapping[str, str] = {
    "mnist": "MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR10",
    "cifar+10": "CIFAR+10",
    "cifar+50": "CIFAR+50",
    "tinyimagenet": "TinyImageNet",
}
"""The columns of both tables, in the paper's order: our benchmark name, the paper's."""

METHODS: Mapping[str, str] = {
    "cross_entropy": "Cross-entropy",
    "cac": "CAC",
    "difair": "DIFAIR",
    "difair_std": "DIFAIR-std",
    "arpl": "ARPL",
    "arpl_cs": "ARPL+CS",
    "dchs": "DCHS without outside images",
}
"""Our method names, the paper's."""

REFERENCE = "difair"
"""The method that all others are compared with."""

HEADLINE: Mapping[str, str] = {
    "cross_entropy": "mos",
    "cac": "cac",
    "arpl": "arpl",
    "arpl_cs": "arpl",
    "dchs": "dchs",
    "difair": "mos",
    "difair_std": "mos",
}
"""The score by which each method is compared, fixed here before any run: the one its authors propose, and for DIFAIR
the one that the paper puts forward (section 4, †)."""

EPOCHS = 600
"""Passes over the training images behind every number of the paper (A.2)."""

CHOICE: Mapping[str, float] = {"alpha": 10.0, "radius_coefficient": 0.4, "features_per_class": 5}
"""The configuration of DIFAIR that the paper chose (C)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRow:
    """One line of a table of the paper."""

    name: str
    """The line's name; † stands for the maximum output score (mos), a citation for numbers quoted there."""
    method: str | None
    """Our method behind this line; None: the paper quotes another publication, which is not run here."""
    score: str | None
    """Our score behind this line; None in Table 2 and where nothing is run here."""
    means: Mapping[str, float] = field(default_factory=dict)
    """Percent by benchmark, mean over five splits; empty: the paper has no such line."""
    spreads: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation over splits in percentage points by benchmark; empty: not printed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A table of the paper, lines in its order."""

    rows: tuple[PaperRow, ...]
    """The lines; those without means (DIFAIR-std, ARPL, DCHS) have numbers of ours alone."""


def _line(name: str, method: str | None, score: str | None, *means: float, spreads: tuple[float, ...] = ()) -> PaperRow:
    return PaperRow(
        name=name,
        method=method,
        score=score,
        means=dict(zip(BENCHMARKS, means, strict=True)) if means else {},
        spreads=dict(zip(BENCHMARKS, spreads, strict=True)) if spreads else {},
    )


QUOTED = (
    "Lines with a citation are quoted by the paper and not run here: they are trained otherwise, those of Vaze et al. "
    "with other known classes of CIFAR+N, DCHS with outside images."
)
"""What has to be known of Table 1's lines without a method of ours."""

TABLE_1 = PaperTable(
    rows=(
        _line("MSP", "cross_entropy", "msp", 99.4, 95.6, 89.0, 90.5, 89.8, 66.3),
        _line("MLS†", "cross_entropy", "mos", 99.6, 96.9, 92.0, 91.8, 92.1, 67.9),
        _line("MLS† (Vaze et al., 2022)", None, None, 99.3, 97.1, 93.6, 97.9, 96.5, 83.0),
        _line("CELR", "cross_entropy", "celr", 99.2, 87.1, 57.1, 67.2, 69.3, 54.3),
        _line("CAC", "cac", "cac", 98.9, 96.6, 86.1, 86.5, 87.0, 58.2),
        _line("CAC†", "cac", "mos", 97.4, 96.9, 86.0, 83.4, 84.9, 69.0),
        _line("DCHS (Cevikalp et al., 2023)", None, None, 96.6, 94.5, 94.7, 99.2, 98.5, 83.8),
        _line(f"{METHODS['dchs']} (ours)", "dchs", "dchs"),
        _line("(ARPL+CS)+ (Vaze et al., 2022)", None, None, 99.2, 96.8, 93.9, 98.1, 96.7, 82.5),
        _line("ARPL+CS (ours, same protocol)", "arpl_cs", "arpl"),
        _line("ARPL (ours, same protocol)", "arpl", "arpl"),
        _line("DIFAIR", "difair", "distance", 98.9, 93.5, 77.3, 77.4, 77.4, 65.2),
        _line("DIFAIR†", "difair", "mos", 99.5, 94.8, 86.5, 86.8, 86.1, 69.3),
        _line("DIFAIR-std", "difair_std", "distance"),
        _line("DIFAIR-std†", "difair_std", "mos"),
    )
)
"""Table 1: AUROC of detecting unknown classes, mean of five splits; the paper prints no deviation."""

TABLE_2 = PaperTable(
    rows=(
        _line(
            "Cross-entropy",
            "cross_entropy",
            None,
            *(99.8, 97.7, 96.1, 96.1, 96.1, 61.4),
            spreads=(0.1, 0.2, 1.2, 0.2, 0.1, 3.1),
        ),
        _line("CAC", "cac", None, 99.8, 98.2, 96.1, 96.2, 96.3, 66.1, spreads=(0.1, 0.1, 1.0, 0.3, 0.1, 2.3)),
        _line("DIFAIR", "difair", None, 99.8, 98.0, 95.8, 96.2, 96.2, 66.8, spreads=(0.1, 0.2, 1.2, 0.3, 0.1, 2.3)),
        _line("DIFAIR-std", "difair_std", None),
        *(_line(METHODS[method], method, None) for method in ("arpl", "arpl_cs", "dchs")),
    )
)
"""Table 2: closed-set accuracy, mean and standard deviation over five splits."""

THIRD_SPLIT = 2
"""The split of CIFAR10 that appendix E.2 studies, counted from 0."""

THIRD_SPLIT_AUROC: Mapping[tuple[str, str | None], float] = {
    ("difair", "distance"): 77.0,
    ("difair", "mos"): 85.0,
    ("difair_std", "distance"): 72.9,
    ("difair_std", "mos"): 84.0,
}
"""AUROC of single models on CIFAR10's third split by method and score (E.2)."""

THIRD_SPLIT_ACCURACY: Mapping[tuple[str, str | None], float] = {("difair", None): 93.5, ("difair_std", None): 93.6}
"""Closed-set accuracy of the same models by method (E.2)."""
