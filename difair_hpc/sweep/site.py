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

_ACCOUNTS = "DefaultAccount,Cluster,Account,MaxSubmit,QOS,DefaultQOS"


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteConfig:
    """What `scontrol show config` says."""

    version: str
    """Of SLURM, such as 22.05.8."""
    cluster: str
    max_array: int
    """Tasks of one array. They are numbered from 0 and below MaxArraySize; 1000 where the site does not tell it."""
    accounting: bool | None
    """Whether a data base keeps jobs and accounts for sacct and sacctmgr."""
    preempt_mode: str
    """What happens to a preempted job: REQUEUE, CANCEL, OFF, …"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """Nodes of one partition that are alike."""

    partition: str
    default: bool
    """Whether jobs that name no partition go there."""
    state: str
    """Of the partition: up, down, drain or inact."""
    minutes: int | None
    """Longest time limit of a job there; None: there is none."""
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
    qos: Mapping[str, int | None]
    """What --qos may ask for, and the jobs that a user may have in the queue under it."""
    default_qos: str

    @property
    def usual_qos(self) -> str:
        """The QOS of a job that names none: the default, the only one, or "normal"."""
        return self.default_qos or (next(iter(self.qos)) if len(self.qos) == 1 else "normal")


Site = tuple[SiteConfig, list[Nodes], list[Account]]
"""All that a site says; no accounts: they are not kept, or not shown to the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitLimits:
    """How much may be submitted."""

    max_array: int = 1000
    """Tasks of one array; SLURM's own default is 1001."""
    max_submit: int | None = None
    """Jobs in the queue at once, each task of an array counted; None: no limit is known."""


def submit_limits(command: Command, *, account: str | None, qos: str | None) -> SubmitLimits:
    """Return how much may be submitted; what the site does not tell has its usual value.

    Args:
        command: Runs a SLURM command and returns what it printed.
        account: Of the jobs; None: the user's default.
        qos: Of the jobs; None: the account's default.
    """
    try:
        config = parse_config(command(["scontrol", "show", "config"]))
    except Failure:  # sbatch will say it better
        config = parse_config("")
    accounts = _ask_accounts(command, config.cluster)
    own = [one for one in accounts if (one.name == account.lower() if account else one.default)]
    known = [one.max_submit for one in own] + [one.qos.get(qos.lower() if qos else one.usual_qos) for one in own]
    return SubmitLimits(max_array=config.max_array, max_submit=min((n for n in known if n is not None), default=None))


def ask_site(command: Command) -> Site:
    """Ask a site for everything.

    Raises:
        Failure: scontrol or sinfo fails (ClusterUnreachable: it may answer later).
    """
    config = parse_config(command(["scontrol", "show", "config"]))
    nodes = parse_nodes(command(["sinfo", "-a", "-h", "-o", "%P|%a|%l|%G|%f"]))
    return config, nodes, _ask_accounts(command, config.cluster)


def _ask_accounts(command: Command, cluster: str) -> list[Account]:
    """Ask what the user may submit on the cluster; nothing where sacctmgr fails: many sites keep no accounts."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    try:
        accounts = command(["sacctmgr", "-nP", "show", "user", user, "withassoc", f"format={_ACCOUNTS}"])
        return parse_accounts(accounts, command(["sacctmgr", "-nP", "show", "qos", "format=Name,MaxSubmitPU"]), cluster)
    except Failure:
        return []


def parse_config(text: str) -> SiteConfig:
    """Read the lines `Key = value` of `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip() for key, _, value in pairs}
    storage, most = values.get("AccountingStorageType", ""), _number(values.get("MaxArraySize", ""))
    return SiteConfig(
        version=values.get("SLURM_VERSION", "unknown"),
        cluster=values.get("ClusterName", ""),
        max_array=SubmitLimits().max_array if most is None else max(most, 1),
        accounting=not storage.endswith(("none", "(null)")) if storage else None,
        preempt_mode=values.get("PreemptMode", "unknown"),
    )


def parse_nodes(text: str) -> list[Nodes]:
    """Read sinfo's lines `partition|state|time limit|gres|features`; pass over other lines."""
    rows = [[word.strip() for word in line.split("|")] for line in text.splitlines() if line.count("|") == 4]
    return [
        Nodes(
            partition=name.removesuffix("*"),
            default=name.endswith("*"),
            state=state,
            minutes=parse_minutes(limit),
            gpus=parse_gpus(gres),
            features=frozenset(features.split(",")) - {"(null)", ""},
        )
        for name, state, limit, gres, features in rows
    ]


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


def parse_accounts(text: str, qos_text: str, cluster: str) -> list[Account]:
    """Read sacctmgr's lines of a user's accounts, those on `cluster` unless it is empty, and `QOS|most jobs`."""
    most = {name: _number(limit) for name, _, limit in (line.partition("|") for line in qos_text.splitlines())}
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 5]
    return [
        Account(
            name=name,
            default=name == default,
            max_submit=_number(limit),
            qos={one: most.get(one) for one in qos.split(",") if one},
            default_qos=usual,
        )
        for default, where, name, limit, qos, usual in rows
        if name and cluster in ("", where)
    ]


def _number(text: str) -> int | None:
    """Return the number that a text such as `300 sec` begins with."""
    digits = re.match(r"\d+", text)
    return int(digits[0]) if digits else None
