"""What a colleague can put in place of a file or folder of the root, with no more right than its mode gives him."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.security.kept import everything
from tests.security.scene import Scene

HUGE_BYTES = 8 * 2**30


def away(path: Path) -> None:
    """Move what is there to another name, as whoever may write a folder can do with anything in it."""
    if os.path.lexists(path):
        path.rename(path.with_name(f"{path.name}.aside"))
    path.parent.mkdir(parents=True, exist_ok=True)


def put(path: Path, text: str) -> None:
    """Put a file of one's own there."""
    away(path)
    path.write_text(text, "utf-8")


def disguise(scene: Scene, path: Path, text: str) -> None:
    """Put a file there that belongs to the victim: one of his that the team can write, with other content."""
    donor = scene.root / "studies/mini/ticks.json"
    assert donor.stat().st_uid == scene.team.victim.uid
    donor.write_text(text, "utf-8")
    away(path)
    donor.rename(path)


def taken_over(folder: Path) -> Path:
    """Put a copy of one's own in place of a folder that only its owner may write, and return it."""
    away(folder)
    shutil.copytree(folder.with_name(f"{folder.name}.aside"), folder)
    folder.chmod(0o2770)
    for path in everything(folder):
        path.chmod(0o770 if path.is_dir() else 0o660)
    return folder


def disguised(scene: Scene, folder: Path, files: dict[str, str]) -> None:
    """Put a folder there that belongs to the victim, as do the files in it, whatever they hold."""
    donor = scene.root / "runs.donor"
    next((scene.root / "runs").glob("*/attempts")).rename(donor)
    old = iter([path for path in donor.iterdir() if path.stat().st_uid == scene.team.victim.uid])
    for name, text in files.items():
        path = next(old)
        path.write_text(text, "utf-8")
        path.rename(donor / f"{name}.new")
    for path in list(donor.iterdir()):
        if path.suffix == ".new":
            path.rename(path.with_suffix(""))
        else:
            path.unlink()
    away(folder)
    donor.rename(folder)


def link(path: Path, target: Path) -> None:
    """Put a symbolic link there."""
    away(path)
    path.symlink_to(target)


def loop(path: Path) -> None:
    away(path)
    path.symlink_to(path.name)


def hard_link(path: Path, target: Path) -> None:
    """Put another name of a file there that the colleague may read and write; of others the system makes none."""
    away(path)
    path.hardlink_to(target)


def fifo(path: Path) -> None:
    """Put a pipe there: who opens it waits for the other end."""
    away(path)
    os.mkfifo(path, 0o660)


def open_socket(path: Path) -> None:
    away(path)
    number = os.open(path.parent, os.O_PATH)
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(f"/proc/self/fd/{number}/{path.name}")  # a path may be longer than the name of a socket
    os.close(number)


def huge(path: Path) -> None:
    """Put a file there that holds nothing and is longer than what a process can read."""
    away(path)
    with path.open("wb") as file:
        file.truncate(HUGE_BYTES)


def unreadable(path: Path) -> None:
    """Put a copy of one's own there that nobody else may read."""
    content = path.read_bytes() if path.is_file() else b"{}"
    away(path)
    path.write_bytes(content)
    path.chmod(0)


def foreign(path: Path) -> None:
    """Put a copy of one's own there, with the same content."""
    content = path.read_bytes() if path.is_file() else b"{}"
    away(path)
    path.write_bytes(content)


def swapped(path: Path) -> None:
    """Put a folder in place of a file, and a file in place of a folder."""
    was_folder = path.is_dir()
    away(path)
    if was_folder:
        path.write_text("no folder\n")
    else:
        path.mkdir()
        (path / "0001.json").write_text("{}")


def in_store(scene: Scene, *statements: str) -> None:
    """Change MLflow's store, and put it there as a file of one's own."""
    store = scene.root / "mlflow.db"
    own = store.with_name("own.db")
    own.write_bytes(scene.store)
    with closing(sqlite3.connect(own)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    own.replace(store)


def unshipped(signature: str) -> str:
    """Return the statement after which a run has to be shipped again."""
    known = f"SELECT run_uuid FROM tags WHERE key = 'difair.signature' AND value = '{signature}'"
    return f"DELETE FROM tags WHERE key IN ('difair.final', 'difair.shipped_epoch') AND run_uuid IN ({known})"


def hot_journal(store: Path, named: Path) -> None:
    """Put a rollback journal beside a store that names another file as its super-journal, which SQLite then deletes."""
    name = os.fsencode(named)
    sector, page = 512, int.from_bytes(store.read_bytes()[16:18], "big")
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = store.stat().st_size // page
    head = magic + b"".join(number.to_bytes(4, "big") for number in (0, 1, pages, sector, page))
    checksum = sum(int.from_bytes(bytes([sign]), "big", signed=True) for sign in name) & 0xFFFFFFFF
    locked = (2**30 // page + 1).to_bytes(4, "big")
    tail = locked + name + len(name).to_bytes(4, "big") + checksum.to_bytes(4, "big") + magic
    put(store.with_name(f"{store.name}-journal"), "")
    store.with_name(f"{store.name}-journal").write_bytes(head.ljust(sector, b"\0") + tail)
