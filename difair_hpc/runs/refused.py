"""What an MLflow store has refused, `mlflow.refused/` in the output root: left out, named, and not sent again unasked.

One file per refusal, so that several processes may ship at once. It holds a digest of what was sent: something else is
tried again by itself, and all of it by `difair sync --retry`.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from difair_hpc.files import read_json, write_atomically
from difair_hpc.folders import exists, names_in, remove, usable_folder
from difair_hpc.words import counted

FOLDER = "mlflow.refused"
_LISTED = 5
"""Names that stand in a sentence."""
_FORM = {
    "store": str, "study": str, "stage": str, "signature": str, "item": str, "content": str, "reason": str,
    "time": float,
}  # fmt: skip

Key = tuple[str, str, str]
"""What an MLflow run stands for: run, stage or study; the stage's name; the signature."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One thing that a store has refused."""

    store: str
    """Digest of its address."""
    study: str
    stage: str
    signature: str
    """Of the run; empty: it belongs to the study."""
    item: str
    """Such as model, or the name of a file."""
    content: str
    """Digest of what was sent."""
    reason: str
    """The store's words."""
    time: float
    """When, seconds since 1970."""

    def __str__(self) -> str:
        """Say what MLflow lacks, and why."""
        whose = f"run {self.signature}" if self.signature else f"study {self.study}"
        return f"MLflow lacks {self.item} of {whose}: {self.reason}; difair sync --retry tries it again"


@dataclass(frozen=True, slots=True)
class Refusals:
    """Those of one study and one store."""

    root: Path
    uri: str
    study: str

    def __iter__(self) -> Iterator[Refusal]:
        """Yield them, the oldest first."""
        folder = self.root / FOLDER
        known = [read_json(folder / name, _FORM) for name in names_in(folder) if name.endswith(".json")]
        found = [Refusal(**{name: one[name] for name in _FORM}) for one in known if one is not None]
        mine = [one for one in found if (one.store, one.study) == (_digest(self.uri), self.study)]
        return iter(sorted(mine, key=lambda one: (one.time, one.signature, one.item)))

    def standing(self, key: Key, item: str, content: str) -> Refusal | None:
        """Return the refusal of just this, if there is one."""
        known = read_json(self._path(key, item), _FORM)
        return Refusal(**{name: known[name] for name in _FORM}) if known and known["content"] == content else None

    def add(self, key: Key, item: str, content: str, reason: str) -> Refusal:
        """Put a refusal on record.

        Raises:
            RootUnusable, DiskFull: that cannot be written.
        """
        refusal = Refusal(
            store=_digest(self.uri),
            study=self.study,
            stage=key[1],
            signature=key[2],
            item=item,
            content=content,
            reason=reason,
            time=time.time(),
        )
        usable_folder(self.root / FOLDER, key="root")
        write_atomically(self._path(key, item), json.dumps(asdict(refusal), indent=1))
        return refusal

    def drop(self, key: Key, item: str) -> None:
        """Forget a refusal, if there is one: the store has it now, or is to be asked again."""
        path = self._path(key, item)
        if exists(path):
            remove(path)

    def forget(self) -> set[Key]:
        """Forget them all, and return what they belong to."""
        found = [(_kind(one), one.stage, one.signature) for one in self]
        for key, one in zip(found, [*self], strict=True):
            self.drop(key, one.item)
        return set(found)

    def _path(self, key: Key, item: str) -> Path:
        return self.root / FOLDER / f"{_digest(self.uri, self.study, *key, item)}.json"


def grouped(refusals: Iterable[Refusal]) -> list[str]:
    """Return what MLflow lacks in few sentences: what was refused of many runs for one reason stands in one."""
    of_runs: dict[tuple[str, str], list[str]] = {}
    of_study: dict[str, list[str]] = {}
    for one in refusals:
        if one.signature:
            of_runs.setdefault((one.item, one.reason), []).append(one.signature)
        else:
            of_study.setdefault(one.reason, []).append(one.item)
    lines = [f"{item} of {_some(runs, 'run')}: {reason}" for (item, reason), runs in of_runs.items()]
    lines += [f"{_some(files, 'file')} of the study: {reason}" for reason, files in of_study.items()]
    return [f"MLflow lacks {line}; difair sync --retry tries it again" for line in lines]


def _some(names: Sequence[str], word: str) -> str:
    """Return one by its name, and many by their number and the first names."""
    different = [*dict.fromkeys(names)]
    if len(different) == 1:
        return f"{word} {different[0]}"
    more = ", …" if len(different) > _LISTED else ""
    return f"{counted(len(different), word)} ({', '.join(different[:_LISTED])}{more})"


def _kind(refusal: Refusal) -> str:
    return "run" if refusal.signature else "study"


def digest_of(*parts: bytes | str) -> str:
    """Return the digest of what is sent."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()[:16]


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
