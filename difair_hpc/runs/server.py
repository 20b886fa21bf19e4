"""A team's MLflow server (slurm/services): the file by which an output root names it, and care for its passwords."""

import os
from pathlib import Path

from difair_hpc.errors import UserError
from difair_hpc.files import parse_json, read_owned
from difair_hpc.folders import exists
from difair_hpc.user import is_trusted, name_of

CREDENTIALS = "~/.mlflow/credentials"
"""Where MLflow's clients look for user and password, unless the environment has them."""

WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Environment of every MLflow server: its jobs are for evaluating language models, five more processes and half of the
time until it answers."""


def address_file(root: Path) -> Path:
    """Return the file of an output root that names its server; slurm/services writes and removes it."""
    return root / "mlflow-server.json"


def server_of(root: Path) -> str:
    """Return the address of the server that an output root names, or nothing.

    It is read at each use: a service job that was sent back goes on at another node. What is sent there is the password
    of this user, so a colleague's word does not count: `distrusted` says so.
    """
    address, owner = _named(root)
    return address if is_trusted(owner) else ""


def distrusted(root: Path) -> str:
    """Return why the server that an output root names is not used, and what to do; nothing: it is, or there is none."""
    address, owner = _named(root)
    if not address:
        return f"{address_file(root)} names no server: remove it" if exists(address_file(root)) else ""
    if is_trusted(owner):
        return ""
    return (
        f"{address_file(root)} is {name_of(owner)}'s and names the server {address}; nothing is sent there. "
        f"If that is your team's server: DIFAIR_TRUST={name_of(owner)}, or tracking_uri={address}"
    )


def _named(root: Path) -> tuple[str, int]:
    """Return the address in the file of an output root, and the number of the user who wrote it."""
    text, owner = read_owned(address_file(root))
    content = parse_json(text, {"tracking_uri": str})
    return (content["tracking_uri"] if content is not None else ""), owner


def private(path: Path) -> Path:
    """Return the path of a file with passwords if its owner alone can read it, or it is absent.

    Raises:
        UserError: others can read it; the message has the command that ends this.
    """
    mode = path.stat().st_mode & 0o777 if path.exists() else 0
    if mode & 0o077:
        raise UserError(f"{path} holds passwords and is open to others (mode {mode:03o}): chmod 600 {path}")
    return path


def check_credentials(uri: str) -> None:
    """Refuse a server where MLflow would take the password for it from a file that others can read.

    Raises:
        UserError: as `private` does.
    """
    if uri.startswith(("http://", "https://")):
        private(Path(os.path.expanduser(CREDENTIALS)))  # noqa: PTH111 - pathlib's fails where there is no home
