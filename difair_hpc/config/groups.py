"""From the choice of group files to the keys of a run, composed by Hydra; a user's own ./sweeps come first."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from difair_hpc.config.kinds import GROUPS
from difair_hpc.config.places import choices, places_of, shown
from difair_hpc.config.words import Values, several_names
from difair_hpc.config.yamls import UNREADABLE
from difair_hpc.errors import InvalidValue, UserError


def composed(values: Mapping[str, Any]) -> Values:
    """Return the content of the group files that the values choose.

    Raises:
        InvalidValue: there is no such file; names the group and the files.
        UserError: a file is not what it should be; names it.
    """
    groups = tuple((group, str(values[group])) for group in GROUPS if group in values)
    return _composed(groups, tuple(places_of("sweeps")))[0]


def own_files(values: Mapping[str, Any]) -> str:
    """Return the user's own files among those that were composed, as they are shown; the shipped ones are right."""
    groups = tuple((group, str(values[group])) for group in GROUPS if group in values)
    places = tuple(places_of("sweeps"))
    return ", ".join(shown(path) for path in _composed(groups, places)[1] if places[-1] not in path.parents)


@functools.cache
def _composed(groups: tuple[tuple[str, str], ...], folders: tuple[Path, ...]) -> tuple[Values, tuple[Path, ...]]:
    """Compose the group files; `folders` are where they come from, a part of what the cache goes by."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from difair_hpc.config import source

    for group, choice in groups:
        if choice not in choices(group):
            allowed = "one of " + ", ".join(choices(group))
            raise InvalidValue(group, choice, allowed, advice=several_names(group, choice))
    source.register()
    source.read.clear()
    with initialize_config_dir(str(folders[-1]), version_base="1.3"):
        try:
            composition = compose("config", overrides=[f"{group}={choice}" for group, choice in groups])
            content = OmegaConf.to_container(composition, resolve=True)
        except (HydraException, OmegaConfBaseException, *UNREADABLE) as error:
            own = [shown(path) for path in source.read if folders[-1] not in path.parents]
            raise UserError(f"the files of the run do not fit together ({', '.join(own)}): {error}") from error
    assert isinstance(content, dict), "Hydra composes mappings"
    for group in GROUPS:
        if not isinstance(content.get(group), dict):
            raise InvalidValue(", ".join(map(shown, source.read)), content.get(group), f"a mapping for {group}")
    return {str(key): value for key, value in content.items()}, tuple(source.read)
