"""The smallest real training: six digits, ten images of each, four steps per epoch.

Where a test is about signals, folders, jobs or MLflow, this is what trains: an epoch costs a twentieth of a second.
Where it has to last, `pause_seconds` makes it wait before each step: that costs nothing and is as long everywhere.
"""

import json

STEPS = 4
"""Steps of an epoch."""
SHORT: dict[str, object] = {
    "benchmark": "digits",
    "benchmark.train_per_class": 10,
    "protocol": "short",
    "protocol.batch_size": 16,
    "protocol.warmup_epochs": 0,
}


def short(epochs: int, **changes: object) -> dict[str, object]:
    """Return the keys of a run; in `changes` two underscores stand for a dot."""
    return {**SHORT, "protocol.epochs": epochs, **{key.replace("__", "."): value for key, value in changes.items()}}


def words(keys: dict[str, object]) -> list[str]:
    """Return keys as they are typed."""
    return [f"{key}={value}" for key, value in keys.items()]


def overrides(epochs: int, **changes: object) -> list[str]:
    """Return the keys as they are typed after a study that names benchmark and protocol itself."""
    keys = {key: value for key, value in short(epochs, **changes).items() if key not in ("benchmark", "protocol")}
    return words(keys)


def base(epochs: int, **changes: object) -> str:
    """Return the keys as YAML in one line, for `base:` of a stage."""
    return json.dumps(short(epochs, **changes))


def search(epochs: int, alphas: str = "[6, 10]", *, choose: str = "") -> str:
    """Return a sweep file: a grid over alpha and nothing else."""
    rule = f"\n    choose: {choose}" if choose else ""
    return f"""study: mini
stages:
  coarse:
    search: grid
    base: {base(epochs, method="difair")}
    space: {{method.alpha: {alphas}}}{rule}
"""


def study(epochs: int, alphas: str = "[6, 10]", *, methods: str = "[cross_entropy, difair]") -> str:
    """Return a sweep file: a grid over alpha, and a final stage of the largest and its rivals."""
    final = base(epochs)
    return (
        search(epochs, alphas, choose="{tolerance: 1.0, prefer: [largest method.alpha], of: method.alpha}")
        + f"""
  final:
    search: final
    chosen_in: coarse
    base: {final}
    benchmarks: [digits]
    methods: {methods}
    splits: [0]
"""
    )
