"""What MLflow gets of a run beside its files: points in batches, and the metrics and tags of a result."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from difair_hpc.runs.shown import final_metrics

if TYPE_CHECKING:
    from mlflow.entities import Metric

BATCH, CAREFUL_BATCH = 999, 100
"""Most metrics in one call: MLflow takes 1,000 things, one of which is the tag. Fewer after a failure: a busy server
needs seconds for 999, as many again where it has them already, because its first answer came too late.
"""


def batches(
    points: Mapping[int, Mapping[str, Any]], done: int, *, size: int = BATCH
) -> "Iterator[tuple[list[Metric], int]]":
    """Yield the points after epoch `done` in batches, each with the epoch up to which nothing is missing after it.

    An epoch that the spool lacks may come later, if its line was damaged: what follows is shipped, but not counted.
    """
    from mlflow.entities import Metric

    metrics = [
        (epoch, Metric(_allowed(name), float(value), int(point["time"] * 1000), epoch))
        for epoch, point in points.items()
        if epoch > done
        for name, value in point["metrics"].items()
    ]
    for begin in range(0, len(metrics), size):
        batch, rest = metrics[begin : begin + size], metrics[begin + size :][:1]
        whole = {epoch for epoch, _ in batch} - {epoch for epoch, _ in rest}
        while done + 1 in whole:
            done += 1
        yield [metric for _, metric in batch], done


def of_result(
    result: Mapping[str, Any], points: Mapping[int, Mapping[str, Any]]
) -> "tuple[list[Metric], dict[str, str]]":
    """Return the metrics and tags of a run that is done.

    Args:
        result: Content of its result.json.
        points: Its points; what the last epoch's says is the final value, and is not said again.
    """
    from mlflow.entities import Metric

    tags = {f"hardware.{key}": value for key, value in result["hardware"].items()}
    tags |= {f"version.{key}": value for key, value in result["versions"].items()}
    tags |= {"difair.outcome": result["outcome"], "difair.attempts": result["attempts"]}
    if result["versions"]["commit"] != "none":
        tags["mlflow.source.git.commit"] = result["versions"]["commit"]
    moment, epoch = int(result["finished"] * 1000), result["epochs"]
    told = points.get(epoch, {"metrics": {}})["metrics"]
    final = {name: value for name, value in final_metrics(result).items() if name not in told}
    metrics = [Metric(_allowed(name), value, moment, epoch) for name, value in final.items()]
    return metrics, {key: str(value) for key, value in tags.items()}


def _allowed(name: str) -> str:
    """Return a metric's name without what MLflow refuses in it, such as the apostrophe in "potter's wheel"."""
    return re.sub(r"[^/\w.\- :]", "_", name)[:250]
