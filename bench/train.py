"""Training of whole runs against a bare step, and against what a user would write; checkpoints, resuming, memory.

    python -m bench.train                                # about 6 minutes, on the GPU where there is one
    python -m bench.train --sizes 32 --batches 128       # one column
    python -m bench.train --write docs/benchmarks.md

Each column comes from two processes of its own: see bench/cell.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.tables import Table, machine_and_date, text, write

Cell = Mapping[str, Any]
"""What the two processes of a column printed."""

IMAGES = {8: 16_384, 32: 2_048, 64: 1_024}
"""Training images, by height and width in pixels."""
SECONDS = 20.0
"""How long the turns of a column may take beyond the least number of them."""
BATCHES = (128, 512)


def measure(root: Path, size: int, batch: int, images: int, seconds: float) -> dict[str, Any]:
    """Train at one size of images and batches in two new processes, and return what they printed."""
    printed: dict[str, Any] = {}
    for what in ("train", "resume"):
        numbers = map(str, (size, batch, images, seconds if what == "train" else time.time()))
        command = [sys.executable, "-m", "bench.cell", what, str(root), *numbers]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        printed |= json.loads(done.stdout.splitlines()[-1])
    return printed


def speed(cell: Cell, side: str) -> float:
    """Return the images per second of a side: the median over its turns."""
    return float(cell["images"] / statistics.median(cell["turns"][side]))


def times(cell: Cell, side: str) -> float:
    """Return how many times the speed of `side` the whole training reaches: the median over the turns."""
    pairs = zip(cell["turns"][side], cell["turns"]["whole"], strict=True)
    return statistics.median(float(theirs / ours) for theirs, ours in pairs)


def _share(cell: Cell) -> str:
    """Return the operations per second of the bare step, and their share of the peak in per cent."""
    reached = speed(cell, "bare") * cell["operations_per_image"]
    return f"{reached / 1e12:.2f} ({100 * reached / cell['peak']:.0f} %)"


ROWS: dict[str, Callable[[Cell], str]] = {
    "whole training (images/s)": lambda cell: f"{speed(cell, 'whole'):,.0f}",
    "bare step (images/s)": lambda cell: f"{speed(cell, 'bare'):,.0f}",
    "whole training : bare step": lambda cell: f"{times(cell, 'bare'):.3f}",
    "as a user would write it (images/s)": lambda cell: f"{speed(cell, 'written'):,.0f}",
    "whole training : as a user would write it": lambda cell: f"{times(cell, 'written'):.1f}",
    "bare step (10^12 operations/s, share of peak)": _share,
    "evaluation (images/s)": lambda cell: f"{cell['evaluated']:,.0f}",
    "checkpoint: training stands still (ms)": lambda cell: f"{1000 * cell['held']:.0f}",
    "checkpoint: until it is on disk (ms)": lambda cell: f"{1000 * cell['durable']:.0f}",
    "restore from a checkpoint (ms)": lambda cell: f"{1000 * cell['restored']:.0f}",
    "resume: from process start to first step (s)": lambda cell: f"{cell['resumed']:.1f}",
    "peak memory (GB)": lambda cell: f"{cell['memory'] / 1e9:.2f}",
}


def table(found: Mapping[tuple[int, int], Cell]) -> Table:
    """Return the table with a column for each size of images and batches."""
    first = next(iter(found.values()))
    cells = {shape: {**cell, "peak": max(each["peak"] for each in found.values())} for shape, cell in found.items()}
    rows = [(name, *(_shown(show, cell) for cell in cells.values())) for name, show in ROWS.items()]
    workers = {shape: cell["workers"] for shape, cell in found.items() if "workers" in cell}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    per_epoch = ", ".join(
        f"{images:,} at {size} px" for size, images in sorted({(s, c["images"]) for (s, _), c in found.items()})
    )
    return Table(
        name="train",
        title="Training: a whole run beside a bare step and beside what a user would write",
        header=("", *(f"{size} px, batch {batch}" for size, batch in found)),
        rows=tuple(rows),
        notes=(
            "Whole training: a real run of DIFAIR as the paper trains it on CIFAR-10, with RandAugment, crop, mirror, "
            "schedule, metrics, heartbeat, spool, MLflow from a thread, and a checkpoint after every epoch, without "
            f"evaluation. Images: random pixels in CIFAR-10's files, brought to the size; an epoch has {per_epoch} "
            "(24,000 and more in the paper's benchmarks, with a checkpoint every ten epochs).",
            f"Bare step: forward, backward and SGD on a batch that is there already; {first['precision']} and "
            "channels-last, as in the run, but free to choose kernels that do not repeat. Sides take turns of an "
            "epoch; speeds and ratios are medians over turns. Peak: the fastest product of large matrices in the "
            f"same precision, {max(cell['peak'] for cell in found.values()) / 1e12:.2f} x 10^12 operations/s.",
            "As a user would write it: the same network and loss, torchvision's RandAugment, crop, mirror and "
            "normalisation on PIL images in a DataLoader, float32, NCHW, the mean loss of an epoch to MLflow's SQLite "
            f"store. Workers, the best of 0, 1, 2: {', '.join(map(str, workers.values())) or 'not measured'}.",
            "Peak memory: of the process (of the GPU's memory, where there is one) over two steps after resuming.",
            f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads; {machine_and_date()}.",
            "`python -m bench.train`",
        ),
    )


def main() -> None:
    """Measure all columns, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.train", description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(IMAGES), choices=list(IMAGES), help="in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), help="images per step")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of turns, for each column")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this table in a Markdown file")
    asked = parser.parse_args()
    shapes = [(size, batch) for size in asked.sizes for batch in asked.batches]
    with tempfile.TemporaryDirectory() as folder:
        seen = {(s, b): measure(Path(folder), s, b, IMAGES[s], asked.seconds) for s, b in shapes}
    found = table(seen)
    sys.stdout.write(text(found))
    if asked.write is not None:
        write(asked.write, found)


def _shown(show: Callable[[Cell], str], cell: Cell) -> str:
    try:
        return show(cell)
    except KeyError:
        return "–"


if __name__ == "__main__":
    main()
