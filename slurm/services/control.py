"""Start, stop and look at a team's server: MLflow with accounts on PostgreSQL, and Optuna's database beside it.

python slurm/services/control.py start                        for this machine alone
python slurm/services/control.py start --host NAME            for others too, who reach it by that name
python slurm/services/control.py submit --host 0.0.0.0 -- --partition=cpu --time=7-00:00:00
python slurm/services/control.py user alice                   an account, its password in a file
python slurm/services/control.py status                       what runs and how to use it
python slurm/services/control.py stop

Every command may be repeated, and killed at any moment. docs/services.md tells more.
"""

import argparse
import json
import os
import platform
import pwd
import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import accounts
import database
import job
import server
from owned import EVERYWHERE, locked, passwords, ports, prepared, processes

from difair_hpc.errors import DifairError, Failure, InvalidValue, UserError
from difair_hpc.files import read_json, write_atomically
from difair_hpc.folders import make_folder, own_place, remove
from difair_hpc.nofollow import root_at
from difair_hpc.runs.server import address_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the services are and who may reach them."""

    folder: Path
    """Of the services."""
    root: Path
    """The output root whose commands and jobs are to find the server."""
    host: str
    """What it listens to."""
    port: int | None
    """MLflow's; None: that of the last start, or a free one."""
    takeover: bool
    """Whether a start on another machine is over for certain."""

    def words(self) -> list[str]:
        """Return the options that make this."""
        words = [f"--folder={self.folder}", f"--root={self.root}", f"--host={self.host}"]
        return words + [f"--port={self.port}"] * bool(self.port) + ["--takeover"] * self.takeover


def start(place: Place) -> list[str]:
    """Start what does not run, and return what that was."""
    with locked(prepared(place.folder)):
        runs = any(processes(place.folder, service) for service in ("postgres", "mlflow"))
        user = server.user()
        if not runs:
            server.require_usable(user)
        last = read_json(place.folder / "address.json") or {}
        numbers = ports(place.folder, None if runs else place.port)
        now = _address(place, numbers)
        if runs and (now != last or place.port not in (None, numbers["mlflow"])):
            raise UserError(f"the services run already as {last.get('tracking_uri')}; to change that, stop them first.")
        secrets = passwords(place.folder)
        write_atomically(place.folder / "address.json", json.dumps(now))
        write_atomically(place.folder / "optuna.pgpass", _rights(now["storage"], secrets["optuna"]))
        began = {
            "PostgreSQL": database.start(
                place.folder,
                numbers["postgres"],
                secrets,
                host=place.host,
                takeover=place.takeover,
                group=pwd.getpwnam(user).pw_gid if user else None,
            ),
            "MLflow": server.start(place.folder, numbers, secrets, host=place.host),
        }
        _publish(place.root, now)
    return [name for name, new in began.items() if new]


def _publish(root: Path, address: Mapping[str, str]) -> None:
    """Put the address into the output root, where everybody reads it who may read there, and nobody else writes it."""
    make_folder(root)
    before = os.umask(0o022 | ~root.stat().st_mode & 0o077)
    try:
        write_atomically(address_file(root), json.dumps(address))
    finally:
        os.umask(before)


def stop(place: Place) -> None:
    """End what runs, and say what was done."""
    if (here := os.environ.get("SLURM_JOB_ID", "")) != (number := job.found(place.folder).partition(" ")[0]) and number:
        job.cancel(number)
        _say(f"job {number} was asked to end" + (f" (this is job {here})" if here else ""))
        return
    if not place.folder.is_dir():
        _say(f"nothing runs: there is no {place.folder}")
        return
    with locked(place.folder):
        last = read_json(place.folder / "node.json")
        if last is not None and last["node"] != platform.node():
            raise UserError(f"the services were started on {last['node']}: stop them there.")
        for name, ended in (("MLflow", server.stop(place.folder)), ("PostgreSQL", database.stop(place.folder))):
            _say(f"{name} {'is stopped' if ended else 'did not run'}")
        published = address_file(place.root)
        if read_json(published) == read_json(place.folder / "address.json"):
            remove(published)
        (place.folder / "node.json").unlink(missing_ok=True)


def status(place: Place) -> int:
    """Say what runs and how to use it; return 0 if all does."""
    last = read_json(place.folder / "address.json")
    if waiting := job.found(place.folder):
        _say(f"job {waiting}")
    if last is None:
        _say(f"nothing was started in {place.folder}")
        return 1
    node = (read_json(place.folder / "node.json") or {}).get("node", platform.node())
    if node != platform.node():
        _say(f"the services were started on {node}; {last['tracking_uri']}")
        return 0 if server.answers(place.host, ports(place.folder, None)["mlflow"]) else 1
    runs = {
        name: processes(place.folder, service) for name, service in (("PostgreSQL", "postgres"), ("MLflow", "mlflow"))
    }
    for name, found in runs.items():
        _say(f"{name} " + (f"runs (process {min(found)})" if found else "does not run"))
    if not any(runs.values()):
        return 1
    _say(f"MLflow's address is {last['tracking_uri']}, which difair finds in {address_file(place.root)}")
    _say(f"Optuna's is storage={last['storage']}, its password in {place.folder / 'optuna.pgpass'} for ~/.pgpass")
    return 0 if all(runs.values()) else 1


