"""One process that trains at one size of images and batches, and prints what it measured as JSON.

    python -m bench.cell train ROOT SIZE BATCH IMAGES SECONDS    # a real run, and other ways to train, in turns
    python -m bench.cell resume ROOT SIZE BATCH IMAGES BEGUN     # the same run goes on for two steps, and stops

The run is a real one, with everything but evaluation: tracked in MLflow, a checkpoint after every epoch. Its images are
random pixels in CIFAR-10's files, brought to the size; speed depends little on content.
"""

import copy
import json
import pickle
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.written import Written
from difair_hpc.data.benchmarks import load
from difair_hpc.data.published import published
from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import class_split
from difair_hpc.osr.method import Method
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.vgg32 import VGG32
from difair_hpc.runs import facts
from difair_hpc.runs.folder import RunFolder, run_folder
from difair_hpc.runs.run import Events, execute
from difair_hpc.runs.shipping import Shipping
from difair_hpc.runs.spec import ExecutionSpec, RunSpec
from difair_hpc.runs.sqlite import make_store
from difair_hpc.train import checkpoint
from difair_hpc.train.evaluate import evaluate
from difair_hpc.train.spec import ProtocolSpec
from difair_hpc.train.trainer import TrainState

HELD_OUT = 500
"""Test images, of all ten classes."""
WRITTEN_AT = (32,)
"""Sizes at which the training takes part that a user would write."""
LEAST_TURNS = 3
GEMM_SIZES = (1024, 2048, 4096)


def spec(size: int, batch: int) -> RunSpec:
    """Return the run: DIFAIR on CIFAR-10 as the paper trains it, but for a learning rate that noise survives."""
    protocol = ProtocolSpec(
        batch_size=batch, augment="randaugment", augment_magnitude=6, evaluate_every=600, learning_rate=1e-3
    )
    return RunSpec(benchmark=BenchmarkSpec(name="cifar10", image_size=size, verify=False), protocol=protocol)


def write_images(root: Path, images: int) -> None:
    """Write CIFAR-10's files with so many training images of known classes, all pixels random."""
    files, split = published("cifar10"), class_split("cifar10", 0)
    (root / files.folder).mkdir(parents=True, exist_ok=True)
    (root / files.folder / "batches.meta").touch()
    random = np.random.default_rng(0)
    for part, classes, count in (("train", split.known, images), ("test", tuple(range(10)), HELD_OUT)):
        labels = np.resize(np.array(classes), count)
        names = files.checksums[part]
        for name, mine in zip(names, np.array_split(labels, len(names)), strict=True):
            pixels = random.integers(0, 256, (len(mine), 3072), dtype=np.uint8)
            content = {"data": pixels, "labels": mine.tolist()}
            (root / files.folder / name).write_bytes(pickle.dumps(content, protocol=4))


class Turns:
    """Lets a run train an epoch, then others as many images, again and again; it stands behind `Events`."""

    def __init__(self, begin: Callable[[TrainState], dict[str, Callable[[], object]]], seconds: float) -> None:
        """Keep how the others begin, once the run has warmed up, and how long turns may take in all."""
        self._begin, self._seconds = begin, seconds
        self._others: dict[str, Callable[[], object]] = {}
        self._since = self._until = 0.0
        self.state: TrainState | None = None
        self.seconds: dict[str, list[float]] = {"whole": []}
        """Of each turn, by side."""

    def epoch_done(self, state: TrainState) -> None:
        """End the run's turn, and let the others have theirs; the first epoch is to warm up."""
        now = moment()
        if self.state is None:
            self.state, self._others = state, self._begin(state)
            self.seconds |= {name: [] for name in self._others}
            self._until = time.monotonic() + self._seconds
        else:
            self.seconds["whole"].append(now - self._since)
            for name, train in self._others.items():
                begun = moment()
                train()
                self.seconds[name].append(moment() - begun)
        self._since = moment()

    def should_stop(self) -> str:
        """Say when the time is up; asked before every batch, heeded between two turns."""
        if self.state is None or self.state.step or len(self.seconds["whole"]) < LEAST_TURNS:
            return ""
        return "measured" if time.monotonic() > self._until else ""


