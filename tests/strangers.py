"""A second user of this machine, for tests of what others can do; made and removed by the test."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

needs_two_users = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("useradd") is None, reason="only root can make a second user"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stranger:
    """Somebody without any rights."""

    name: str

    def does(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as this user."""
        return subprocess.run(
            command,
            user=self.name,
            group=self.name,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def a_stranger() -> Iterator[Stranger]:
    """Make a user without home and password, and remove it after the block."""
    name = f"difair-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--no-create-home", "--user-group", "--shell", "/bin/sh", name], check=True)
    try:
        yield Stranger(name=name)
    finally:
        subprocess.run(["userdel", name], check=True)
