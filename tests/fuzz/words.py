"""Command lines nobody should write, and files of sweeps/ and slurm/ with one thing wrong in them."""

import random
import shutil
from pathlib import Path
from typing import Any

import yaml

from difair_hpc.cli import VERBS
from difair_hpc.config.places import places_of
from tests.fuzz.cases import damaged_bytes, damaged_value

KEYS = (
    "benchmark", "split", "method", "method.alpha", "method.radius", "method.radius_coefficient", "seed", "protocol",
    "method.features_per_class", "protocol.epochs", "protocol.batch_size", "protocol.learning_rate", "protocol.augment",
    "protocol.optimizer", "network.dropout", "data.verify", "benchmark.image_size", "benchmark.train_per_class",
    "root", "data_root", "tracking_uri", "storage", "cluster", "cluster.parallel", "cluster.sbatch.mem", "cluster.gres",
    "execution.threads", "execution.device", "stages", "stages.coarse", "stages.final.seeds", "study", "state", "x", "",
)  # fmt: skip
VALUES = (
    "0", "1", "-1", "2.5", "1e400", "nan", "inf", "null", "true", "x", "", "''", "[1,2]", "[]", "{a: 1}", "1,2",
    "mnist", "digits", "difair", "cac", "paper", "short", "local", "v100", "range(1,3)", "choice(a,b)", "${root}", "${",
    "\\", "ü", "\x00", "\udcff", "a b", "../..", "/dev/null", "/no/such/folder", "[[[", "9" * 5000, "interval(0,1)",
    "postgresql://u:p@h/d", "sqlite:///x", "http://127.0.0.1:1", "glob(*)", "n" * 300, "@x", "~x", "+y", "--", "=",
)  # fmt: skip
OPTIONS = (
    "-n", "-f", "json", "table", "xml", "--help", "-h", "--version", "--every", "--port", "99999", "-1",
    "--watchh", "-", "--", "get", "mini", "1", "digits", "~split", "+split=1", "++seed=2", "=", "==", "a=b=c", "=1",
    "[red]x[/red]", "/bad", "[/]", "\x1b[31m",
)  # fmt: skip
_QUICK = (*["train"] * 3, *["sweep"] * 3, "status", "why", "logs", "hold", "cancel", "data", "report")
"""Verbs that answer at once; the others import Optuna or MLflow, or look at the machine."""


def line(chance: random.Random) -> list[str]:
    """Return the words of a command that trains nothing and comes back."""
    verb = chance.choice([*_QUICK, *_QUICK, *VERBS, "nonsense", ""])
    keys = KEYS if verb in ("train", "sweep") else ("root", "data_root", "tracking_uri", "storage", "cluster", "x")
    words = [verb] if chance.random() < 0.95 else []
    if verb in ("train", "sweep"):
        words += ["-n"]
    if verb == "sweep" and chance.random() < 0.8:
        words += [chance.choice(["digits", "paper", "tpe", "ablation_cac", "none", "../digits"])]
    for _ in range(chance.randrange(4)):
        word = f"{chance.choice(keys)}={chance.choice(VALUES)}" if chance.random() < 0.7 else chance.choice(OPTIONS)
        words.append(word)
    return words


def _yaml(chance: random.Random, source: Path, target: Path) -> None:
    """Write a shipped YAML file with one value, key or byte damaged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content: Any = yaml.safe_load(source.read_text("utf-8"))
    if chance.random() < 0.25:
        target.write_bytes(damaged_bytes(chance, source.read_bytes()))
    else:
        target.write_text(yaml.safe_dump(damaged_value(chance, content), allow_unicode=False), "utf-8")


def with_file(chance: random.Random, here: Path, kind: str) -> list[str]:
    """Put a damaged file (kind: sweep, group or profile) under `here`, and return a command that reads it."""
    shipped = {name: places_of(name)[-1] for name in ("sweeps", "slurm")}
    for name in shipped:
        shutil.rmtree(here / name, ignore_errors=True)
    if kind == "sweep":
        source = chance.choice(sorted(shipped["sweeps"].glob("[!c]*.yaml")))
        _yaml(chance, source, here / "sweeps" / source.name)
        return ["sweep", "-n", source.stem]
    if kind == "group":
        group = chance.choice(["benchmark", "method", "protocol"])
        source = chance.choice(sorted((shipped["sweeps"] / group).glob("*.yaml")))
        _yaml(chance, source, here / "sweeps" / group / source.name)
        return ["train", "-n", f"{group}={source.stem}"]
    source = chance.choice(sorted(shipped["slurm"].glob("*.yaml")))
    _yaml(chance, source, here / "slurm" / source.name)
    return ["sweep", "-n", "digits", f"cluster={source.stem}"]
