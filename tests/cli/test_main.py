"""The front door: help, mistakes with one message each, exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc import __version__
from difair_hpc.cli import VERBS, main
from difair_hpc.runs.attempts import Attempt
from tests.cli.made import TINY_WORDS, command, created, environment, files

Said = Callable[[], tuple[str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, where ./outputs and ./data would be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exits(*words: str) -> int:
    """Return the exit code, also where argparse leaves."""
    try:
        return main(list(words))
    except SystemExit as leaving:
        return int(leaving.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """Return the one message with which a command is refused."""
    assert exits(*words) == code
    err = capsys.readouterr().err
    assert err.count("difair: ") == 1
    assert err.startswith("difair: ")
    assert "Traceback" not in err
    return err


def test_no_words_show_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits() == 0
    out = capsys.readouterr().out
    for verb, summary in VERBS.items():
        assert f"  {verb} " in out
        assert summary.split(":")[0] in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert exits(verb, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: difair {verb}")
    assert "--debug" in out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("--help") == 0
    assert "key=value" in capsys.readouterr().out
    assert exits("--version") == 0
    assert capsys.readouterr().out == f"difair-hpc {__version__}\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["tran"], "tran"),
        (["root=x"], "root=x"),
        (["train", "--fast"], "unknown option --fast"),
        (["status", "-f", "xml"], "xml"),
        (["ui", "--port", "many"], "many"),
    ],
)
def test_words_that_are_no_command(capsys: pytest.CaptureFixture[str], words: list[str], part: str) -> None:
    assert exits(*words) == 2
    err = capsys.readouterr().err
    assert part in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "methd=cac"], ["unknown key methd", "Did you mean method?"]),
        (["train", "method.alfa=3"], ["unknown key method.alfa", "Did you mean method.alpha?"]),
        (["train", "method.alpha"], ["Expected key=value, got 'method.alpha'"]),
        (["train", "method.alpha=[1"], ["Expected key=value, got 'method.alpha=[1'"]),
        (["train", "method.alpha=1,2"], ["one value"]),
        (["train", "~seed"], ["one value"]),
        (["train", "benchmark=cifar11"], ["benchmark=cifar11", "cifar10"]),
        (["train", "benchmark.name=cifar11", "tracking_uri=none"], ["cifar11", "cifar10"]),
        (["train", "method=foo"], ["method=foo", "difair_std"]),
        (["train", "protocol=foo"], ["protocol=foo", "short"]),
        (["train", "method.radius_coefficient=0.6"], ["method.radius_coefficient=0.6", "method.allow_overlap=true"]),
        (["train", "method.features_per_class=0"], ["method.features_per_class=0"]),
        (["train", "benchmark.image_size=12"], ["a multiple of 8"]),
        (["train", "split=7"], ["split=7", "0 to 4"]),
        (["train", "cluster.parallel=2"], ["unknown key cluster.parallel"]),
        (["train", "execution.threads=0", *TINY_WORDS], ["execution.threads=0"]),
        (["train", "execution.device=tpu9", "tracking_uri=none", *TINY_WORDS], ["tpu9"]),
        (["sweep", "papr"], ["sweep=papr", "paper"]),
        (["sweep", "digits", "cluster=v200"], ["cluster=v200", "local"]),
        (["sweep", "digits", "cluster.paralel=2"], ["unknown key cluster.paralel", "cluster.parallel"]),
        (["sweep", "digits", "stages.corse.trials=2"], ["stages.corse.trials"]),
        (["sweep", "digits", "method.alfa=2"], ["method.alfa"]),
        (["status", "nothing"], ["study=nothing", "holds no study"]),
        (["status", "rot=x"], ["unknown key rot", "root"]),
        (["report"], ["say which study", "difair sweep digits"]),
        (["report", "nothing"], ["study=nothing"]),
        (["data", "fetch", "mnist"], ["difair data get NAME", "mnist"]),
        (["data", "get", "imagenet"], ["imagenet", "mnist"]),
        (["sync", "storage=sqlite:///optuna.db"], ["storage=sqlite:///optuna.db", "postgresql://HOST:PORT/DATABASE"]),
        (["ui", "--port", "70000"], ["--port=70000", "1 to 65535"]),
        (["ui"], ["no MLflow store", "difair train"]),
        (["ui", "tracking_uri=http://there"], ["http://there", "browser"]),
        (["ui", "tracking_uri=http://me:hunter2@there"], ["http://***@there", "MLFLOW_TRACKING_USERNAME"]),
        (["ui", "--host", "0.0.0.0"], ["--host=0.0.0.0", "127.0.0.1, localhost, ::1", "slurm/services/control.py"]),
        (["ui", "--host", "node-7", "tracking_uri=sqlite:///m.db"], ["--host=node-7", "docs/services.md"]),
    ],
)
def test_a_mistake_gives_one_message_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], parts: list[str]
) -> None:
    err = refused(capsys, *words)
    for part in parts:
        assert part in err


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits("train", "method=foo", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_missing_images_name_place_and_command(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    err = refused(capsys, "train", "benchmark=mnist", "data_root=d", "root=o", "tracking_uri=none")
    assert "difair data get mnist" in err
    assert str(here / "d") in err
    err = refused(capsys, "sweep", "paper", "data_root=d", "root=o")
    for name in ("mnist", "svhn", "cifar10", "cifar100", "tinyimagenet"):
        assert f"difair data get {name}" in err
    assert not list(here.glob("o/studies/*/study.json")), "nothing was started"


@pytest.mark.parametrize("verb", [["train"], ["sweep", "digits"]])
def test_a_root_that_cannot_be_written(capsys: pytest.CaptureFixture[str], here: Path, verb: list[str]) -> None:
    (here / "file").write_text("in the way")
    err = refused(capsys, *verb, "root=file/outputs")
    assert f"root={here}/file/outputs" in err
    assert "choose another folder with root=FOLDER" in err
    assert "/proc/nowhere" in refused(capsys, *verb, "root=/proc/nowhere")


def test_a_full_disk_is_a_failure_not_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("difair_hpc.files.os.fsync", full)
    assert "no space is left" in refused(capsys, "train", *TINY_WORDS, "root=o", code=1)


@pytest.mark.parametrize("name", ["spec.json", "result.json"])
def test_a_folder_of_a_newer_version_is_refused_and_left_alone(
    capsys: pytest.CaptureFixture[str], here: Path, name: str
) -> None:
    folder = created(here / "o")
    content = json.loads((folder.path / "spec.json").read_text()) | {"schema": 99}
    (folder.path / name).write_text(json.dumps(content))
    before = files(folder.path)
    err = refused(capsys, "train", *TINY_WORDS, "root=o", "tracking_uri=none")
    assert "schema 99" in err
    assert "update difair-hpc" in err
    assert exits("status", "root=o") == 0
    (left_out,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train: left out: ")]
    assert "schema 99" in left_out
    assert exits("status", "root=o", "-f", "json") == 0
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ([], f"{left_out}\n")
    assert files(folder.path) == before


def test_a_mistake_of_ours_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr("difair_hpc.cli.status.run", broken)
    assert "internal error: ZeroDivisionError: made up" in refused(capsys, "status", code=1)
    with pytest.raises(ZeroDivisionError):
        exits("status", "--debug")


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(here: Path) -> None:
    import os

    folder = created(here / "o")
    with Attempt(folder.path, {}):
        done = command("train", *TINY_WORDS, "root=o", "tracking_uri=none", "execution.threads=1", cwd=here)
    assert done.returncode == 2
    assert done.stderr.count("difair: ") == 1
    assert f"is being worked on by process {os.getpid()} on " in done.stderr
    assert "Traceback" not in done.stderr
    assert folder.result() is None


def test_a_dry_run_of_a_single_run_writes_nothing(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert exits("train", "-n", *TINY_WORDS, "seed=3", "root=o") == 0
    out = capsys.readouterr().out
    assert f"signature: {created(here / 'elsewhere', seed=3).signature}" in out
    assert "epochs: 2" in out
    assert not (here / "o").exists()


def test_options_may_stand_anywhere(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert exits("train", *TINY_WORDS, "-n", "seed=3", "root=o") == 0
    assert "seed: 3" in capsys.readouterr().out
    assert not (here / "o").exists()


def shell(cwd: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `difair` from its start in an environment of its own."""
    start = [sys.executable, "-m", "difair_hpc", *words]
    return subprocess.run(start, cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", ['__version__ = "1.0"', "raise ImportError('cannot import name multiarray')"])
def test_a_foreign_numpy_is_named_with_the_variable_that_brings_it(here: Path, code: str) -> None:
    foreign = here / "module/numpy/__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text(code)
    ended = shell(here, "doctor", PYTHONPATH=str(here / "module"))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"difair: PYTHONPATH={here}/module brings {foreign} in place of the package")
    assert "internal error" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_package_that_cannot_be_imported_at_the_start_is_named_as_well(here: Path) -> None:
    foreign = here / "module/yaml.py"
    foreign.parent.mkdir()
    foreign.write_text("raise ImportError('too old')")
    ended = shell(here, "train", "-n", PYTHONPATH=str(here / "module"))
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert f"brings {foreign} in place of" in ended.stderr


def test_a_limit_of_the_shell_is_named(here: Path) -> None:
    limit = f"ulimit -v 2000000; exec {sys.executable} -m difair_hpc doctor"
    ended = subprocess.run(
        ["sh", "-c", limit], cwd=here, env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "ulimit -v allows 1.91 GB of addresses here" in ended.stderr
    assert "internal error" not in ended.stderr
