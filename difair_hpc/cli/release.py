"""`difair release RUN…`: let held runs go on, in their old place in the queue where they have one."""

import argparse

from difair_hpc.cli.marking import mark_runs
from difair_hpc.cli.selection import SELECTORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show which runs are meant, and stop")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Take the hold off the runs and off their jobs in the queue."""
    return mark_runs("release", arguments.words, dry_run=arguments.dry_run)
