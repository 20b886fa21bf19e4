"""Why attempts end, and what follows from it: a type for each end, a rule and a budget for each type. Pure.

Evidence, the strongest first: SLURM's state of a job that has left the queue, the attempt's own word where it leaves no
doubt (a job that has reached its time limit requeues itself), what slurmstepd wrote into the job's log (it needs no
accounting), and whether SLURM has started the job again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from difair_hpc.words import counted

EndKind = Literal[
    "preempted", "requeued", "timed_out", "stalled", "node_failed", "out_of_memory",
    "cancelled", "held", "pruned", "stopped", "superseded", "failed", "died",
]  # fmt: skip

MEANINGS: dict[EndKind, str] = {
    "preempted": "a job of higher priority took its place; it goes on from its checkpoint",
    "requeued": "SLURM sent its job back to the queue; it goes on from its checkpoint",
    "timed_out": "its job reached the time limit; it goes on from its checkpoint",
    "stalled": "its job reached the time limit before a single batch was done: raise minutes in the profile",
    "node_failed": "its node was lost; it goes on from its last checkpoint",
    "out_of_memory": "it was out of memory; its next job asks for more",
    "cancelled": "its job was cancelled; difair resume starts it again",
    "held": "it was held back by difair hold; difair release lets it go on",
    "pruned": "a search stopped it at the end of a cycle; difair resume trains it to its end",
    "stopped": "it was asked to stop, saved and left; it goes on from there",
    "superseded": "a later attempt took over",
    "failed": "it ended with an exception",
    "died": "its process disappeared without an exit record; it goes on from its last checkpoint",
}

BUDGETS: dict[EndKind, int | None] = {
    "preempted": None,
    "requeued": None,
    "timed_out": None,
    "stalled": 2,
    "node_failed": None,
    "out_of_memory": 2,
    "cancelled": None,
    "held": None,
    "pruned": None,
    "stopped": None,
    "superseded": None,
    "failed": 2,
    "died": 2,
}
"""How often a run is started again after such an end, unless the profile says otherwise; None: any number of times."""

NODES_FAULT = ("failed", "died")
"""Ends that may be the fault of the node."""

_STATES: dict[str, EndKind] = {
    "OUT_OF_MEMORY": "out_of_memory",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timed_out",
    "DEADLINE": "timed_out",
    "NODE_FAIL": "node_failed",
    "BOOT_FAIL": "node_failed",
    "CANCELLED": "cancelled",
}
_LOG: tuple[tuple[str, EndKind], ...] = (
    (r"oom[-_ ]kill|[Ee]xceeded (job )?memory limit|Out Of Memory", "out_of_memory"),
    (r"DUE TO PREEMPTION", "preempted"),
    (r"DUE TO TIME LIMIT", "timed_out"),
    (r"DUE TO NODE FAILURE", "node_failed"),
    (r"DUE TO JOB REQUEUE", "requeued"),
    (r"CANCELLED AT \S+ \*\*\*", "cancelled"),
)
"""slurmstepd's lines (src/slurmd/slurmstepd/req.c), the first that is found counts."""
_SIGNALS: dict[str, EndKind] = {
    "SIGUSR2": "timed_out", "time": "timed_out", "held": "held", "cancelled": "cancelled", "pruned": "pruned",
}  # fmt: skip
_NO_MEMORY = re.compile(r"^MemoryError|DefaultCPUAllocator: can't allocate memory|Cannot allocate memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of an attempt's end beside its own files."""

    state: str = ""
    """SLURM's word for how the attempt's job left the queue; empty: it has not, or nobody knows."""
    log: str = ""
    """What the job's error log holds of the attempt."""
    started_again: bool = False
    """Whether SLURM has put the same job back into the queue, or started it again, after the attempt."""
    moved: bool = True
    """Whether the attempt got beyond the position at which it began."""


def kind_of(end: Mapping[str, Any] | None, evidence: Evidence) -> tuple[EndKind, str]:
    """Return the type of an attempt's end, and how that is known.

    Args:
        end: The attempt's own last word; None: it died without one.
        evidence: What else is known.
    """
    kind, proof = next(_clues(end, evidence))
    if kind == "timed_out" and not evidence.moved:
        return "stalled", proof
    return kind, proof


def over_budget(ends: Mapping[EndKind, int], budgets: Mapping[EndKind, int | None]) -> EndKind | None:
    """Return the type of end that a run has had more often than it may, or None."""
    for kind, count in ends.items():
        limit = budgets.get(kind)
        if limit is not None and count > limit:
            return kind
    return None


def fingerprint(end: Mapping[str, Any] | None) -> str:
    """Return what makes two failures alike: where they were raised and what was raised, whatever its message says."""
    if end is None or end.get("reason") != "failed":
        return ""
    places = re.findall(r'File "(?:.*/)?([^/"]+)", line (\d+), in (\S+)', end.get("trace") or "")
    message = str(end.get("message", ""))
    if not places:
        return message
    return f"{message.partition(':')[0]} at {' > '.join(f'{file}:{line}' for file, line, _ in places)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Accident:
    """A failure and where it happened."""

    run: str
    node: str
    time: float
    """Seconds since 1970."""
    alike: str
    """Its fingerprint; empty where nobody knows."""


def bad_nodes(accidents: Sequence[Accident], *, now: float, after: int, minutes: float) -> dict[str, str]:
    """Return the nodes that are to be left out for a while, and why.

    A node is bad when `after` different runs failed on it within `minutes`. A failure that another node has seen as
    well (the same fingerprint) is no fault of a node.
    """
    recent = [accident for accident in accidents if accident.node and now - accident.time < 60 * minutes]
    seen_on: dict[str, set[str]] = {}
    for accident in recent:
        seen_on.setdefault(accident.alike, set()).add(accident.node)
    own = [accident for accident in recent if not accident.alike or len(seen_on[accident.alike]) == 1]
    counts = Counter(node for node, _ in {(accident.node, accident.run) for accident in own})
    return {
        node: f"{counted(count, 'run')} failed on it within {counted(minutes, 'minute', form='g')}"
        for node, count in counts.items()
        if count >= after
    }


def _clues(end: Mapping[str, Any] | None, evidence: Evidence) -> Iterator[tuple[EndKind, str]]:
    """Yield what points to a type of end, the strongest clue first; the last one always comes."""
    word = {"reason": "", "message": "", "signal": ""} if end is None else end
    if evidence.state in _STATES:
        yield _STATES[evidence.state], f"SLURM says {evidence.state}"
    if _NO_MEMORY.search(word["message"]):
        yield "out_of_memory", word["message"]
    if word["reason"] == "failed":
        yield "failed", word["message"]
    if word["signal"] in _SIGNALS:
        yield _SIGNALS[word["signal"]], f"it left because of {word['signal']}"
    for pattern, kind in _LOG:
        if (found := re.search(pattern, evidence.log)) is not None:
            yield kind, f"its log says: {found[0]}"
    if word["reason"] == "superseded":
        yield "superseded", "it found a later attempt"
    if evidence.started_again:
        yield ("node_failed" if end is None else "requeued"), "SLURM started its job again"
    yield ("died", "it left no word") if end is None else ("stopped", f"it left because of {word['signal']}")
