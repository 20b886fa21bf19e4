"""`difair ui`: MLflow's own pages on the configured store, on the loopback interface only."""

import argparse
import os
import sys

from difair_hpc import config
from difair_hpc.cli.screen import console
from difair_hpc.errors import InvalidValue, UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default 5000)")
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, tracking_uri=URI")


def run(arguments: argparse.Namespace) -> int:
    """Bring the store up to date, then become MLflow's server; does not return while it serves."""
    where = config.settings_only(arguments.words)
    if where.tracking_uri.startswith(("http://", "https://")):
        raise UserError(f"{where.tracking_uri} is a server already: open it in a browser.")
    if not 0 < arguments.port < 65536:
        raise InvalidValue("--port", arguments.port, "a port from 1 to 65535")
    store = where.root / "mlflow.db"
    if not where.tracking_uri and not store.exists():
        raise UserError(f"there is no MLflow store in {where.root} yet; difair train or difair sweep makes it.")
    from difair_hpc.cli.sync import synchronise
    from difair_hpc.runs.tracking import default_uri

    synchronise(where)
    uri = where.tracking_uri or default_uri(where.root)
    console().print(f"MLflow on http://127.0.0.1:{arguments.port} (Ctrl-C ends it)", soft_wrap=True)
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", str(arguments.port), "--workers", "1"]
    os.execv(sys.executable, command)
