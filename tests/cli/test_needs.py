"""A dry run refuses what the command refuses, by the same words, after it has shown the plan; and it writes nothing."""

from pathlib import Path

import pytest

from difair_hpc.cli import main
from tests import short
from tests.cli.made import files

NOWHERE = "postgresql://difair@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a sweep, and with a benchmark that nobody has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name, text in {
        "sweeps/one.yaml": short.search(1),
        "sweeps/two.yaml": short.search(1).replace('"benchmark": "digits"', '"benchmark": "foo"'),
        "sweeps/real.yaml": "stages: {a: {search: grid, base: {method: cac}, space: {benchmark: [digits, mnist]}}}",
        "sweeps/big.yaml": "stages: {a: {search: final, benchmarks: [cifar10], methods: [cac]}}",
        "sweeps/benchmark/foo.yaml": "name: foo\n",
        "slurm/odd.yaml": "device: gpu\n",
        "file": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


REFUSED = [
    (["two"], "sweeps/benchmark/foo.yaml: benchmark.name=foo is not possible"),
    (["one", "tracking_uri=htp://foo"], "tracking_uri=htp://foo is not possible"),
    (["one", "storage=foo://"], "storage=foo:// is not possible"),
    (["one", f"storage={NOWHERE}"], f"Optuna's storage {NOWHERE} cannot be used"),
    (["real"], "mnist: expected in"),
    (["big", "data_root=d"], "cifar10: expected in"),
    (["one", "root=file"], "root=HERE/file cannot be written"),
    (["one", "root=file/x"], "root=HERE/file/x cannot be made in HERE/file"),
    (["one", "cluster.device=gpu"], "cluster.device=gpu is not possible"),
    (["one", "cluster=odd"], "slurm/odd.yaml: cluster.device=gpu is not possible"),
    (["one", "--detach"], "a profile of SLURM jobs with --detach or --tick"),
    (["one", "cluster=v100"], "sbatch is not on this machine"),
    (["one", "cluster=v100", "root=a\\b"], "SLURM cannot name the logs of jobs there"),
    (["one", "root=\udcff"], "\\udcff' is not valid UTF-8"),
    (["one", "study=../q x"], "study='../q x' is not possible"),
]


@pytest.mark.parametrize(("words", "part"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_is_missing_is_said_by_a_dry_run_as_by_the_command(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    before = files(here)
    code = main(["sweep", *words, "-n"])
    dry = capsys.readouterr()
    assert part.replace("HERE", str(here)) in dry.err
    assert files(here) == before
    assert {path.name for path in here.iterdir()} == {"sweeps", "slurm", "file"}, "no folder is made either"
    assert main(["sweep", *words, "-y"]) == code in (1, 2)
    assert capsys.readouterr().err.partition("\n")[0] in dry.err
    assert {path.name for path in here.iterdir()} == {"sweeps", "slurm", "file"}, "nor when it is refused"


def test_the_plan_comes_before_all_that_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "big", "cluster=v100", "-n", "root=file"]) == 2
    said = capsys.readouterr()
    assert f"study big in {here}/file/studies/big" in said.out
    assert "stage a (final): 4 runs of 600 epochs" in said.out
    assert [line.partition(" ")[0] for line in said.err.splitlines()].count("difair:") == 3


def test_a_root_that_is_a_file_is_named_by_sync_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "root=file"]) == 2
    assert f"root={here}/file cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["benchmark=mnist"], "mnist: expected in"),
        (["root=file"], "file cannot be written"),
        (["execution.device=gpu"], "execution.device=gpu"),
    ],
)
def test_a_dry_run_of_a_single_run_says_it_too(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    assert main(["train", *words, "-n"]) == main(["train", *words, "tracking_uri=none"]) == 2
    assert capsys.readouterr().err.count(part) == 2
    assert {path.name for path in here.iterdir()} == {"sweeps", "slurm", "file"}
