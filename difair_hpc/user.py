"""Who the user is, also in a container or on a node that knows the user by number alone."""

import getpass
import os
import pwd
from pathlib import Path

NO_HOME = "/nonexistent"
"""What Debian gives to users without a home."""


def user_name() -> str:
    """Return the name of this user, or the number of one that the machine does not know by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


OTHERS = -1
"""Stands for the number of a user where several may have written something."""


def is_trusted(number: int) -> bool:
    """Whether what a user wrote may be acted upon: it is this one or root, or named in DIFAIR_TRUST (a,b)."""
    named = [name.strip() for name in os.environ.get("DIFAIR_TRUST", "").split(",")]
    return number in (0, os.geteuid()) or name_of(number) in named


def name_of(number: int) -> str:
    """Return the name of a user, or the number of one that the machine does not know by name."""
    if number == OTHERS:
        return "somebody else"
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def complete_environment() -> None:
    """Name user and home for this process and those that it starts: MLflow and torch end where they cannot ask."""
    if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        os.environ["LOGNAME"] = user_name()
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME
