"""`difair doctor`: what may keep a study from running here, seen before it starts; one line per check."""

import argparse
import json
import os
import re
import shutil
import tempfile
import textwrap
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli.clusters import limits_of
from difair_hpc.cli.privacy import privacy_check
from difair_hpc.cli.screen import console
from difair_hpc.errors import ClusterUnreachable, DifairError, Failure, InvalidValue, UnknownKey
from difair_hpc.folders import possible_folder, usable_folder
from difair_hpc.runs.probe import file_abilities, machine
from difair_hpc.runs.sqlite import sqlite_path
from difair_hpc.runs.suspects import tight_limits
from difair_hpc.runs.tracking import default_uri
from difair_hpc.sweep.checks import Check, machine_checks, site_checks
from difair_hpc.sweep.commands import run_command
from difair_hpc.sweep.nodejob import ask_node
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.queue import shared_cache
from difair_hpc.sweep.sbatch import sbatch_text
from difair_hpc.sweep.site import ask_site, submit_limits

MOUNTS = Path("/proc/self/mountinfo")
FREE_GB = 5.0
"""Below it a study may not find room."""

_FOLLOWS = {
    "fsync": "after a crash of the machine the newest files may be lost",
    "rename": "nothing can be written whole there: choose another folder with root=FOLDER",
    "hard link": "runs are claimed by a rename that replaces nothing, or by a file made exclusively",
    "flock": "MLflow's SQLite store may say that it is locked: name a server with tracking_uri=URL",
}

SHARED = re.compile(r"nfs\d?|lustre|gpfs|beegfs.*|ceph|wekafs|panfs|cifs|smb3|orangefs|glusterfs|fuse\..+")
LOCAL = re.compile(r"ext\d|xfs|btrfs|zfs|tmpfs|overlay|ramfs")
"""Types of file systems that other machines see, and do not see."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--on-node", action="store_true", help="also submit a short job that looks at a compute node")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # what the job on the node says
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument("words", nargs="*", metavar="key=value", help="cluster=v100, cluster.partition=…, root=FOLDER")


def run(arguments: argparse.Namespace) -> int:
    """Print every check as soon as it is known; 1 when one of them failed."""
    values = config.parse(arguments.words)
    where = config.settings(values)
    own = config.cluster_keys(values)
    for key in values:
        raise UnknownKey(key, config.SETTING_KEYS)
    profile = config.profile(where.cluster, own)
    if arguments.on_node and profile.executor != "slurm":
        raise InvalidValue("cluster", where.cluster, "a profile of SLURM jobs with --on-node, such as cluster=v100")
    screen, found = console(), []
    for check in _checks(where, profile, arguments):
        found.append(check)
        if arguments.format == "table":
            screen.out(in_words(check, screen.width if screen.is_terminal else None))
    marks = Counter(check.mark for check in found)
    if arguments.format == "json":
        screen.out(json.dumps([check._asdict() for check in found], indent=1))
    else:
        screen.out(f"{len(found)} checks: {marks['FAIL'] or 'none'} failed, {marks['warn']} to look at")
    return 1 if marks["FAIL"] else 0


def _checks(where: config.Settings, profile: Profile, arguments: argparse.Namespace) -> Iterator[Check]:
    """Yield the checks of this machine and, for a profile of SLURM jobs, of the site and one of its nodes."""
    jobs, data = profile.executor == "slurm", _data_check(where.data_root)
    yield _root_check(where.root, unproven=jobs and not arguments.inside and not arguments.on_node)
    yield from (_abilities_check(where.root), privacy_check(where.root))
    yield from [_cache_check()] if jobs else []
    yield from (_storage_check(where), _tracking_check(where), data)
    yield from _limit_checks()
    here = machine(in_job=arguments.inside)
    yield from machine_checks(profile, here, runs_here=arguments.inside or not jobs)
    if not jobs:
        yield Check("ok", "runs at once", str(limits_of(profile).parallel))
        return
    if arguments.inside:
        yield _commands_check()
        return
    try:
        most = submit_limits(run_command, account=profile.account, qos=profile.qos)
        yield from site_checks(profile, ask_site(run_command), most)
        run_command(["squeue", "--me", "-h"])
        yield _sbatch_check(profile)
    except Failure as error:
        yield Check("FAIL", "SLURM", str(error))
        return
    if arguments.on_node:
        yield from _node_checks(where.root, profile, [*arguments.words, *where.as_words()], data)


def _limit_checks() -> Iterator[Check]:
    """Yield what of this shell's limits may end a run without a message; nothing: there is none."""
    for limit in tight_limits():
        yield Check("warn", "shell", limit, "torch and CUDA alone take 5 GB of addresses before anything is computed")


