"""`difair drill`: inject faults into a short study, and compare it with one that nothing happened to."""

import argparse
import dataclasses
import json

from difair_hpc.cli.screen import console, duration
from difair_hpc.words import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--faults", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan: the same seed repeats a drill (default 0)")
    parser.add_argument("--kinds", default="", metavar="KIND,…", help="which kinds (default: all that are possible)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plan, and stop")
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    parser.add_argument("words", nargs="*", metavar="key=value", help="root=FOLDER, cluster=local, protocol.epochs=…")


def run(arguments: argparse.Namespace) -> int:
    """Return 0 if every fault was survived and nothing differs, else 1."""
    from difair_hpc.drill.drill import executed, planned
    from difair_hpc.drill.kinds import KINDS
    from difair_hpc.drill.outcome import table

    screen, kinds = console(), tuple(arguments.kinds.split(",")) if arguments.kinds else ()
    drill = planned(arguments.words, count=arguments.faults, seed=arguments.seed, kinds=kinds)
    words = {name: kind.words for name, kind in KINDS.items()}
    if arguments.dry_run:
        for fault in drill.faults:
            screen.out(f"{fault.number:4} {fault.kind:16} {words[fault.kind]}")
        for kind, why in drill.left_out.items():
            screen.out(f"left out: {kind}, {why}")
        return 0
    quiet = arguments.format == "json"
    outcome = executed(drill, (lambda _: None) if quiet else screen.out)
    if quiet:
        content = dataclasses.asdict(outcome) | {"left_out": drill.left_out, "sound": outcome.sound}
        screen.out(json.dumps(content, indent=1))
        return 0 if outcome.sound else 1
    for line in table(outcome.records, words):
        screen.out(line)
    for kind, why in drill.left_out.items():
        screen.out(f"left out: {kind}, {why}")
    for line in outcome.differences:
        screen.out(f"differs: {line}")
    if outcome.missing:
        missing = counted(outcome.missing, "fault", "were")
        screen.out(f"{missing} not injected: the study had ended; a larger protocol.epochs= helps")
    verdict = "equal to the undisturbed study" if outcome.sound else f"NOT equal, or not recovered; see {drill.base}"
    screen.out(f"{counted(len(outcome.records), 'fault')} in {duration(outcome.seconds)}: {verdict}")
    return 0 if outcome.sound else 1
