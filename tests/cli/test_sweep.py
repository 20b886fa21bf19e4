"""`difair sweep` from end to end on real runs: to its report, through Ctrl-C, kill -9 and a second command."""

import os
import signal
from pathlib import Path

import pytest

from difair_hpc.cli import main
from tests import short
from tests.cli.made import Running, command, members, until
from tests.sweep.made import results

pytestmark = pytest.mark.slow

MINI = """
study: mini
stages:
  coarse:
    search: grid
    base: BASE
    space: {method.alpha: [6, 10]}
    choose: {tolerance: 1.0, prefer: [largest method.alpha], of: method.alpha}
  fine:
    search: grid
    base: BASE
    space: {method.alpha: {chosen_in: coarse}, method.radius_coefficient: [0.4]}
  final:
    search: final
    chosen_in: fine
    base: BASE
    benchmarks: [digits]
    methods: [cross_entropy, difair]
    splits: [0]
""".replace("BASE", short.base(2))
RUNS = 3
"""Two of the coarse stage, of which the others take one again, and cross entropy."""
WORDS = ("sweep", "mini", "root=o", "cluster.parallel=2", "cluster.threads=1")
LASTING = "cluster.pause_seconds=0.5"
"""Makes a run of eight steps last for four seconds."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/mini.yaml").write_text(MINI)
    return tmp_path


def begun(root: Path) -> list[Path]:
    return list((root / "runs").glob("*/attempts/*.beat.json"))


def test_a_study_runs_to_its_report_and_repeats_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = here / "o"
    with Running(*WORDS, LASTING, cwd=here) as sweep:
        until(lambda: begun(root), running=sweep)
        second = command(*WORDS, "tracking_uri=none", cwd=here)
        assert second.returncode == 2
        assert second.stderr.count("difair: ") == 1
        assert f"study mini is being worked on by process {sweep.pid} on " in second.stderr
        assert sweep.process.wait() == 0, sweep.text()
        until(lambda: not sweep.alive())
    text = sweep.text()
    assert "\x1b" not in text, "plain lines where nobody looks at a terminal"
    assert "Traceback" not in text
    assert "Chosen: method.alpha=10." in text
    for part in ("Table 1", "Table 2", f"{root}/studies/mini/report/report.html", f"{root}/runs", f"{root}/mlflow.db"):
        assert part in text
    assert (root / "studies/mini/report/report.md").is_file()
    before = results(root)
    assert len(before) == RUNS
    page = (root / "studies/mini/report/report.html").read_text()
    assert all(f'<tr id="run-{signature}">' in page for signature in before)
    assert f">{RUNS}</a></td>" in page.partition("in all")[2], "what the runs took is known"
    again = command(*WORDS, "tracking_uri=none", "cluster.report=false", cwd=here)
    assert (again.returncode, again.stderr) == (0, "")
    assert results(root) == before
    monkeypatch.chdir(here)
    assert main(["status", "root=o"]) == 0
    assert f"{RUNS} done; " in capsys.readouterr().out


def test_a_study_survives_ctrl_c_and_kill_9(here: Path) -> None:
    root = here / "o"
    words = (*WORDS, LASTING, "tracking_uri=none", "cluster.report=false")
    with Running(*words, cwd=here) as first:
        until(lambda: begun(root), running=first)
        os.killpg(first.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        assert first.process.wait() == 130, first.text()
        said = first.text()
        assert said.index("SIGINT: runs save and leave") < said.index("the same command continues")
        assert "Ctrl-C again leaves them to themselves" in said
        assert members(first.pid) == [], "no process is left behind"
    with Running(*words, cwd=here) as second:
        until(lambda: len(begun(root)) > 2 and len(members(second.pid)) > 2, running=second)
        second.process.kill()
        second.process.wait()
        with Running(*words, cwd=here) as third:
            assert third.process.wait() == 0, third.text()
        until(lambda: not second.alive())
    assert "all stages are complete; difair report mini writes the report" in third.text()
    assert not (root / "studies/mini/report").exists()
    assert len(results(root)) == RUNS
    assert len(list((root / "runs").iterdir())) == RUNS
