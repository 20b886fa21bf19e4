"""The wheel is whole: every module, the shipped sweeps and cluster profiles, the typing marker, the command."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import difair_hpc
from tests import short

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def run(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Run this interpreter in `cwd`, with `path` as its only additional import path, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(path) if path else "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=folder)
    return folder


def files_under(folder: str) -> Iterator[str]:
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix()


def test_wheel_holds_the_package_and_what_it_ships(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    profiles = [path.relative_to(ROOT).as_posix() for path in (ROOT / "slurm").glob("*.yaml")]
    services = [*files_under("slurm/services"), "docs/services.md"]
    shipped = {f"difair_hpc/_shipped/{name}" for name in [*files_under("sweeps"), *profiles, *services]}
    assert {"difair_hpc/_shipped/sweeps", "difair_hpc/_shipped/slurm"} == {
        name.rpartition("/")[0] for name in shipped if name.count("/") == 3 and name.endswith(".yaml")
    }
    assert not (set(files_under("difair_hpc")) | shipped | {"difair_hpc/py.typed"}) - names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"difair_hpc", f"difair_hpc-{difair_hpc.__version__}.dist-info"}


def test_installed_wheel_imports_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = run("-c", "import difair_hpc; print(difair_hpc.__file__)", cwd=tmp_path, path=installed)
    assert Path(where) == installed / "difair_hpc" / "__init__.py"


def test_what_a_message_points_to_is_there(installed: Path, tmp_path: Path) -> None:
    code = "import sys; from difair_hpc.cli import main; sys.exit(0 if main(['ui', '--host', '0.0.0.0']) == 2 else 1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    named = [Path(word.rstrip(".,")) for word in done.stderr.split() if word.startswith(str(installed))]
    assert [path.name for path in named] == ["control.py", "services.md"]
    assert all(path.is_file() for path in named)
    assert "start" in run(str(named[0]), "--help", cwd=tmp_path, path=installed)


def test_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    code = "import sys; from difair_hpc.cli import main; sys.exit(main())"
    assert "sweep" in run("-c", code, "--help", cwd=tmp_path, path=installed)


@pytest.mark.heavy("packaging")
@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_what_is_built_works_in_a_new_environment(target: str, tmp_path: Path) -> None:
    """With the packages of the lock, outside of the checkout: a shipped study is trained to its report."""
    run("-m", "hatchling", "build", "--target", target, "--directory", str(tmp_path), cwd=ROOT)
    (built,) = tmp_path.glob("*.whl" if target == "wheel" else "*.tar.gz")
    run("-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    python = str(tmp_path / "venv/bin/python")
    for words in (["--require-hashes", "-r", str(ROOT / "requirements.lock")], ["--no-deps", str(built)]):
        run("-m", "uv", "pip", "install", "-q", "--python", python, *words, cwd=tmp_path)
    own = short.overrides(1, protocol__cycles=1)
    words = ["sweep", "digits", "-y", "cluster.threads=1", "tracking_uri=none", "stages.final.methods=[difair]", *own]
    done = subprocess.run(
        [str(tmp_path / "venv/bin/difair"), *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "outputs/studies/digits/report/report.html").is_file()


def test_what_is_installed_is_compiled() -> None:
    """Else each process would compile what it imports, for seconds, wherever it cannot or may not keep the bytecode."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    never_imported_here = Path(spec.origin).parent / "utils/model_dump/__init__.py"
    assert never_imported_here.exists()
    assert Path(importlib.util.cache_from_source(str(never_imported_here))).exists()