def moment() -> float:
    """Return a time in seconds at which the GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def bare(network: VGG32, method: Method, data: OpenSetData, batch: int, precision: str) -> Callable[[], object]:
    """Return one step on a batch that is there already: forward, backward, SGD."""
    device = data.mean_C.device
    images_BCHW = torch.randn(batch, data.channels, data.size, data.size, device=device)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    labels_B = torch.arange(batch, device=device) % data.classes
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)

    def step() -> None:
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            output = network(images_BCHW)
        optimizer.zero_grad()
        torch.autograd.backward(method.loss(output, labels_B, network.head))
        optimizer.step()

    return step


def peak(device: torch.device, precision: str) -> float:
    """Return the most operations per second that a product of large matrices reached."""
    fastest = 0.0
    for size in GEMM_SIZES:
        one, other = (torch.randn(size, size, device=device).to(getattr(torch, precision)) for _ in range(2))
        for _ in range(4):
            begun = moment()
            torch.mm(one, other)
            fastest = max(fastest, 2 * size**3 / (moment() - begun))
    return fastest


def train(root: Path, size: int, batch: int, images: int, seconds: float) -> dict[str, Any]:
    """Execute the run for about so many seconds, in turns with the others, then measure what is left.

    Args:
        root: New folder, or that of other sizes.
        size: Height and width of an image in pixels.
        batch: Images per step.
        images: Training images, which is an epoch and a turn.
        seconds: Of all turns, beyond the least number of them.

    Returns:
        Seconds of each turn by side, and single figures; what they are, bench/train.py says.
    """
    folder, execution = _run(root, size, batch, images)
    data = load(folder.spec().benchmark, Path(execution.data_root))
    found: dict[str, Any] = {}

    def begin(state: TrainState) -> dict[str, Callable[[], object]]:
        device = next(state.network.parameters()).device
        found["precision"] = precision = facts.precision("auto", device)
        method = make_method(folder.spec().method, data.classes)
        step = bare(copy.deepcopy(state.network), method, data.to(device), batch, precision)
        with FlopCounterMode(display=False) as counter:
            step()
        found["operations_per_image"] = counter.get_total_flops() / batch
        found["peak"] = peak(device, precision)
        steps = len(data.train) // batch
        others: dict[str, Callable[[], object]] = {"bare": _freely(lambda: [step() for _ in range(steps)])}
        if size in WRITTEN_AT:
            written = Written(copy.deepcopy(state.network), method, data, batch=batch, uri=uri)
            found["workers"] = written.best_workers()
            others["written"] = _freely(written.epoch)
        return others

    uri = f"sqlite:///{root.absolute() / f'written-{batch}.db'}"
    if size in WRITTEN_AT:
        make_store(uri, root)  # now, since two threads of one process cannot make MLflow's tables at once
    turns = Turns(begin, seconds)
    with _tracked(root, folder):
        execute(folder, execution, Events(should_stop=turns.should_stop, on_epoch=turns.epoch_done))
    assert turns.state is not None
    found |= {"turns": turns.seconds, "images": len(data.train), **_afterwards(root, folder, turns.state, data)}
    return found


def resume(root: Path, size: int, batch: int, images: int, begun: float) -> dict[str, float]:
    """Go on for two steps; return the seconds from `begun` (of `time.time`) to the end of the first, and the memory."""
    folder, execution = _run(root, size, batch, images)
    asked: list[float] = []

    def should_stop() -> bool:
        moment()
        asked.append(time.time())
        return len(asked) > 2

    execute(folder, execution, Events(should_stop=should_stop))
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"resumed": asked[1] - begun, "memory": memory}


def main() -> None:
    """Measure and print."""
    what, root, size, batch, images, number = sys.argv[1:]
    measure: Callable[[Path, int, int, int, float], object] = {"train": train, "resume": resume}[what]
    sys.stdout.write(json.dumps(measure(Path(root), int(size), int(batch), int(images), float(number))) + "\n")


def _run(root: Path, size: int, batch: int, images: int) -> tuple[RunFolder, ExecutionSpec]:
    data_root, run = root / f"images-{size}", spec(size, batch)
    folder = run_folder(root, run.signature)
    if not folder.path.exists():
        write_images(data_root, images)
        folder.create(run)
    return folder, ExecutionSpec(data_root=str(data_root), checkpoint_epochs=1)


def _freely(train: Callable[[], object]) -> Callable[[], object]:
    """Let `train` choose kernels that do not repeat to the bit, as PyTorch does by itself; a run of ours does not."""

    def free() -> None:
        torch.use_deterministic_algorithms(mode=False)
        train()
        torch.use_deterministic_algorithms(mode=True)

    return free


def _afterwards(root: Path, folder: RunFolder, state: TrainState, data: OpenSetData) -> dict[str, float]:
    """Return the seconds of a checkpoint and of a restoration, and the images per second of an evaluation."""
    with checkpoint.Writer() as writer:
        pairs = [_checkpoint(root, state, writer, epoch) for epoch in range(3)]
    begun = moment()
    loaded = checkpoint.load_newest(root)
    assert loaded is not None
    state.restore(loaded.payload)
    restored = moment() - begun
    data = data.to(next(state.network.parameters()).device)
    begun = moment()
    evaluate(state.network, make_method(folder.spec().method, data.classes), data)
    evaluated = (len(data.known) + len(data.unknown)) / (moment() - begun)
    held, durable = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    return {"held": held, "durable": durable, "restored": restored, "evaluated": evaluated}


def _checkpoint(folder: Path, state: TrainState, writer: checkpoint.Writer, epoch: int) -> tuple[float, float]:
    """Save; return the seconds for which training would stand still, and those until it is on the disk."""
    begun = moment()
    complete = checkpoint.copied(state.payload(), state.loss_sum.device)

    def finish() -> None:
        checkpoint.save(folder, complete(), attempt=1, epoch=epoch, step=0)

    writer.begin(finish)
    held = time.perf_counter() - begun
    writer.wait()
    return held, time.perf_counter() - begun


@contextmanager
def _tracked(root: Path, folder: RunFolder) -> Iterator[None]:
    """Ship the run to MLflow from a thread while the block trains, as difair train does."""
    from difair_hpc.runs.tracking import Tracker, default_uri

    tracker = Tracker(default_uri(root), root=root, study="bench")
    shipping = Shipping(sys.stderr.write)
    with shipping.beside(lambda: tracker.ship(folder, stage="bench", label=folder.signature)):
        yield


if __name__ == "__main__":
    main()
