"""The command line: `difair VERB`, one verb per file; what is heavy is imported when a verb needs it."""

import argparse
import importlib
import io
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType

from difair_hpc import __version__
from difair_hpc.cli.last_door import GONE, folder_is_gone, last_word, write_out
from difair_hpc.errors import DifairError, UserError
from difair_hpc.user import complete_environment
from difair_hpc.words import visible

VERBS = {
    "train": "train one run: difair train benchmark=mnist split=2 method=difair method.alpha=10",
    "sweep": "run a study: difair sweep digits",
    "status": "show where studies and runs stand",
    "why": "explain a run: how it ended, what happens next",
    "logs": "print what the jobs of a run have printed",
    "resume": "start again what failed, was cancelled or held",
    "hold": "keep runs from being executed; those at work save and leave",
    "release": "let held runs go on",
    "cancel": "take runs from the queue; their study goes on without them",
    "report": "print a study's tables and write its report",
    "doctor": "check what may keep a study from running here: difair doctor cluster=v100",
    "data": "list the data sets, or get one: difair data get mnist",
    "ui": "bring the store up to date, and open MLflow's pages",
    "drill": "disturb a short study with faults, and compare it with another",
    "sync": "bring MLflow and Optuna up to date with the run folders",
}

_FILES = {"hold": "marking", "release": "marking", "cancel": "marking"}
"""Verbs that share a file; every other one has its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failure, 2 a mistake of the user, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    complete_environment()
    for stream in (sys.stdout, sys.stderr):  # a name on disk may have signs that the terminal does not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if folder_is_gone():
            raise UserError(GONE)
        code = _command(words)
        write_out()
    except DifairError as error:
        return _explain(error, debug="--debug" in words)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; repeat the command to continue\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last door: a mistake of ours, or of what is around the process
        if "--debug" in words:
            raise
        text, code = last_word(error)
        sys.stderr.write(visible(f"difair: {text}\n"))
        with suppress(OSError):
            write_out()
    return code


def _command(words: list[str]) -> int:
    verb = next((word for word in words if word in VERBS), None)
    parser = _parser(verb)
    arguments, rest = parser.parse_known_args(words)
    stray = [word for word in rest if word.startswith("-")]
    if stray:
        parser.error(f"unknown option {stray[0]}; difair {arguments.verb or ''} --help lists the options")
    if arguments.verb is None:
        parser.print_help()
        return 2 if words else 0
    arguments.words = [*getattr(arguments, "words", []), *rest]
    return int(_module(arguments.verb).run(arguments))


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="difair",
        description="DIFAIR hyperparameter studies on SLURM clusters and laptops.",
        epilog="Settings are key=value words; numbers and lists are in Hydra's grammar: root=FOLDER data_root=FOLDER "
        "tracking_uri=URI storage=URL.",
    )
    parser.add_argument("--version", action="version", version=f"difair-hpc {__version__}")
    parser.set_defaults(verb=None, debug=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        own = verbs.add_parser(name, help=summary, description=summary)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if name == verb:
            _module(name).add_arguments(own)
    return parser


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"difair_hpc.cli.{_FILES.get(verb, verb)}")


def _explain(error: DifairError, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    else:
        sys.stderr.write(visible(f"difair: {error}\n"))
    return error.exit_code
