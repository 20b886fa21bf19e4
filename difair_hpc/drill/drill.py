"""A drill from its plan to its verdict: the undisturbed study, the one under faults, and what differs."""

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from difair_hpc import config
from difair_hpc.config import word
from difair_hpc.drill.facts import folder_facts, point_facts, trial_facts
from difair_hpc.drill.faults import Injection, Tell
from difair_hpc.drill.kinds import KINDS, NEEDS, Need, faketime
from difair_hpc.drill.outcome import Record, differences
from difair_hpc.drill.plan import Fault, drawn
from difair_hpc.drill.scene import MARK, PATIENCE_SECONDS, STUDY, Scene
from difair_hpc.drill.servers import mlflow_server, mount, postgres_programs, postgres_server, unmount
from difair_hpc.errors import InvalidValue
from difair_hpc.folders import usable_folder
from difair_hpc.runs.spec import ExecutionSpec
from difair_hpc.runs.sqlite import sqlite_uri
from difair_hpc.sweep.profile import Profile
from difair_hpc.words import counted

SILENCE_SECONDS = "3"
"""DIFAIR_SILENCE of local drills: a stopped process is given up soon, which no process on another machine may be."""
_MEGABYTES = 600
"""Of the small file system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill:
    """What is to be done, and where."""

    base: Path
    """The drill's own folder: quiet/ and loud/ (output roots), faults.jsonl, commands.log."""
    profile: Profile
    words: tuple[str, ...]
    """Settings of both studies."""
    execution: ExecutionSpec
    faults: tuple[Fault, ...]
    left_out: dict[str, str]
    """Kinds that are not possible here, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a drill."""

    records: tuple[Record, ...]
    differences: tuple[str, ...]
    missing: int
    """Faults of the plan that could not be injected, because the study had ended."""
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every fault was injected and survived, and nothing differs."""
        return not (self.missing or self.differences or any(record.problem for record in self.records))


def planned(words: Sequence[str], *, count: int, seed: int, kinds: Sequence[str] = ()) -> Drill:
    """Return the drill that the words describe; nothing is started.

    Args:
        words: root=, data_root=, cluster=, and whatever a sweep takes.
        count: Number of faults.
        seed: Of the plan.
        kinds: Names in `KINDS`; empty: all that are possible here.

    Raises:
        InvalidValue: no such kind, or a setting that is the drill's own.
    """
    values = config.parse(words)
    for key in ("tracking_uri", "storage"):
        if key in values:
            raise InvalidValue(key, values[key], "nothing: a drill starts servers of its own")
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidValue("--kinds", kind, f"one or more of {', '.join(KINDS)}, with commas")
    if count < 1:
        raise InvalidValue("--faults", count, "a whole number of at least 1")
    where = config.settings(values)
    local = config.profile(where.cluster, {}).executor == "local"
    own = [word("data_root", where.data_root), word("cluster", where.cluster), *_own_settings(local=local, count=count)]
    given = [word for word in words if word.partition("=")[0] not in ("root", "data_root", "cluster")]
    values = config.parse([*own, *given])
    config.settings(values)
    profile = config.profile(where.cluster, config.cluster_keys(values))
    wanted = {name: KINDS[name] for name in kinds or KINDS}
    met = _met(profile)
    left_out = {
        name: NEEDS[next(n for n in kind.needs if n not in met)]
        for name, kind in wanted.items()
        if set(kind.needs) - met
    }
    weights = {name: kind.weight for name, kind in wanted.items() if name not in left_out}
    if not weights:
        raise InvalidValue("--kinds", ",".join(kinds), "a kind that is possible here", advice=str(left_out))
    return Drill(
        base=where.root / f"drill-{seed}",
        profile=profile,
        words=(*own, *given),
        execution=profile.execution(where.data_root),
        faults=drawn(weights, count, seed),
        left_out=left_out,
    )


def _own_settings(*, local: bool, count: int) -> list[str]:
    """Return what differs from the shipped profile: a checkpoint each epoch, and no end of patience with faults."""
    retries = [f"+cluster.retries.{kind}=null" for kind in ("failed", "died", "stalled", "out_of_memory")]
    patience = ["cluster.halt_after_alike=1000000", "cluster.exclude_after=1000000", "cluster.checkpoint_epochs=1"]
    patience.append("cluster.report=false")  # facts are compared, no pictures
    words = [*[word.removeprefix("+") for word in retries], *patience, f"protocol.epochs={20 + count * 8 // 5}"]
    return [*words, "cluster.threads=1", "cluster.parallel=2"] if local else words


def _met(profile: Profile) -> set[Need]:
    """Return what this machine and the profile offer."""
    testbed = profile.executor == "slurm" and "DIFAIR_TESTBED" in os.environ
    found: dict[Need, bool] = {
        "local": profile.executor == "local",
        "slurm": profile.executor == "slurm",
        "testbed": testbed,
        "near": profile.executor == "local" or testbed,
        "mount": _mountable(),
        "postgres": postgres_programs() is not None and _importable("psycopg"),
        "faketime": faketime() is not None,
    }
    return {need for need, is_met in found.items() if is_met}


def _mountable() -> bool:
    with tempfile.TemporaryDirectory(prefix="difair-mount-") as folder:
        done = mount(Path(folder), 1)
        if done:
            unmount(Path(folder))
    return done


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def executed(drill: Drill, tell: Tell) -> Outcome:
    """Run the undisturbed study, then the other under its faults, and compare; everything started is ended.

    Raises:
        Failure: a server or command cannot be started, or the study does not recover at all.
    """
    began = time.monotonic()
    usable_folder(drill.base, key="root")
    with _scene(drill) as scene:
        quiet = drill.base / "quiet"
        tell(f"undisturbed study in {quiet}")
        # It needs no checkpoint and has nothing to wait for; how often a run saves or pauses must not matter.
        at_ease = ["cluster.checkpoint_epochs=50", "cluster.pause_seconds=0"]
        places = [word("root", quiet), "tracking_uri=none", word("storage", "")]
        scene.said("sweep", STUDY, "-y", *places, *drill.words, *at_ease)
        uri = sqlite_uri(quiet / "mlflow.db")
        scene.said("sync", word("root", quiet), word("tracking_uri", uri), word("storage", ""))
        expected = {**folder_facts(quiet, STUDY), **trial_facts(quiet, STUDY, ""), **point_facts(uri, STUDY)}
        undisturbed = time.monotonic() - began
        tell(f"it took {undisturbed:.0f} s; now {counted(len(drill.faults), 'fault')}")
        scene.attend()
        injection = Injection(scene, drill.base / "faults.jsonl", tell)
        injection.run(drill.faults)
        records = injection.records
        took = f"{time.monotonic() - began:.0f} s"
        tell(f"{counted(len(records), 'fault')} injected after {took}; the study goes on to its end")
        scene.wait("the study's end", lambda: scene.over, seconds=patience(undisturbed))
        found = _differing(scene, expected)
    missing = len(drill.faults) - len(records)
    return Outcome(records=tuple(records), differences=tuple(found), missing=missing, seconds=time.monotonic() - began)


def patience(undisturbed: float) -> float:
    """Return how long the study may take to its end after the last fault, in seconds: that may be most of the study."""
    return max(PATIENCE_SECONDS, 5 * undisturbed)


def _differing(scene: Scene, expected: dict[str, str]) -> list[str]:
    """Bring the projections up to date, and compare."""
    found: list[str] = []
    for storage in dict.fromkeys([scene.storage, "", scene.database_url]):
        places = [word("root", scene.root), word("tracking_uri", scene.tracking_uri), word("storage", storage)]
        scene.said("sync", *places)
        facts = {**folder_facts(scene.root, STUDY), **trial_facts(scene.root, STUDY, storage)}
        found += differences(expected, {**facts, **point_facts(scene.tracking_uri, STUDY)})
    return list(dict.fromkeys(found))


@contextmanager
def _scene(drill: Drill) -> Iterator[Scene]:
    """Start the servers, and end everything after the block; a disturbed study in memory is moved to the disk."""
    root, kinds = drill.base / "loud", {fault.kind for fault in drill.faults}
    if root.exists():
        raise InvalidValue(
            "root", drill.base.parent, f"a folder without {root}", advice="Move it away, or take another --seed."
        )
    environment = {**os.environ, MARK: uuid.uuid4().hex, "COLUMNS": "200"}
    if drill.profile.executor == "local":
        environment["DIFAIR_SILENCE"] = SILENCE_SECONDS
    tracking, uri = mlflow_server(drill.base / "server", environment)
    mounted = "disk" in kinds and mount(root, _MEGABYTES)
    place = Path(tempfile.mkdtemp(prefix="difair-drill-"))  # short, and PostgreSQL's user can reach it
    scene = Scene(
        base=drill.base,
        root=root,
        words=drill.words,
        environment=environment,
        execution=drill.execution,
        slurm=drill.profile.executor == "slurm",
        tracking=tracking,
        tracking_uri=uri,
    )
    before = signal.getsignal(signal.SIGTERM)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if "database" in kinds:
            scene.database, scene.database_url = postgres_server(place, environment)
            scene.database.start()
        tracking.start()
        yield scene
    finally:
        scene.close()
        if mounted:
            shutil.copytree(root, drill.base / "loud-kept", dirs_exist_ok=True)
            unmount(root)
            root.rmdir()
            (drill.base / "loud-kept").rename(root)
        shutil.rmtree(place)
        signal.signal(signal.SIGTERM, before)
