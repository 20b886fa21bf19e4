"""Commands on an output root of which a few files were damaged: a message, never a traceback, and nothing else lost."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from difair_hpc.errors import DifairError
from tests.fuzz.cases import SCALE, damage_file, said, tree
from tests.fuzz.made import SEEK, STUDY
from tests.sweep.studies import Bench

READING = (
    ("status",),
    ("status", "-f", "json"),
    ("status", "mini", "state=failed"),
    ("why", "1"),
    ("why", "2"),
    ("why", "3"),
    ("why", "6"),
    ("logs", "3"),
    ("hold", "-n", "mini"),
    ("cancel", "-n", "1"),
    ("resume", "-n", "mini"),
    ("report", "mini", "-f", "json"),
    ("report", "seek", "-f", "json"),
)
WRITING = (("hold", "mini"), ("cancel", "2"), ("release", "3"), ("sync", "tracking_uri=none"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damaged_roots_end_in_a_message(tmp_path: Path, whole_root: Path, part: int) -> None:
    files = sorted(path.relative_to(whole_root) for path in whole_root.rglob("*") if path.is_file())
    codes: Counter[int] = Counter()
    for number in range(50 * SCALE):
        chance = random.Random(f"{part} {number}")
        root = tmp_path / "root"
        shutil.copytree(whole_root, root)
        hurt = chance.sample(files, chance.choice((1, 1, 1, 2, 3)))
        done = [damage_file(chance, root / path) for path in hurt]
        words = chance.choice(READING if chance.random() < 0.8 else WRITING)
        before = tree(root)
        case = said(*words, f"root={root}")
        assert case.sane, (number, done, case)
        after = tree(root)
        if words in READING:
            assert after == before, (number, done, case)
        lost = {path for path in before if path not in after and "/attempts/" not in path and "journal" not in path}
        assert not lost, (number, done, case)
        codes[case.code] += 1
        shutil.rmtree(root)
    assert codes[0] > codes.total() / 3, f"most damage leaves the rest readable: {codes}"


def test_a_tick_on_a_damaged_root_goes_on_or_says_why(tmp_path: Path, whole_root: Path) -> None:
    files = sorted(path.relative_to(whole_root) for path in whole_root.rglob("*") if path.is_file())
    told = 0
    for number in range(20 * SCALE):
        chance, root = random.Random(f"tick {number}"), tmp_path / "root"
        shutil.copytree(whole_root, root)
        done = [damage_file(chance, root / path) for path in chance.sample(files, chance.choice((1, 1, 2, 3)))]
        bench = Bench(root, parallel=3)
        try:
            views = [bench.reconciler(study).tick()[0] for study in (STUDY, SEEK)]
        except DifairError:
            told += 1
        else:
            assert [len(view.trials) for view in views] == [3, 2], done
        shutil.rmtree(root)
    assert told < 6 * SCALE, "most damage does not stop a study"


@pytest.mark.slow
def test_a_report_is_written_beside_damaged_files(tmp_path: Path, whole_root: Path) -> None:
    files = sorted(path.relative_to(whole_root) for path in whole_root.rglob("*") if path.is_file())
    for number in range(2 * SCALE):
        chance, root = random.Random(number), tmp_path / "root"
        shutil.copytree(whole_root, root)
        done = [damage_file(chance, root / path) for path in chance.sample(files, 5)]
        case = said("report", "mini", f"root={root}")
        assert case.sane, (number, done, case)
        shutil.rmtree(root)
