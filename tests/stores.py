"""Optuna's storages in tests: a journal and a database behind one face."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from tests.postgres import Server


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """A place for Optuna's studies, seen with Optuna's own eyes."""

    place: Path | str
    server: Server | None = None

    @property
    def url(self) -> str:
        """What the setting `storage` would be."""
        return self.place if isinstance(self.place, str) else ""

    def names(self) -> list[str]:
        with self.storage() as storage:
            return optuna.get_all_study_names(storage)

    def trials(self, name: str) -> Sequence[FrozenTrial]:
        with self.storage() as storage:
            return optuna.load_study(study_name=name, storage=storage).trials

    def lose(self) -> None:
        """Delete the journal, or all that is in the database."""
        if isinstance(self.place, Path):
            self.place.unlink()
        else:
            assert self.server is not None
            self.server.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public", url=self.place)

    def storage(self) -> "Opened":
        return Opened(self.place)


class Opened:
    """Optuna's storage for a block, so that no connection is left behind."""

    def __init__(self, place: Path | str) -> None:
        self.storage: BaseStorage = (
            JournalStorage(JournalFileBackend(str(place)))
            if isinstance(place, Path)
            else RDBStorage(place.replace("postgresql:", "postgresql+psycopg:"))
        )

    def __enter__(self) -> BaseStorage:
        return self.storage

    def __exit__(self, *_: object) -> None:
        if isinstance(self.storage, RDBStorage):
            self.storage.engine.dispose()
