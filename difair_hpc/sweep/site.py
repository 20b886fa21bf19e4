"""What a SLURM site says of itself: its configuration, its partitions, and what the user may submit.

Parsers take what a command printed; what a site does not know, or prints in an unknown form, is None or empty.
"""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass

from difair_hpc.errors import Failure
from difair_hpc.sweep.commands import Command

_NODES = "%P|%a|%l|%D|%T|%G|%f"
_ACCOUNTS = "DefaultAccount,Cluster,Account,MaxSubmit,QOS,DefaultQOS"
_UNUSABLE = ("down", "drain", "fail", "error", "unknown", "maint", "inval")


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteConfig:
    """What `scontrol show config` says."""

    version: str
    """Of SLURM, such as 22.05.8."""
    cluster: str
    """Name of the cluster."""
    max_array: int | None
    """MaxArraySize: tasks of an array are numbered below it, so it has at most so many; 0: no arrays."""
    min_job_age: int | None
    """Seconds for which squeue still shows a job that has ended."""
    accounting: bool | None
    """Whether there is a data base of jobs and accounts (sacct, sacctmgr)."""
    enforced: bool
    """Whether only listed accounts may submit."""
    preempt_mode: str
    """What happens to a preempted job: REQUEUE, CANCEL, OFF, …"""
    requeue: bool | None
    """Whether jobs that do not say are requeued."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """Nodes of one partition that are alike."""

    partition: str
    default: bool
    """Whether jobs that name no partition go there."""
    state: str
    """Of the partition: up, down, drain or inact."""
    minutes: int | None
    """Longest time limit of a job there; None: none."""
    count: int
    """How many nodes."""
    usable: bool
    """Neither down nor drained."""
    gpus: Mapping[str, int]
    """GPUs of each node by type; the type is "" where the site names none."""
    features: frozenset[str]
    """What --constraint may ask for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """One account under which the user may submit."""

    name: str
    default: bool
    max_submit: int | None
    """Jobs of the user in the queue at once, each task of an array counted; None: no limit."""
    qos: tuple[str, ...]
    """What --qos may ask for."""
    default_qos: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """All that a site says."""

    config: SiteConfig
    nodes: tuple[Nodes, ...] = ()
    accounts: tuple[Account, ...] | None = None
    """None: accounting is off, or sacctmgr does not tell this user."""
    qos_submit: Mapping[str, int | None] | None = None
    """Jobs that a user may have in the queue under each QOS; None: as above."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitLimits:
    """How much may be submitted."""

    max_array: int = 1000
    """Tasks of one array."""
    max_submit: int | None = None
    """Jobs in the queue at once, each task of an array counted; None: no limit is known."""


def ask_site(command: Command) -> Site:
    """Ask a site for everything.

    Raises:
        Failure: scontrol or sinfo fails (ClusterUnreachable: it may answer later).
    """
    config = parse_config(command(["scontrol", "show", "config"]))
    accounts, qos_submit = _rights(command, config.cluster)
    nodes = parse_nodes(command(["sinfo", "-a", "-h", "-o", _NODES]))
    return Site(config=config, nodes=nodes, accounts=accounts, qos_submit=qos_submit)


def submit_limits(command: Command, *, account: str | None, qos: str | None) -> SubmitLimits:
    """Return how much may be submitted; what the site does not tell has the default value.

    Args:
        command: Runs a SLURM command and returns what it printed.
        account: Of the jobs; None: the user's default.
        qos: Of the jobs; None: the account's default.
    """
    try:
        config = parse_config(command(["scontrol", "show", "config"]))
    except Failure:  # sbatch will say it better
        config = parse_config("")
    accounts, qos_submit = _rights(command, config.cluster)
    return limits(Site(config=config, accounts=accounts, qos_submit=qos_submit), account=account, qos=qos)


def limits(site: Site, *, account: str | None, qos: str | None) -> SubmitLimits:
    """Return the smallest of the limits that hold for jobs of an account and a QOS, as in `submit_limits`."""
    own = [one for one in site.accounts or () if (one.name == account.lower() if account else one.default)]
    names = {qos.lower()} if qos else {_default_qos(one) for one in own}
    known = [one.max_submit for one in own] + [(site.qos_submit or {}).get(name) for name in names]
    max_submit = min((number for number in known if number is not None), default=None)
    if site.config.max_array is None:
        return SubmitLimits(max_submit=max_submit)
    return SubmitLimits(max_array=max(site.config.max_array, 1), max_submit=max_submit)


def parse_config(text: str) -> SiteConfig:
    """Read the lines `Key = value` of `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip() for key, _, value in pairs}
    storage = values.get("AccountingStorageType", "")
    return SiteConfig(
        version=values.get("SLURM_VERSION", ""),
        cluster=values.get("ClusterName", ""),
        max_array=_number(values.get("MaxArraySize", "")),
        min_job_age=_number(values.get("MinJobAge", "")),
        accounting=not storage.endswith(("none", "(null)")) if storage else None,
        enforced=values.get("AccountingStorageEnforce", "none").lower() not in ("none", "0", "(null)"),
        preempt_mode=values.get("PreemptMode", ""),
        requeue={"0": False, "1": True}.get(values.get("JobRequeue", "")),
    )


def parse_nodes(text: str) -> tuple[Nodes, ...]:
    """Read sinfo's lines `partition|its state|time limit|nodes|their state|gres|features`; pass over other lines."""
    rows = [[word.strip() for word in line.split("|")] for line in text.splitlines() if line.count("|") == 6]
    return tuple(
        Nodes(
            partition=name.removesuffix("*"),
            default=name.endswith("*"),
            state=state,
            minutes=parse_minutes(limit),
            count=_number(count) or 0,
            usable=not condition.startswith(_UNUSABLE) and "*" not in condition,
            gpus=parse_gpus(gres),
            features=frozenset(features.split(",")) - {"(null)", ""},
        )
        for name, state, limit, count, condition, gres, features in rows
    )


def parse_gpus(gres: str) -> dict[str, int]:
    """Return GPUs by type of a gres such as `gpu:v100:2(S:0-1),mps:100`; the type of `gpu:2` is ""."""
    gpus: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *words = part.strip().split(":")
        if kind in ("gpu", "gres/gpu"):
            count = int(words.pop()) if words and words[-1].isdigit() else 1
            name = words[0] if words and words[0] != "no_consume" else ""
            gpus[name] = gpus.get(name, 0) + count
    return gpus


def parse_minutes(text: str) -> int | None:
    """Return the minutes of 30, 30:00, 2:00:00, 1-00, 1-00:00 or 1-00:00:00; None for infinite and what is no time."""
    days, dash, clock = text.strip().rpartition("-")
    if not all(part.isdigit() for part in [days or "0", *clock.split(":")]):
        return None
    numbers = [int(part) for part in clock.split(":")]
    hours, minutes, *_ = [*numbers, 0] if dash or len(numbers) == 3 else [0, *numbers]
    return int(days or 0) * 1440 + hours * 60 + minutes


def parse_accounts(text: str, cluster: str) -> tuple[Account, ...]:
    """Read sacctmgr's lines `default account|cluster|account|limit|QOS|default QOS`, those of the cluster if named."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 5]
    return tuple(
        Account(
            name=name,
            default=name == default,
            max_submit=_number(limit),
            qos=tuple(filter(None, qos.split(","))),
            default_qos=usual,
        )
        for default, where, name, limit, qos, usual in rows
        if name and cluster in ("", where)
    )


def parse_qos(text: str) -> dict[str, int | None]:
    """Read sacctmgr's lines `name|most jobs of a user`."""
    rows = (line.partition("|") for line in text.splitlines())
    return {name: _number(limit) for name, _, limit in rows}


def _rights(command: Command, cluster: str) -> tuple[tuple[Account, ...] | None, dict[str, int | None] | None]:
    """Return what sacctmgr tells, or None: many sites keep no accounts, or show them to nobody."""
    user = pwd.getpwuid(os.getuid()).pw_name
    try:
        accounts = command(["sacctmgr", "-nP", "show", "user", user, "withassoc", f"format={_ACCOUNTS}"])
        qos = command(["sacctmgr", "-nP", "show", "qos", "format=Name,MaxSubmitPU"])
    except Failure:
        return None, None
    return parse_accounts(accounts, cluster), parse_qos(qos)


def _default_qos(account: Account) -> str:
    """Return the QOS of a job that names none: the account's default, its only one, or "normal"."""
    return account.default_qos or (account.qos[0] if len(account.qos) == 1 else "normal")


def _number(text: str) -> int | None:
    """Return the number that a text such as `300 sec` begins with."""
    digits = re.match(r"\d+", text)
    return int(digits[0]) if digits else None
