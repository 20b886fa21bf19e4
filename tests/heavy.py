"""The heavy set: `make test-heavy PART=NAME` repeats in number what `make test` shows once.

Each part takes under an hour.
Whoever changes what a part covers runs it before the work is called done, and puts its result into docs/reliability.md.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Tests that belong together, and how pytest is called for them."""

    words: str
    """What it shows, for the list."""
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


TWO = ("-n", "2", "--dist", "loadgroup")
PARTS = {
    "storm": Part(words="a study that everything happens to, on the testbed", arguments=("--heavy=storm", "-n", "0")),
    "drill": Part(words="thirty faults of all kinds; four on the testbed", arguments=("--heavy=drill", "-n", "0")),
    "kills": Part(words="runs and stores killed at random moments", arguments=("--heavy=kills", *TWO)),
    "testbed": Part(words="what SLURM itself does on the testbed", arguments=("--heavy=testbed", "-n", "0")),
    "fuzz": Part(
        words="twenty times as many cases of every property and every damaged file",
        arguments=("tests/fuzz", "tests/sweep/test_plan_histories.py", "tests/sweep/test_plan.py", *TWO),
        environment={"DIFAIR_TEST_SCALE": "20"},
    ),
    "security": Part(
        words="a colleague's attacks on a shared root, and ten times as many plants in it",
        arguments=("tests/security", "-n", "0"),
        environment={"DIFAIR_TEST_SCALE": "10"},
    ),
    "packaging": Part(words="wheel and source distribution in new environments", arguments=("--heavy=packaging",)),
    "bench": Part(words="the benchmarks' own code", arguments=("--heavy=bench", *TWO)),
    "claims": Part(words="what README and paper promise of digits, trained in full", arguments=("--heavy=claims",)),
}


def main() -> int:
    """Run one part, or list them."""
    name, more = sys.argv[1] if sys.argv[1:] else "", sys.argv[2:]
    if name not in PARTS:
        complaint = f"PART={name} is not one of them.\n" if name else ""
        lines = [f"  make test-heavy PART={part:10} {content.words}" for part, content in PARTS.items()]
        sys.stderr.write(f"{complaint}The heavy set has these parts:\n" + "\n".join(lines) + "\n")
        return 2
    part = PARTS[name]
    command = [sys.executable, "-m", "pytest", "--durations=5", *part.arguments, *more]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env={**os.environ, **part.environment}, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
