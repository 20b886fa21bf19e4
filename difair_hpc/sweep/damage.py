"""Which files of a study's folder nobody can read, and what follows from that for the study."""

from pathlib import Path

from difair_hpc.errors import Unreadable
from difair_hpc.files import read_json
from difair_hpc.folders import exists, names_in
from difair_hpc.sweep.ledger import Ledger
from difair_hpc.words import counted

_AGAIN = "repeat its difair sweep command, which writes it anew"
_WRITTEN_ANEW = {
    "request.json": _AGAIN,
    "mark.json": "it holds nothing back; difair hold or difair cancel writes it anew",
    "nodes.json": "what it knew of bad nodes is lost",
    "shown.json": "difair report writes it anew",
    "ticks.json": "what kept jobs from carrying the study on is not known",
}


def _is_whole(path: Path) -> bool:
    """Whether a file is absent, or holds a mapping."""
    try:
        return not exists(path) or isinstance(read_json(path), dict)
    except Unreadable:
        return False


def _is_described(study: Ledger) -> bool:
    try:
        return study.description() is not None
    except Unreadable:
        return False


def damaged_in_study(study: Ledger) -> list[str]:
    """Return a sentence for each damaged file of a study: its name, and what to do or what follows."""
    place = f"studies/{study.path.name}"
    notes = [] if _is_described(study) else [f"{place}/study.json is damaged; {_AGAIN}"]
    for name, meaning in _WRITTEN_ANEW.items():
        path = study.path / name
        if not _is_whole(path):
            notes.append(f"{place}/{name} is damaged; {meaning}")
    for name, lost in study.damaged_lines().items():
        notes.append(f"{place}/{name}: {counted(lost, 'damaged line', 'are')} passed over")
    waves = [study.path / "waves" / name for name in names_in(study.path / "waves") if name.endswith(".json")]
    unread = [path for path in waves if not _is_whole(path)]
    unknown = "is damaged; which runs its jobs were for is not known"
    return [*notes, *(f"{place}/waves/{path.name} {unknown}" for path in unread)]
