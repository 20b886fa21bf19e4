"""Seeded damage to bytes, text, JSON and folders, and the command line run in this process on what it makes.

`DIFAIR_TEST_SCALE=20` tries twenty times as many cases as every run of the tests does.
"""

import contextlib
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difair_hpc.cli import main

SCALE = int(os.environ.get("DIFAIR_TEST_SCALE", "1"))
"""Times as many cases; read before conftest.py hides the user's settings from the tests."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**30, "", "x", "../../x", "a\0b", "ü\ud800", [], {},
    [[]], [None], {"": None}, {"name": []}, "9" * 5000,
)  # fmt: skip
"""Values that no reader expects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a command printed and returned."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def sane(self) -> bool:
        """Whether it did its work, or ended with a message of its own."""
        told = self.code == 0 or bool(self.err.strip() or self.out.strip())
        return (
            self.code in (0, 1, 2)
            and told
            and not any(sign in self.out + self.err for sign in ("internal error", "Traceback (most recent"))
        )


def said(*words: str) -> Said:
    """Run `difair` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as error:  # argparse's way to end
            code = error.code if isinstance(error.code, int) else 1
    return Said(words=words, code=code, out=_text(out), err=_text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def tree(folder: Path) -> dict[str, object]:
    """Return all below a folder: content of files, target of links, None of folders."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = content
    return found


def damaged_bytes(chance: random.Random, content: bytes) -> bytes:
    """Return the content cut, flipped, filled, doubled or replaced."""
    place = chance.randrange(len(content) + 1)
    part = chance.randrange(1, 40)
    ways: Sequence[Callable[[], bytes]] = (
        lambda: content[:place],
        lambda: content[:place] + bytes(chance.randrange(256) for _ in range(part)) + content[place + part :],
        lambda: content[:place] + b"\0" * part + content[place + part :],
        lambda: content[:place] + content,
        lambda: b"",
        lambda: chance.randbytes(part),
        lambda: b"\0" * 4096,
        lambda: b"[" * 100_000,
        lambda: json.dumps(chance.choice(ODD)).encode(),
    )
    return chance.choice(ways)()


def damaged_value(chance: random.Random, value: Any) -> Any:
    """Return plain data with one of its parts replaced, taken away or renamed."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, list):
        place = chance.randrange(len(value))
        return [*value[:place], damaged_value(chance, value[place]), *value[place + 1 :]]
    key = chance.choice(list(value))
    rest = {name: part for name, part in value.items() if name != key}
    way = chance.random()
    if way < 0.2:
        return rest
    if way < 0.3:
        return {**rest, f"{key}x": value[key]}
    return {**value, key: damaged_value(chance, value[key])}


def damage_file(chance: random.Random, path: Path) -> str:
    """Do something to a file that no program of ours would do; return what."""
    content = path.read_bytes()
    way = chance.choice(("bytes", "bytes", "json", "json", "json", "gone", "folder", "loop", "dangling"))
    if way == "json":
        try:
            lines = [json.loads(line) for line in (content.splitlines() if path.suffix == ".jsonl" else [content])]
        except ValueError:
            way = "bytes"
        else:
            place = chance.randrange(len(lines))
            lines[place] = damaged_value(chance, lines[place])
            path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    if way == "bytes":
        path.write_bytes(damaged_bytes(chance, content))
    if way in ("gone", "folder", "loop", "dangling"):
        path.unlink()
    if way == "folder":
        path.mkdir()
    if way in ("loop", "dangling"):
        path.symlink_to(path.name if way == "loop" else "no-such-file")
    return f"{way} {path}"
