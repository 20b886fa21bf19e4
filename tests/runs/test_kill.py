"""`difair train` as a real process: asked to stop or killed at random moments, it ends as if nothing had happened.

Kills aimed at each place that a process can die in: test_kill_points.py.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.runs.attempts import views
from difair_hpc.runs.folder import RunFolder, run_folder
from tests import forked, short
from tests.runs.made import outcome, spooled_epochs
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS = 8
WORDS = (
    "execution.device=cpu",
    "execution.threads=1",
    "execution.checkpoint_epochs=1",
    "tracking_uri=none",
)
SEED = int(os.environ.get("DIFAIR_KILL_SEED", "20241"))


WHOLE_EPOCHS = 30
"""More than six kills use up, however late a busy machine sees a save."""
WHOLE = ("benchmark=digits", "protocol=short", f"protocol.epochs={WHOLE_EPOCHS}")
LASTING = (*short.words(short.short(EPOCHS)), "execution.pause_seconds=0.2", "method=cross_entropy")


def started(root: Path, *words: str) -> "subprocess.Popen[str]":
    """Start `difair train` from nothing: a kill may come while it imports what it needs."""
    return subprocess.Popen(
        [sys.executable, "-m", "difair_hpc", "train", f"root={root}", *WORDS, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> int:
    """Wait for a process and return its exit code; what it complained of is shown if the test fails."""
    _, complaint = process.communicate()
    sys.stderr.write(complaint)
    return process.returncode


def only_run(root: Path) -> RunFolder | None:
    names = [path.name for path in (root / "runs").glob("*")] if (root / "runs").is_dir() else []
    return run_folder(root, names[0]) if names else None


def uninterrupted(root: Path, *words: str) -> RunFolder:
    """Run in this process, from the beginning to the end."""
    assert main(["train", f"root={root}", *WORDS, *words]) == 0
    place = only_run(root)
    assert place is not None
    return place


def epoch_and_step(root: Path) -> tuple[int, int]:
    """Return the newest checkpoint's epoch and the last heard step."""
    place = only_run(root)
    if place is None:
        return 0, 0
    epochs = [int(path.name.split("-")[2]) for path in place.path.glob("checkpoint-*.pt")]
    return max(epochs, default=0), place.state().step


def is_saving(root: Path) -> bool:
    return any((root / "runs").glob("*/.checkpoint-*.tmp")) if (root / "runs").is_dir() else False


def kill(root: Path, moment: str, chance: random.Random) -> str:
    """Start the run, kill it at a moment of one kind, and return where that was."""
    process = started(root, *WHOLE)
    before = epoch_and_step(root)[0]
    if moment == "start-up":
        time.sleep(chance.uniform(0.1, 2.0))
    elif moment == "training":
        eventually(lambda: epoch_and_step(root)[0] > before or process.poll() is not None)
        time.sleep(chance.uniform(0.0, 0.3))
    else:
        saves = chance.choice([1, 2])
        eventually(lambda: epoch_and_step(root)[0] > before + saves - 2 or process.poll() is not None)
        eventually(lambda: is_saving(root) or process.poll() is not None, poll_seconds=0.001)
    process.send_signal(signal.SIGKILL)
    code = finished(process)
    epoch, _ = epoch_and_step(root)
    torn = is_saving(root)
    return f"{moment}: exit {code}, newest checkpoint epoch {epoch}{', half a checkpoint left' if torn else ''}"


@pytest.mark.heavy("kills")
def test_a_run_that_is_killed_again_and_again_ends_to_the_same_bit(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    moments = ["start-up", "training", "saving", "start-up", "training", "saving"]
    chance.shuffle(moments)
    log = [kill(tmp_path / "killed", moment, chance) for moment in moments]
    sys.stdout.write(f"DIFAIR_KILL_SEED={SEED}\n" + "\n".join(log) + "\n")  # pytest shows it if the test fails
    assert Counter(line.split(",")[0].split(": ")[1] for line in log) == {"exit -9": 6}
    assert finished(started(tmp_path / "killed", *WHOLE)) == 0
    place = only_run(tmp_path / "killed")
    assert place is not None
    whole = uninterrupted(tmp_path / "whole", *WHOLE)
    assert place.signature == whole.signature
    assert outcome(place) == outcome(whole)
    assert spooled_epochs(place) == list(place.points()) == list(range(1, WHOLE_EPOCHS + 1))
    moments_s = [point["time"] for point in place.points().values()]
    assert moments_s == sorted(moments_s)
    result = json.loads((place.path / "result.json").read_text())
    # A kill during start-up may come before the run is claimed; all others leave an attempt without an end.
    assert 5 <= result["attempts"] <= 7
    assert [attempt.end is None for attempt in views(place.path)] == [True] * (result["attempts"] - 1) + [False]
    assert not list(place.path.glob(".checkpoint-*.tmp"))
    assert len(list(place.path.glob("checkpoint-*.pt"))) == 1


def stopped(root: Path, number: signal.Signals) -> tuple[int, int]:
    """Start the run, send a signal while it trains, and return the last finished epoch before and after."""
    root.mkdir(exist_ok=True)
    with (root / "said.txt").open("wb") as said:
        process = forked.started(["train", f"root={root}", *WORDS, *LASTING], cwd=root, out=said)
    before = epoch_and_step(root)[0]
    eventually(lambda: epoch_and_step(root)[0] > before or process.poll() is not None)
    seen = epoch_and_step(root)[0]
    process.send_signal(number)
    assert process.wait() == 130, (root / "said.txt").read_text()
    return seen, epoch_and_step(root)[0]


def test_sigterm_and_sigint_save_between_batches_and_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "stopped"
    for count, number in enumerate([signal.SIGTERM, signal.SIGINT], start=1):
        seen, kept = stopped(root, number)
        place = only_run(root)
        assert place is not None
        state = place.state()
        assert (state.status, state.attempts) == ("stopped", count)
        assert seen <= kept == state.epoch < EPOCHS
        assert any(path.name.endswith(f"-{state.step:06d}.pt") for path in place.path.glob("checkpoint-*.pt"))
        assert list(place.points()) == list(range(1, kept + 1))
    place = uninterrupted(root, *LASTING)  # the third attempt goes on in this process
    whole = uninterrupted(tmp_path / "whole", *LASTING)
    assert outcome(place) == outcome(whole)
    assert spooled_epochs(place) == list(range(1, EPOCHS + 1))
    assert json.loads((place.path / "result.json").read_text())["attempts"] == 3
