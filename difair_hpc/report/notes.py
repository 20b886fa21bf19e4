"""What has to be said below a table so that nobody reads more into its numbers than they hold."""

from collections.abc import Mapping, Sequence

from difair_hpc.data.spec import SPLITS
from difair_hpc.report import paper as published
from difair_hpc.report.rows import ResultRow, StageRows, is_chosen
from difair_hpc.runs.shown import run_count
from difair_hpc.words import counted

MISSING, UNPUBLISHED, MIXED = "·", "–", "!"
_COMPUTING = ("commit", "torch", "precision", "instructions", "arithmetic")
_LATER = {f"versions.{key}" for key in ("instructions", "arithmetic")}
"""What earlier versions did not put on record: a result without it differs in nothing that is known."""
LISTED = 10
"""Runs that a note names before it only counts the others."""


def completed(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows that have measurements."""
    return [row for row in rows if not row.diverged]


def method_name(name: str) -> str:
    """Return the paper's name of a method, or its own where the paper has none."""
    return published.METHODS.get(name, name)


def joined(values: Sequence[object]) -> str:
    """Return at least one value as words: a, b and c."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def pruned_lines(stage: StageRows) -> list[str]:
    """Say of each run that the stage has stopped at a rung what it was compared with."""
    settings = {run: ", ".join(f"{key}={value}" for key, value in keys.items()) for run, keys in stage.searched.items()}
    return [f"Pruned: run {run} ({settings.get(run, MISSING)}): {why}." for run, why in stage.pruned.items()]


def reading_notes(rows: Sequence[ResultRow], *, beside: bool = True) -> list[str]:
    """Say how to read a table, beside the paper's numbers or not, and in what our runs are not those of the paper."""
    done = completed(rows)
    paper = ", then in brackets the paper's number and ours minus the paper's" if beside else ""
    unpublished = f"{UNPUBLISHED} no number in the paper; " if beside else ""
    notes = [
        "Each cell: ours, mean ± population standard deviation over n splits (seeds of one split are averaged first)"
        f"{paper}. n = {SPLITS} unless the cell says otherwise; with n=1 there is no ±. {MISSING} no run of ours; "
        f"{unpublished}{MIXED} runs of different settings, versions or images are averaged. "
        "Bold: the best of ours in a column, among the numbers over the most splits."
    ]
    if not done:
        return [*notes, "No run of a final stage has finished: only the paper's numbers are shown."]
    return [*notes, _epochs_note(done), *_choice_notes(done), *_class_notes(done), *training_notes(done)]


def _epochs_note(rows: Sequence[ResultRow]) -> str:
    epochs = sorted({row.epochs for row in rows})
    if epochs == [published.EPOCHS]:
        return f"Trained for {published.EPOCHS} epochs, as in the paper."
    names = {
        count: sorted({published.BENCHMARKS.get(row.benchmark, row.benchmark) for row in rows if row.epochs == count})
        for count in epochs
    }
    lengths = [f"{counted(count, 'epoch')} ({', '.join(names[count])})" for count in epochs]
    return (
        f"Trained for {joined(lengths)}. The paper trained for {published.EPOCHS}: "
        "numbers of runs with another length are NOT comparable with the paper's."
    )


def _choice_notes(rows: Sequence[ResultRow]) -> list[str]:
    keys = tuple(published.CHOICE)
    tried = sorted({(row.method, *(getattr(row, key) for key in keys)) for row in rows if row.radius is not None})
    other = [choice for choice in tried if not is_chosen(dict(zip(keys, choice[1:], strict=True)), [published.CHOICE])]
    return [
        f"{method_name(method)} ran here with {_values(dict(zip(keys, values, strict=True)))}; "
        f"the paper's numbers are for {_values(published.CHOICE)}."
        for method, *values in other
    ]


def _class_notes(rows: Sequence[ResultRow]) -> list[str]:
    notes = []
    names = {row.benchmark for row in rows}
    if equal := [published.BENCHMARKS[name] for name in ("svhn", "cifar10") if name in names]:
        notes.append(f"{' and '.join(equal)}: splits 0 and 1 have the same known classes, and both count.")
    if any(row.benchmark.startswith("cifar+") and _set(row, "cifar_plus_known") == "vaze" for row in rows):
        notes.append("CIFAR+N with the known classes of Vaze's file: the paper's are the four vehicle classes.")
    if any(row.benchmark == "tinyimagenet" and _set(row, "tinyimagenet_order") == "sorted" for row in rows):
        notes.append(
            "TinyImageNet classes are numbered by sorted folder names (as in Vaze et al.); "
            "the paper most likely numbered them by wnids.txt, which gives other known classes."
        )
    if other := sorted({str(row.held_out) for row in rows} - {"test"}):
        notes.append(f"Some runs were measured on {joined(other)} images; the paper's numbers are from test images.")
    return notes


def training_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Say how many trainings are behind the results where some share one."""
    count, trainings = len(rows), len({row.weights or row.signature for row in rows})
    if trainings == count:
        return []
    stand = counted(trainings, "training", "stand")
    shared = "what has the same known classes is trained once and counts where it is"
    return [f"{stand} behind {counted(count, 'result')}: {shared}."]


def mixed_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Name the places whose runs differ in settings or versions, and in which."""
    places: dict[str, list[str]] = {}
    for method, benchmark in sorted({(row.method, row.benchmark) for row in rows}):
        here = [row for row in completed(rows) if (row.method, row.benchmark) == (method, benchmark)]
        if differences := differing(here):
            what = "; ".join(f"{key} {joined(values)}" for key, values in differences.items())
            name = published.BENCHMARKS.get(benchmark, benchmark)
            places.setdefault(what, []).append(f"{method_name(method)} on {name}")
    return [
        f"{MIXED} {joined(names)} average{'s' * (len(names) == 1)} runs that differ in: {what}."
        for what, names in places.items()
    ]


def differing(rows: Sequence[ResultRow], *, apart: str = "") -> dict[str, list[str]]:
    """Return the settings and versions in which runs differ, with their values; leave out what begins with `apart`."""
    computing = [{f"versions.{key}": row.versions[key] for key in _COMPUTING if key in row.versions} for row in rows]
    all_settings = [
        {"epochs": row.epochs, "held_out": row.held_out, **row.settings, **versions}
        for row, versions in zip(rows, computing, strict=True)
    ]
    keys = sorted({key for settings in all_settings for key in settings if not (apart and key.startswith(apart))})
    values = {
        key: sorted(
            {plain(one.get(key, "unset")) or "as delivered" for one in all_settings if key in one or key not in _LATER},
            key=_natural,
        )
        for key in keys
    }
    return {key: found for key, found in values.items() if len(found) > 1}


def data_conflicts(rows: Sequence[ResultRow]) -> dict[tuple[str, int], list[str]]:
    """Return benchmark and split where runs saw different images, with their fingerprints."""
    found: dict[tuple[str, int], set[str]] = {}
    for row in completed(rows):
        if row.data_fingerprint:
            found.setdefault((row.benchmark, row.split), set()).add(row.data_fingerprint)
    return {place: sorted(prints) for place, prints in sorted(found.items()) if len(prints) > 1}


def data_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Name each benchmark and split where runs saw different images."""
    return [
        f"{MIXED} {published.BENCHMARKS.get(benchmark, benchmark)} split {split}: the runs saw different images "
        f"(data fingerprints {joined([name[:12] for name in prints])}); their numbers do not compare."
        for (benchmark, split), prints in data_conflicts(rows).items()
    ]


def diverged_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Name the runs without measurements."""
    lost = sorted((row for row in rows if row.diverged), key=lambda row: (row.method, row.benchmark, row.split))
    if not lost:
        return []
    named = [f"{method_name(row.method)} {row.benchmark} split {row.split} ({row.signature})" for row in lost[:LISTED]]
    more = [f"{len(lost) - LISTED} more"] if len(lost) > LISTED else []
    return [f"Left out, because the loss diverged: {'; '.join(named + more)}."]


def warning_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Return each distinct warning of the runs once, with the number of runs that gave it."""
    runs = {row.signature: row for row in rows}.values()
    given = [text for row in runs for text in dict.fromkeys(row.warnings)]
    return [f"Warning of {run_count(given.count(text))}: {text}" for text in sorted(set(given))]


def _set(row: ResultRow, key: str) -> object:
    return row.settings.get(f"benchmark.{key}")


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in values.items())


def plain(value: object) -> str:
    """Return a setting as text, numbers without needless digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.10g}" if is_number else str(value)


def _natural(text: str) -> tuple[float, str]:
    try:
        return (float(text), "")
    except ValueError:
        return (float("inf"), text)
