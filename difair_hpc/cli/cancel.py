"""`difair cancel RUN…`: take runs from the queue; those at work save and leave, the study goes on without."""

import argparse

from difair_hpc.cli.marking import mark_runs
from difair_hpc.cli.selection import SELECTORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show which runs are meant, and stop")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Mark the runs as cancelled, and take their waiting jobs from the queue."""
    return mark_runs("cancel", arguments.words, dry_run=arguments.dry_run)
