"""What a profile asks for beside what a site or a machine offers: one line per check. Decides; asks nobody."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from difair_hpc.runs.probe import Machine
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.site import Nodes, Site, SubmitLimits, parse_gpus
from difair_hpc.words import counted


class Check(NamedTuple):
    """One line of `difair doctor`."""

    mark: Literal["ok", "warn", "FAIL", "unknown"]
    """FAIL: a study cannot run like this; unknown: nobody tells, which is no failure."""
    what: str
    found: str
    advice: str = ""
    """What to do about it."""


def site_checks(profile: Profile, site: Site, most: SubmitLimits) -> Iterator[Check]:
    """Yield the checks of a profile against what the site says."""
    config, nodes, accounts = site
    said = f"SLURM {config.version}, cluster {config.cluster or 'unknown'}, preemption {config.preempt_mode}"
    yield Check("ok", "site", said)
    yield from _place(profile, nodes) if nodes else [Check("unknown", "partitions", "sinfo shows none")]
    own = [one for one in accounts if (one.name == profile.account.lower() if profile.account else one.default)]
    yield _right("account", profile.account, {one.name for one in own if one.default}, {one.name for one in accounts})
    yield _right("qos", profile.qos, {one.usual_qos for one in own}, {name for one in own for name in one.qos})
    queue = "no known limit" if most.max_submit is None else f"at most {most.max_submit}"
    yield Check("ok", "limits", f"tasks of an array: at most {most.max_array}; jobs in the queue: {queue}")
    yield {
        True: Check("ok", "accounting", "on: sacct tells how jobs ended"),
        False: Check("warn", "accounting", "off", "how jobs ended, expect to read in their logs alone"),
        None: Check("unknown", "accounting", "the site does not tell"),
    }[config.accounting]


def _place(profile: Profile, nodes: Sequence[Nodes]) -> Iterator[Check]:
    """Check the partition, the GPUs and the features that a profile asks for."""
    defaults = {one.partition for one in nodes if one.default}
    names = profile.partition.split(",") if profile.partition else sorted(defaults) or ["(no default)"]
    yield from (_partition(name, profile, nodes) for name in names)
    there = [one for one in nodes if one.partition in names] or nodes
    advice = _one_of("gres", {f"gpu:{name or 1}" for one in there for name in one.gpus})
    wanted = _gpus(profile)
    if not wanted and profile.device.startswith("cuda"):
        yield Check("warn", "GPU", f"the profile asks for none, but has device={profile.device}", advice)
    for name, count in wanted.items():
        fit = [one for one in there if (one.gpus.get(name, 0) if name else sum(one.gpus.values())) >= count]
        yield _available(f"gres gpu:{name}:{count}" if name else f"gres gpu:{count}", fit, advice)
    advice = _one_of("constraint", set().union(*(one.features for one in nodes)))
    for name in filter(None, re.split(r"[&|,\[\]()]|\*\d+", profile.constraint or "")):
        yield _available(f"feature {name}", [one for one in nodes if name in one.features], advice)


def _partition(name: str, profile: Profile, nodes: Sequence[Nodes]) -> Check:
    what, own = f"partition {name}", [one for one in nodes if one.partition == name]
    advice = _one_of("partition", {one.partition for one in nodes})
    if not own or own[0].state != "up":
        return Check("FAIL", what, f"is {own[0].state}" if own else "there is none of that name", advice)
    limit = own[0].minutes
    if limit is not None and profile.minutes > limit:
        advice = f"set cluster.minutes={limit} or less: a run that needs longer goes on in its next job"
        ends = f"ends jobs after {counted(limit, 'minute')}"
        return Check("FAIL", what, f"{ends}; the profile asks for {profile.minutes}", advice)
    longest = "any length" if limit is None else f"up to {counted(limit, 'minute')}"
    return Check("ok", what, f"up, jobs of {longest}")


def _gpus(profile: Profile) -> dict[str, int]:
    """Return the GPUs, by type, that a profile asks for by gres or by --gpus and its like."""
    options = {key.replace("_", "-"): str(value) for key, value in profile.sbatch.items()}
    asked = [profile.gpus, *(options.get(key) for key in ("gpus", "gpus-per-node", "gpus-per-task"))]
    words = [f"gpu:{part}" for text in filter(None, asked) for part in text.split(",")]
    return parse_gpus(",".join([profile.gres or "", *words]))


def _available(what: str, fit: Sequence[Nodes], advice: str) -> Check:
    if not fit:
        return Check("FAIL", what, "no node has it", advice)
    return Check("ok", what, "nodes have it")


def _right(what: str, asked: str | None, usual: set[str], known: set[str]) -> Check:
    if not known:
        return Check("unknown", what, f"{asked or 'the default'}: the site does not tell what is yours")
    if asked is not None and asked.lower() not in known:
        return Check("warn", what, f"{asked} is not among yours", _one_of(what, known))
    return Check("ok", what, asked or f"{', '.join(sorted(usual)) or 'the default'} (your default)")


def _one_of(key: str, values: set[str]) -> str:
    return f"set cluster.{key}; this site has {', '.join(sorted(values)) or 'none'}"


def machine_checks(profile: Profile, found: Machine, *, runs_here: bool) -> Iterator[Check]:
    """Yield the checks of a machine; more where it is the one that is to execute runs."""
    yield Check(
        "ok", "machine", f"{found.name}: {counted(found.cpus, 'CPU')}, {found.memory_gb} GB, Python {found.python}"
    )
    needs_gpu = profile.device.startswith("cuda")
    built = Check("ok", "torch", f"{found.torch}, built for {' '.join(found.archs) or 'CPUs only'}")
    yield built if found.archs or not needs_gpu else built._replace(mark="FAIL", advice="install a build for CUDA")
    if not runs_here:
        return
    lacks = not found.gpus and (needs_gpu or (profile.device == "auto" and profile.executor == "slurm"))
    gpus = Check("ok", "GPU", ", ".join(found.gpus) or f"torch sees no CUDA GPU; device={profile.device}")
    if found.foreign:
        gpus = Check("FAIL", "GPU", f"torch has no code for {', '.join(found.foreign)}", "install a build that has")
    elif lacks:
        advice = "look at gres, setup (module load) and driver (nvidia-smi); cluster.device=cpu needs none"
        gpus = gpus._replace(mark="FAIL" if needs_gpu else "warn", advice=advice)
    yield gpus