def run(place: Place) -> None:
    """Keep the services running until a signal, then stop them; USR1 (the time is up) sends the job back."""
    leave, reason = threading.Event(), [0]

    def note(number: int, _: object) -> None:
        reason[0] = number
        leave.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, note)
    _say_started(start(place), place)
    while not leave.wait(10) and (place.folder / "node.json").exists():  # which `stop` removes
        try:
            for name in start(place):
                _say(f"{name} had ended and was started again")
        except Failure as error:
            _say(f"{error} It is tried again in 10 s.")
    stop(place)
    if reason[0] == signal.SIGUSR1 and os.environ.get("SLURM_JOB_ID"):
        job.requeue()


def submit(place: Place, options: Sequence[str]) -> None:
    """Submit the services as a job unless there is one."""
    prepared(place.folder)
    if there := job.found(place.folder):
        _say(f"there is a job already: {there}")
        return
    _say(f"submitted as job {job.submit(place.folder, place.words(), options)}; its log is {place.folder / 'job.log'}")
    if place.host in ("127.0.0.1", "localhost", "::1"):
        _say("only its own node will reach it; --host 0.0.0.0 lets others, who need an account")


def user(place: Place, name: str) -> None:
    """Make an account and say how its owner uses it."""
    last = read_json(place.folder / "address.json") or {}
    file = accounts.make(place.folder, name, last.get("tracking_uri", ""))
    _say(f"account {name}: user and password are in {file}; their owner keeps them as ~/.mlflow/credentials (mode 600)")


def main() -> int:
    """Do what the command line says; return its exit code."""
    os.umask(0o077)
    arguments, options = _arguments(sys.argv[1:])
    try:
        place = _place(arguments)
        match arguments.verb:
            case "submit":
                submit(place, options)
            case "user":
                user(place, arguments.name)
            case "status":
                return status(place)
            case "start":
                _say_started(start(place), place)
            case "stop":
                stop(place)
            case "run":
                run(place)
    except DifairError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _place(arguments: argparse.Namespace) -> Place:
    root = root_at(Path(arguments.root).absolute())
    folder = Path(arguments.folder).absolute() if arguments.folder else own_place(root) / "services"
    if re.search(r'[,%"\\\n]', str(folder)):
        raise InvalidValue("--folder", folder, 'a path without , % " \\, which PostgreSQL and sbatch read')
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", arguments.host):
        raise InvalidValue("--host", arguments.host, "the name or address of this machine, or 0.0.0.0")
    if arguments.port is not None and not 0 < arguments.port < 65536:
        raise InvalidValue("--port", arguments.port, "a port from 1 to 65535")
    return Place(folder=folder, root=root, host=arguments.host, port=arguments.port, takeover=arguments.takeover)


def _address(place: Place, numbers: Mapping[str, int]) -> dict[str, str]:
    """Return what clients have to know; there is no password in it."""
    name = platform.node() if place.host in EVERYWHERE else place.host
    name = f"[{name}]" if ":" in name else name
    return {
        "tracking_uri": server.address(place.host, numbers["mlflow"]),
        "storage": f"postgresql://optuna@{name}:{numbers['postgres']}/optuna",
    }


def _rights(storage: str, password: str) -> str:
    """Return the lines of ~/.pgpass for Optuna's database: one for each of its names, so that no other gets it."""
    found = urlsplit(storage)
    hosts = {found.hostname or "", "127.0.0.1", "localhost"}  # through ssh -L it has the names of this machine itself
    lines = (re.sub(r"([\\:])", r"\\\1", host) + f":{found.port}:optuna:optuna:{password}\n" for host in sorted(hosts))
    return "".join(lines)


def _say_started(began: Sequence[str], place: Place) -> None:
    for name in ("PostgreSQL", "MLflow"):
        _say(f"{name} is started" if name in began else f"{name} runs already")
    last = read_json(place.folder / "address.json") or {}
    _say(f"{last.get('tracking_uri')} (user admin, its password in {place.folder / 'passwords.json'})")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments(words: Sequence[str]) -> tuple[argparse.Namespace, Sequence[str]]:
    """Return the options, and what stands after --: options of sbatch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["start", "stop", "status", "run", "submit", "user"])
    parser.add_argument("name", nargs="?", default="", help="of the account (user)")
    parser.add_argument("--root", default=os.environ.get("DIFAIR_ROOT") or "outputs", help="output root (DIFAIR_ROOT)")
    parser.add_argument("--folder", help="of the services (default: services/ below the root; a local disk is better)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="what to listen to (default 127.0.0.1; 0.0.0.0: everything)"
    )
    parser.add_argument("--port", type=int, help="MLflow's port (default: that of the last start, or a free one)")
    parser.add_argument("--takeover", action="store_true", help="the machine that ran them is certainly down")
    parts = (*words, "--")
    cut = parts.index("--")
    return parser.parse_args(parts[:cut]), parts[cut + 1 : -1]


if __name__ == "__main__":
    sys.exit(main())
