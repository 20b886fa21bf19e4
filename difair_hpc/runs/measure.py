"""What a finished training is worth: its network's outputs are saved, and every score is measured on them."""

from pathlib import Path
from typing import Any

from difair_hpc.data.benchmarks import load_served
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import class_split, sharing
from difair_hpc.osr.evaluation import assess, evaluate
from difair_hpc.runs import outputs
from difair_hpc.train.evaluate import all_outputs
from difair_hpc.train.trainer import Task, TrainState


def measure(
    folder: Path, spec: BenchmarkSpec, task: Task, state: TrainState, data_root: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Save the outputs for all images, and measure all scores on each task that the training serves.

    Args:
        folder: The run folder.
        spec: The benchmark that was trained on.
        task: Method and data.
        state: The trained network.
        data_root: Where the unknown images of the other tasks are.

    Returns:
        The metrics of the run's own task; where there are more tasks, those of each under "served"; and warnings about
        class centres.
    """
    data, known = task.data, spec.cifar_plus_known
    tasks = sharing(spec.name, spec.split, cifar_plus_known=known)
    unknown, names = load_served(spec, data_root) if len(tasks) > 1 else (data.unknown, data.unknown_names)
    seen = all_outputs(state.network, data, unknown.to(data.mean_C.device))
    outputs.save(folder, outputs.SavedOutputs(outputs=seen, class_names=data.class_names, unknown_names=names))
    found = assess(task.method, seen)
    measured = {
        (name, split): evaluate(
            task.method, seen, found, class_split(name, split, cifar_plus_known=known).unknown
        ).to_dict()
        for name, split in tasks
    }
    served = [{"benchmark": name, "split": split, **measured[name, split]} for name, split in tasks]
    own = {**measured[spec.name, spec.split], "held_out": data.held_out}
    return {**own, "served": served} if len(tasks) > 1 else own, found.centres.warnings
