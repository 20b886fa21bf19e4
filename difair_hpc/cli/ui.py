"""`difair ui`: MLflow's own pages on the configured store, for whoever has the password that this start prints.

They are on the loopback interface, which on a login node is everybody's.
"""

import argparse
import os
import secrets
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from difair_hpc import config
from difair_hpc.cli.needs import require_root
from difair_hpc.cli.screen import console
from difair_hpc.config.places import manual, places_of
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.folders import keep_private
from difair_hpc.runs.door import Door, digest, guarded
from difair_hpc.runs.fence import Fence, below, path_of
from difair_hpc.runs.moved import ARTIFACTS
from difair_hpc.runs.sqlite import is_sqlite, own_store, sqlite_path
from difair_hpc.runs.tracking import default_uri

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
USER = "difair"
"""Browsers ask for a name as well; any does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1, localhost or ::1 (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=5000, help="port on that host (default 5000)")
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI")


def run(arguments: argparse.Namespace) -> int:
    """Bring the store up to date, then be MLflow's server; does not return while it serves."""
    where = config.settings_only(arguments.words)
    uri = where.tracking_uri or default_uri(where.root)
    if uri.startswith(("http://", "https://")):
        raise UserError(f"{uri} is a server already: open it in a browser.")
    if arguments.host not in _LOOPBACK:
        advice = (
            "These pages are for you alone, so they stay on this machine (from another: "
            "ssh -L 5000:127.0.0.1:5000 HOST). For a team there is a server with accounts: "
            f"python {places_of('slurm')[-1] / 'services/control.py'} --help, and {manual('services.md')}."
        )
        raise InvalidValue("--host", arguments.host, ", ".join(_LOOPBACK), advice=advice)
    if not 0 < arguments.port < 65536:
        raise InvalidValue("--port", arguments.port, "a port from 1 to 65535")
    require_root(where, arguments.words)
    keep_private(where.root)
    store = own_store(where.root)
    if not where.tracking_uri and not store.exists():
        raise UserError(f"there is no MLflow store of {where.root} yet; difair train or difair sweep makes it.")
    _require_private_output()
    with _ears(arguments.host, arguments.port) as ears:
        from difair_hpc.cli.sync import synchronise
        from difair_hpc.runs.tracking import pages

        screen = console()
        shown = where.tracking_uri or store
        screen.print(f"{shown} is brought up to date with {where.root / 'runs'} first", soft_wrap=True)
        _, unreadable = synchronise(where)
        for problem in unreadable:
            screen.print(f"left out: {problem}", soft_wrap=True)
        named = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        address, password = f"http://{named}:{arguments.port}", secrets.token_urlsafe(18)
        for name, page in pages(uri).items():
            screen.print(f"{name:16}{address}/{page}", soft_wrap=True)
        screen.print(f"MLflow on {address} (Ctrl-C ends it)", soft_wrap=True)
        screen.print(f"Log in as {USER} with the password {password} (a new one at each start)", soft_wrap=True)
        sys.stdout.flush()
        serve(uri, where.root, ears, digest(password), port=arguments.port)
    return 0


def serve(uri: str, root: Path, ears: socket.socket, secret: bytes, *, port: int) -> None:
    """Serve MLflow's pages until Ctrl-C."""
    from difair_hpc.runs import mlflow_app

    # MLflow's own list of trusted names holds patterns such as 10.*, which a page of 10.evil.example could use.
    door = Door(names=[f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")], secret=secret)
    fences = list(_fences(uri, root))
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # else it would leave the folder behind
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # of which the server knows nothing
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="difair-ui-") as own, suppress(KeyboardInterrupt):
        mlflow_app.own_temporary_files(Path(own))
        inside = partial(below, fences)
        mlflow_app.prepare(store=uri, fences=fences, names=door.names, proxied=False, experiments=inside, models=inside)
        mlflow_app.serve(guarded(mlflow_app.without_accounts(), door), ears=ears, quiet=True)


def _fences(uri: str, root: Path) -> Iterator[Fence]:
    """Yield the folders whose artifacts are shown: that of the output root, and MLflow's own beside another store."""
    yield Fence(root / ARTIFACTS)
    if is_sqlite(uri):
        beside = (sqlite_path(uri) or root).absolute().parent
        yield from (Fence(beside / name) for name in (ARTIFACTS, "mlruns"))
    elif "://" not in uri or uri.startswith("file:"):
        yield Fence(Path(path_of(uri)))


def _ears(host: str, port: int) -> socket.socket:
    """Return a socket on which nobody answers yet: no other user can take the port once its address is printed."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port} cannot be used: {os.strerror(error.errno or 0)}. Choose another --port."
        ) from error


def _require_private_output() -> None:
    """Refuse to print a password into a file that others can read."""
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):  # no file at all
        return
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        raise UserError(
            "standard output is a file that others can read, and the password for MLflow's pages would be in it: "
            "chmod 600 it first, or start difair ui in a terminal."
        )