def _commands_check() -> Check:
    """Check in a job that SLURM's commands answer."""
    try:
        for words in (["sbatch", "--version"], ["scontrol", "ping"], ["squeue", "--me"]):
            run_command(words)
    except Failure as error:
        advice = "jobs cannot carry a study on: keep difair sweep running, or let cron call it with --tick"
        return Check("warn", "SLURM", str(error), advice)
    return Check("ok", "SLURM", "sbatch, scontrol and squeue answer: jobs can carry a study on")


def _root_check(root: Path, *, unproven: bool) -> Check:
    """Check the output root, which is made by the first run; `unproven`: compute nodes are to see it."""
    there = _nearest(root)
    try:
        possible_folder(root, key="root")
        if there == root:
            usable_folder(root, key="root")
    except DifairError as error:
        return Check("FAIL", "output root", str(error))
    free, kind = shutil.disk_usage(there).free / 2**30, file_system(_mounts(), there.resolve())
    shared = "shared" if SHARED.fullmatch(kind) else "of one machine" if LOCAL.fullmatch(kind) else "perhaps shared"
    found = f"{root} can be {'written' if there == root else 'made'}, {free:.1f} GB free, {kind or '?'} ({shared})"
    if free < FREE_GB:
        return Check("warn", "output root", found, "free some, or choose another with root=FOLDER")
    if unproven and shared != "shared":
        advice = "compute nodes must see it: choose root=FOLDER on a shared file system; --on-node proves it"
        return Check("warn", "output root", found, advice)
    return Check("ok", "output root", found)


def _nearest(root: Path) -> Path:
    """Return the output root, or the folder that is there already and in which it would be made."""
    return next(path for path in (root, *root.parents) if os.access(path, os.F_OK))


def _abilities_check(root: Path) -> Check:
    """Try what the engine asks of the file system of the output root, and say what follows where it cannot do it."""
    there = _nearest(root)
    said = file_abilities(there)
    if said["write"]:
        return Check("FAIL", "root's files", f"{there}: {said['write']}", "choose another folder with root=FOLDER")
    lacks = {name: why for name, why in said.items() if why}
    if not lacks:
        return Check("ok", "root's files", "fsync, rename, hard links and flock work")
    found = "; ".join(f"no {name} ({why})" for name, why in lacks.items())
    return Check(
        "FAIL" if "rename" in lacks else "warn", "root's files", found, "; ".join(_FOLLOWS[name] for name in lacks)
    )


def _cache_check() -> Check:
    """Try the folder in which commands share squeue's answer."""
    cache = shared_cache()
    alone = "each command asks squeue for itself, and studies go on: free space there, or set XDG_CACHE_HOME"
    if cache is None:
        return Check("warn", "squeue's cache", "there is no ~/.cache that can be written", alone)
    lacks = [f"no {name} ({why})" for name, why in file_abilities(cache.parent).items() if why and name != "hard link"]
    if lacks:
        return Check("warn", "squeue's cache", f"{cache.parent}: {'; '.join(lacks)}", alone)
    return Check("ok", "squeue's cache", f"{cache.parent} can be written and locked")


def _mounts() -> str:
    return MOUNTS.read_text("utf-8", errors="surrogateescape")  # as paths are


def file_system(mountinfo: str, path: Path) -> str:
    """Return the type of the file system that holds a path, by the lines of /proc/self/mountinfo; empty if unknown."""
    found = [(0, 0, "")]
    for number, line in enumerate(mountinfo.splitlines()):
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), mount.split()[4])
        found += [(len(point), number, rest.split()[0])] if path.is_relative_to(point) else []
    return max(found)[2]


def _storage_check(where: config.Settings) -> Check:
    """Check where Optuna keeps its trials: a journal in each study's folder, or a database."""
    if where.storage:
        return _database_check(where.storage)
    folder = where.root / "studies"
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        return Check("FAIL", "Optuna", f"{folder} cannot be written", "look at who owns it")
    return Check("ok", "Optuna", f"a journal for each study, in {folder}")


def _database_check(url: str) -> Check:
    from difair_hpc.sweep.storage import connects

    try:
        connects(url)
    except DifairError as error:
        return Check("FAIL", "Optuna", str(error))
    return Check("ok", "Optuna", f"{url} answers")


