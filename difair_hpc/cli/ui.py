"""`difair ui`: MLflow's own pages on the configured store, on the loopback interface only: it asks for no password."""

import argparse
import os
import sys

from difair_hpc import config
from difair_hpc.cli.needs import require_root
from difair_hpc.cli.screen import console
from difair_hpc.config.places import manual, places_of
from difair_hpc.errors import InvalidValue, UserError
from difair_hpc.launch import SAFE_PATH
from difair_hpc.runs.server import WITHOUT_JOBS
from difair_hpc.runs.tracking import default_uri

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1, localhost or ::1 (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=5000, help="port on that host (default 5000)")
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI")


def run(arguments: argparse.Namespace) -> int:
    """Bring the store up to date, then become MLflow's server; does not return while it serves."""
    where = config.settings_only(arguments.words)
    uri = where.tracking_uri or default_uri(where.root)
    if uri.startswith(("http://", "https://")):
        raise UserError(f"{uri} is a server already: open it in a browser.")
    if arguments.host not in _LOOPBACK:
        advice = (
            "These pages ask for no password, so they stay on this machine (from another: "
            "ssh -L 5000:127.0.0.1:5000 HOST). For a team there is a server with accounts: "
            f"python {places_of('slurm')[-1] / 'services/control.py'} --help, and {manual('services.md')}."
        )
        raise InvalidValue("--host", arguments.host, ", ".join(_LOOPBACK), advice=advice)
    if not 0 < arguments.port < 65536:
        raise InvalidValue("--port", arguments.port, "a port from 1 to 65535")
    require_root(where, arguments.words)
    store = where.root / "mlflow.db"
    if not where.tracking_uri and not store.exists():
        raise UserError(f"there is no MLflow store in {where.root} yet; difair train or difair sweep makes it.")
    from difair_hpc.cli.sync import synchronise
    from difair_hpc.runs.tracking import pages

    screen = console()
    shown = where.tracking_uri or store
    screen.print(f"{shown} is brought up to date with {where.root / 'runs'} first", soft_wrap=True)
    _, unreadable = synchronise(where)
    for problem in unreadable:
        screen.print(f"left out: {problem}", soft_wrap=True)
    named = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    address = f"http://{named}:{arguments.port}"
    for name, page in pages(uri).items():
        screen.print(f"{name:16}{address}/{page}", soft_wrap=True)
    screen.print(f"MLflow on {address} (Ctrl-C ends it)", soft_wrap=True)
    sys.stdout.flush()
    # MLflow's own list of trusted names holds patterns such as 10.*, which a page of 10.evil.example could use.
    trusted = ",".join(f"{name}:{arguments.port}" for name in ("127.0.0.1", "localhost", "[::1]"))
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", arguments.host]
    command += ["--port", str(arguments.port), "--workers", "1", "--allowed-hosts", trusted]
    os.execve(sys.executable, command, {**os.environ, **SAFE_PATH, **WITHOUT_JOBS})
