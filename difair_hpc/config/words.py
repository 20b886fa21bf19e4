"""The words `key=value` of a command line, read and written.

A key that is text (kinds.py) takes what follows the sign as it stands, or what is between quotes; all others are in
Hydra's grammar. `word` writes what `parse` reads, and what earlier versions read, which knew Hydra's grammar alone.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from difair_hpc.config.kinds import GROUPS, Kind, kind_of
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.sweep.address import without_secret

Values = dict[str, Any]

ALIASES = {"benchmark.split": "split", "benchmark.verify": "data.verify"}
"""Keys that have two names."""


class _Removed:
    """The value of a key that is to be as if its file did not have it."""

    def __repr__(self) -> str:
        return "removed"


REMOVED: Final = _Removed()
"""What `parse` returns for ~key."""
_REMOVABLE = ("stages.", "cluster.")
_WORD = re.compile(r"\+{0,2}([^=+~\s][^=]*)=(.*)", re.DOTALL)
_BARE = re.compile(r"(?!(?:null|true|false|inf|nan)$)[a-z_/][a-z0-9_./+-]*", re.IGNORECASE)
"""Text that means itself, and nothing else, in Hydra's grammar too."""
_QUOTED = {quote: re.compile(rf"{quote}((?:\\.|[^\\{quote}])*){quote}", re.DOTALL) for quote in "'\""}
_LISTS = {"seed": "seeds", "split": "splits", "benchmark": "benchmarks", "method": "methods"}
"""Keys of a run of which a final stage takes lists."""
_WITH_LISTS = ("stages", "cluster")
"""First parts of keys that may be lists."""


def parse(words: Sequence[str]) -> Values:
    """Return key to value of the words; the value of ~key is `REMOVED`.

    Raises:
        UserError: a word is not `key=value`, or asks for several values at once.
    """
    values: Values = {}
    for number, word in enumerate(words):
        if word.startswith("~"):
            values[_removed(word)] = REMOVED
            continue
        found = _WORD.fullmatch(word)
        if found is None:
            raise UserError(_no_word(word, words[number - 1] if number else ""))
        key, text = found[1], found[2]
        kind = kind_of(key)
        values[ALIASES.get(key, key)] = _in_hydra(word, key, text) if kind == "other" else _text(kind, word, key, text)
    return values


def word(key: str, value: object) -> str:
    """Return `key=value` so that `parse` gives the plain value back."""
    return f"{key}={_written(value)}"


def typed(key: str, value: object) -> str:
    """Return the word as it is to be typed in a shell."""
    text = word(key, value)
    return f'"{text}"' if "'" in text and not set('"$`\\!') & set(text) else shlex.quote(text)


def _text(kind: Kind, word: str, key: str, text: str) -> Any:
    """Return the value of a key that is text, or a list of text."""
    if kind in ("text or null", "option", "texts") and text.lower() == "null":
        return None
    if kind == "option" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind != "texts":
        return _unquoted(text)
    if re.fullmatch(r"\[[^][{}()'\"\\]*\]", text):
        inner = text[1:-1].strip()
        return [part.strip() for part in inner.split(",")] if inner else []
    if text[:1] not in ("[", "{") and "," not in text:
        return _unquoted(text)
    return _in_hydra(word, key, text)


def _unquoted(text: str) -> str:
    """Return what is between quotes, by Hydra's rule: a backslash is only special before a quote."""
    quote = text[:1]
    found = _QUOTED[quote].fullmatch(text) if quote in _QUOTED else None
    if found is None:
        return text
    return re.sub(rf"(\\+)({quote}|\Z)", lambda part: "\\" * (len(part[1]) // 2) + part[2], found[1])


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if not isinstance(value, str | Path):
        return repr(value) if isinstance(value, float) else str(value)
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    escaped = re.sub(r"(\\*)('|\Z)", lambda part: part[1] * 2 + ("\\'" if part[2] else ""), text)
    return f"'{escaped}'"


def _in_hydra(word: str, key: str, text: str) -> Any:
    """Return the value of a word in Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(word)
    except (HydraException, ValueError) as error:
        expected = without_secret(f"Expected key=value, got {word!r}. Example: method.alpha=10.")
        parts = [part.strip() for part in text.removeprefix("[").removesuffix("]").split(",")]
        quoted = without_secret(typed(key, parts if text.startswith("[") else text))
        advice = f"If a text with signs such as , ( ) [ ] = is meant, type {quoted}."
        raise UserError(f"{expected} {advice}") from error
    if override.is_delete() or override.is_sweep_override():
        allowed = "one value" if key.partition(".")[0] not in _WITH_LISTS else "one value, or a list in brackets"
        raise InvalidValue(key, without_secret(text), allowed, advice=_several(key, text))
    value = override.value()
    if isinstance(value, list) and ALIASES.get(key, key) in _LISTS:
        raise InvalidValue(key, text, "one value", advice=_several(key, text))
    return value


def _several(key: str, text: str) -> str:
    """Return how several values of a key are asked for."""
    found = re.fullmatch(r"choice\((.*)\)|\[(.*)\]", text, re.DOTALL)
    inner = "…" if text.startswith("range") else text if found is None else found[1] or found[2] or ""
    if key.partition(".")[0] in _WITH_LISTS:
        return f"Type {shlex.quote(f'{key}=[{inner}]')}."
    lists = _LISTS.get(ALIASES.get(key, key))
    stage = f"stages.final.{lists}" if lists else f"stages.coarse.space.{key}"
    return f"Several are for difair sweep, where a stage takes a list: {shlex.quote(f'{stage}=[{inner}]')}."


def _removed(word: str) -> str:
    """Return the key of a word ~key.

    Raises:
        InvalidValue: the key belongs neither to a sweep file nor to a profile.
    """
    key = word[1:].partition("=")[0]
    if not key.startswith(_REMOVABLE) or not all(key.split(".")):
        allowed = "~stages.… or ~cluster.…, which removes a key of the sweep file or profile"
        raise InvalidValue("word", without_secret(word), allowed, advice="Any other key takes one value: key=value.")
    return key


def _no_word(word: str, before: str) -> str:
    """Return what is wrong with a word that has no key or no value, and what was meant perhaps."""
    reason = " (the key is missing)" if word.lstrip("+").startswith("=") else ""
    said = without_secret(f"Expected key=value, got {word!r}{reason}. Example: method.alpha=10.")
    if kind_of(before.partition("=")[0]) == "other" or "=" not in before or word.startswith(("-", "=")):
        return said
    return without_secret(f"{said} If it belongs to the word before it, type {shlex.quote(f'{before} {word}')}.")


def several_names(key: str, text: str) -> str:
    """Return advice where the name of a group is several names."""
    return _several(key, text) if key in GROUPS and "," in text else ""