def _tracking_check(where: config.Settings) -> Check:
    """Check MLflow's store without making it, and a server's password with it."""
    uri = where.tracking_uri or default_uri(where.root)
    if uri == "none":
        return Check("ok", "MLflow", "off (tracking_uri=none)")
    if (path := sqlite_path(uri)) is not None:
        return _file_check(uri, path)
    if not uri.startswith(("http://", "https://")):
        return Check("unknown", "MLflow", f"{uri}: doctor asks servers (http) only")
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=10).close()
    except (OSError, ValueError) as error:
        advice = "start the server, choose another with tracking_uri=URI, or do without: tracking_uri=none"
        return Check("FAIL", "MLflow", f"{uri}: {error}", advice)
    from difair_hpc.runs.answers import require_mlflow
    from difair_hpc.runs.store import client_of, explained

    try:
        with explained(uri):
            client = client_of(uri)
            require_mlflow(client, uri, "difair")
            client.search_experiments(max_results=1)
    except DifairError as error:
        return Check("FAIL", "MLflow", str(error))
    return Check("ok", "MLflow", f"{uri} answers")


def _file_check(uri: str, path: Path) -> Check:
    """Check that the installed MLflow can use a store in a file, without changing it."""
    from difair_hpc.runs.sqlite import made_anew, schema_of

    if not path.exists():
        return Check("ok", "MLflow", f"{uri} is made by the first run")
    if path.is_file() and not path.stat().st_size:
        return Check("ok", "MLflow", f"{uri} is there, and empty: the first run fills it")
    try:
        found, own = schema_of(path)
    except DifairError as error:
        return Check("FAIL", "MLflow", str(error))
    if found != own:
        said = f"{uri} has schema {found}, the installed MLflow has {own}: another version wrote it"
        return Check("FAIL", "MLflow", said, made_anew(path))
    return Check("ok", "MLflow", f"{uri} is there")


def _data_check(data_root: Path) -> Check:
    from difair_hpc.data.catalogue import inspect

    states = inspect(data_root, verify=False)
    complete, others = (" ".join(state.name for state in states if state.complete is it) for it in (True, False))
    found = Check("ok", "data sets", f"complete in {data_root}: {complete}")
    advice = f"not there: {others}; difair data get NAME, if your study needs one"
    return found._replace(mark="warn", advice=advice) if others else found


def _sbatch_check(profile: Profile) -> Check:
    """Ask SLURM itself whether it would take a job of this profile; nothing is submitted."""
    with tempfile.NamedTemporaryFile("w", suffix=".sbatch") as script:
        script.write(sbatch_text(profile, ["true"], name="difair-doctor", logs=Path(tempfile.gettempdir()), tasks=1))
        script.flush()
        try:
            run_command(["sbatch", "--test-only", script.name])
        except Failure as error:
            # SLURM says the same of a GPU type that does not exist and of nodes that are all down.
            later = isinstance(error, ClusterUnreachable) or "node configuration is not available" in str(error)
            advice = "if all that it asks for is there, its nodes are down for now, or a limit is reached"
            said = Check("FAIL", "sbatch", f"takes no such job: {error}")
            return said._replace(mark="warn", advice=advice) if later else said
    return Check("ok", "sbatch", "would take a job of this profile (--test-only)")


def _node_checks(root: Path, profile: Profile, words: Sequence[str], data: Check) -> Iterator[Check]:
    """Yield what doctor finds on a compute node; the data sets that are here (`data`) must be there too."""
    try:
        found = ask_node(root, profile, words, run_command)
    except DifairError as error:
        yield Check("FAIL", "compute node", str(error), "it must see the output root, this Python and its packages")
        return
    for check in found:
        lost = check.what == data.what and not set(data.found.split()) <= set(check.found.split())
        told = check._replace(mark="FAIL", advice="put data_root=FOLDER where nodes see it") if lost else check
        yield told._replace(what=f"node: {check.what}")


def in_words(check: Check, width: int | None) -> str:
    """Return a check as one line, folded to a width if there is one."""
    told = " ".join(f"{check.found} {check.advice and f'-> {check.advice}'}".split())
    text, indent = f"{check.mark:<8}{check.what:<19} {told}", " " * 28
    return text if width is None else textwrap.fill(text, max(width, 40), subsequent_indent=indent[: width // 3])
