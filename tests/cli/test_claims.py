"""What the README and the paper promise of digits, on the real images."""

import json
from pathlib import Path

import pytest

from tests.cli.made import command

pytestmark = [pytest.mark.slow, pytest.mark.heavy("claims")]


def test_thirty_epochs_of_digits_recognise_them_and_the_largest_output_tells_unknown_ones_best(tmp_path: Path) -> None:
    words = ("benchmark=digits", "split=0", "method=difair", "protocol=short", "protocol.epochs=30")
    done = command("train", *words, "execution.threads=1", "tracking_uri=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "outputs" / "runs").glob("*/result.json")
    evaluation = json.loads(path.read_text())["evaluation"]
    assert evaluation["closed_set_accuracy"] >= 0.95
    # Section 4: the maximum output detects unknown classes better than the distance to the nearest anchor.
    assert evaluation["auroc"]["mos"] > evaluation["auroc"]["distance"]
