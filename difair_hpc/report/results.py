"""From result.json to rows: nothing that was edited, damaged or written by another version passes as a measurement."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, cast

from difair_hpc.errors import NewerSchema, UserError
from difair_hpc.osr.spec import METHOD_SPECS, anchor_distance
from difair_hpc.report.reader import Reader
from difair_hpc.report.rows import ResultRow
from difair_hpc.runs.spec import SCHEMA, run_spec

_BY_SCORE, _COUNTS = ("oscr", "fpr95", "aupr"), ("known_images", "unknown_images")
COMPUTED_WITH = ("precision", "instructions", "arithmetic")
"""What of the hardware on record decides bits; results of earlier versions lack some of it."""
_ROUNDING = 1e-9
_CHOICES = ("alpha", "radius_coefficient", "features_per_class")
_APART = ("benchmark.name", "benchmark.split", "method.name", "protocol.epochs", "protocol.evaluate_every", "seed")


def read_rows(results: Mapping[str, object]) -> tuple[tuple[ResultRow, ...], tuple[str, ...]]:
    """Make the rows of many runs; a result that cannot be trusted is named and left out.

    That is one that cannot be read, is of a newer schema, contradicts itself, lies in the folder of another run, or
    whose spec was edited: the spec's signature is then another. The spec of an older schema has no signature today.

    Args:
        results: Content of each result.json by the run's signature: None where there is none, because the run is not
            done; anything else, such as {}, where the file is no whole JSON.

    Returns:
        The rows, and what was left out and why.
    """
    rows, problems = [], []
    for signature, result in results.items():
        if result is None:
            continue
        try:
            rows.append(_trusted(result, signature))
        except UserError as error:
            problems.append(f"Left out: {error}")
    return tuple(rows), tuple(problems)


def row_of_task(
    row: ResultRow, result: Mapping[str, object], *, benchmark: str, split: int, where: str = "result.json"
) -> ResultRow:
    """Return the row of another task that the run of `row` serves: what it reached on that benchmark and split.

    Raises:
        DataDamaged: The result does not measure that task.
    """
    task = replace(row, benchmark=benchmark, split=split, trained_as=f"{row.benchmark} split {row.split}")
    if row.diverged:
        return task
    read = Reader(result, where)
    for served in read.sequence("evaluation.served"):
        entry = Reader(cast("Mapping[str, object]", served), f"{where}: served")
        if (entry.text("benchmark"), entry.whole("split")) == (benchmark, split):
            evaluation = {**cast("Mapping[str, object]", served), "held_out": row.held_out}
            measured = _measurements(Reader({"evaluation": evaluation}, where))
            return replace(task, **measured)
    raise read.damaged("evaluation.served", f"does not measure {benchmark}, split {split}")


def _trusted(result: object, signature: str) -> ResultRow:
    where = f"runs/{signature}/result.json"
    content = result if isinstance(result, Mapping) else {}
    read, row = Reader(content, where), row_from_result(content, where=where)
    if row.signature != signature:
        raise read.damaged("signature", f"is {row.signature}, another run's")
    if read.whole("schema") == SCHEMA:
        try:
            actual = run_spec(read.mapping("spec")).signature
        except UserError as error:
            raise read.damaged("spec", f"is not possible ({error})") from error
        if actual != signature:
            raise read.damaged("spec", f"is that of another run ({actual})")
    return row


def row_from_result(result: Mapping[str, object], *, where: str = "result.json") -> ResultRow:
    """Make the row of a run from its result file.

    Args:
        result: The file's content as plain data.
        where: The file's name, for complaints.

    Raises:
        NewerSchema: A newer version of this package wrote the file.
        DataDamaged: A key is missing or its value is not of its kind; names file and key.
    """
    read = Reader(result, where)
    if read.whole("schema") > SCHEMA:
        raise NewerSchema(
            f"{where} has schema {read.whole('schema')}; this version reads up to {SCHEMA}. Update difair-hpc."
        )
    outcome = read.text("outcome")
    if outcome not in ("completed", "diverged"):
        raise read.damaged("outcome", "is neither completed nor diverged")
    return ResultRow(
        benchmark=read.text("spec.benchmark.name"),
        split=read.whole("spec.benchmark.split"),
        method=read.text("spec.method.name"),
        seed=read.whole("spec.seed"),
        signature=read.text("signature"),
        epochs=read.whole("epochs"),
        outcome=cast("Literal['completed', 'diverged']", outcome),
        settings={key: value for key, value in _flat(read.mapping("spec")) if key not in _APART},
        warnings=tuple(str(warning) for warning in read.sequence("warnings")),
        seconds=read.number("seconds") if read.has("seconds") else None,
        attempts=read.whole("attempts") if read.has("attempts") else None,
        versions=_versions(read),
        data_fingerprint=read.text("data_fingerprint") if read.has("data_fingerprint") else None,
        weights=read.text("weights_sha256") if read.has("weights_sha256") else None,
        **_choices(read),
        **(_measurements(read) if outcome == "completed" else {}),
    )


def _versions(read: Reader) -> dict[str, str]:
    found = {key: str(value) for key, value in read.mapping("versions").items()} if read.has("versions") else {}
    there = [key for key in COMPUTED_WITH if read.has("hardware") and read.has(f"hardware.{key}")]
    return {**found, **{key: read.text(f"hardware.{key}") for key in there}}


def _choices(read: Reader) -> dict[str, Any]:
    spec = METHOD_SPECS.get(read.text("spec.method.name"))
    names = {known.name for known in fields(spec)} if spec else set(read.mapping("spec.method"))
    values: dict[str, Any] = {key: read.number(f"spec.method.{key}") for key in _CHOICES if key in names}
    if len(values) < len(_CHOICES):
        return values
    features = read.whole("spec.method.features_per_class")
    if features < 1:
        raise read.damaged("spec.method.features_per_class", f"is {features} where at least 1 belongs")
    radius = values["radius_coefficient"] * anchor_distance(features_per_class=features, alpha=values["alpha"])
    return {**values, "features_per_class": features, "radius": radius}


def _measurements(read: Reader) -> dict[str, Any]:
    accuracy = read.share("evaluation.closed_set_accuracy")
    occupancy, auroc = read.value("evaluation.occupancy"), read.value("evaluation.auroc")
    values: dict[str, Any] = {
        "closed_set_accuracy": accuracy,
        "occupancy": None if occupancy is None else read.share("evaluation.occupancy"),
        "auroc": {} if auroc is None else read.shares("evaluation.auroc"),
        "held_out": read.text("evaluation.held_out"),
        **{key: read.shares(f"evaluation.{key}") for key in _BY_SCORE if read.has(f"evaluation.{key}")},
        **{key: read.whole(f"evaluation.{key}") for key in _COUNTS if read.has(f"evaluation.{key}")},
    }
    for score, value in values.get("oscr", {}).items():
        if value > min(accuracy, values["auroc"].get(score, 0.0)) + _ROUNDING:
            raise read.damaged(f"evaluation.oscr.{score}", "is above the accuracy or the AUROC, which bound it")
    return values


def _flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs
