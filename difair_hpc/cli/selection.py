"""The words of commands that act on runs: settings, and selectors of runs (sweep/select.py)."""

from collections.abc import Sequence

from difair_hpc import config
from difair_hpc.cli.needs import require_root
from difair_hpc.cli.overview import StudyOverview, overview
from difair_hpc.errors import DataDamaged, UserError
from difair_hpc.sweep.select import RunRow, select

SELECTORS = "index, signature, job, study, or what is true of the runs (state=failed alpha=10); root=FOLDER"

_ENOUGH = 4
"""Letters of a signature that name a run whose folder nobody can read."""


def split_words(words: Sequence[str]) -> tuple[config.Settings, list[str]]:
    """Return the settings among the words, and the other words."""
    is_setting = [word.partition("=")[0] in config.SETTING_KEYS and "=" in word for word in words]
    where = config.settings_only([word for word, yes in zip(words, is_setting, strict=True) if yes])
    require_root(where, words)
    return where, [word for word, yes in zip(words, is_setting, strict=True) if not yes]


def selected(words: Sequence[str]) -> tuple[config.Settings, list[StudyOverview], list[RunRow]]:
    """Return the settings, every study, and the runs that the words mean.

    Raises:
        UserError: no run is named, or a word fits none.
        DataDamaged: a word names a run that nobody can read.
    """
    where, selectors = split_words(words)
    found = overview(where)
    if not selectors:
        raise UserError(f"say which runs: {SELECTORS}.")
    for note in (note for study in found for note in study.notes if note.startswith("left out: ")):
        if any(len(word) >= _ENOUGH and f"/{word}" in note for word in selectors):
            raise DataDamaged(note.removeprefix("left out: "))
    return where, found, select(selectors, [row for study in found for row in study.rows], others=config.SETTING_KEYS)


def one(words: Sequence[str]) -> tuple[config.Settings, StudyOverview, RunRow]:
    """Return the settings, the study and the only run that the words mean.

    Raises:
        UserError: they mean none, or several.
    """
    where, found, rows = selected(words)
    if len(rows) != 1:
        some = ", ".join(f"{row.index} ({row.signature})" for row in rows[:5])
        raise UserError(f"these are {len(rows)} runs, say which one: {some}{' …' if len(rows) > 5 else ''}")
    return where, next(study for study in found if study.study == rows[0].study), rows[0]
