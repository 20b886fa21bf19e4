"""`difair hold RUN…`: keep runs from being executed until `difair release`; those that execute save and leave."""

import argparse

from difair_hpc.cli.marking import mark_runs
from difair_hpc.cli.selection import SELECTORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="show which runs are meant, and stop")
    parser.add_argument("words", nargs="*", metavar="RUN", help=SELECTORS)


def run(arguments: argparse.Namespace) -> int:
    """Mark the runs as held, and hold their waiting jobs in the queue."""
    return mark_runs("hold", arguments.words, dry_run=arguments.dry_run)
