"""The frozen copy of the code: whole, once for equal content, and out of reach of later edits."""

import os
import subprocess
import sys
from pathlib import Path

from difair_hpc import config
from difair_hpc.config.places import folders
from difair_hpc.runs.code import freeze, git_commit


def test_equal_content_is_copied_once_and_an_edit_makes_another_copy(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "x.yaml").write_text("a: 1\n")
    first = freeze(tmp_path / "root", {"own/sweeps": own})
    assert freeze(tmp_path / "root", {"own/sweeps": own}) == first
    (own / "x.yaml").write_text("a: 2\n")
    second = freeze(tmp_path / "root", {"own/sweeps": own})
    assert second != first
    assert (first / "own/sweeps/x.yaml").read_text() == "a: 1\n"
    assert sorted(path.name for path in (tmp_path / "root/code").iterdir()) == sorted([first.name, second.name])
    assert (first / "COMMIT").read_text().strip() == git_commit()


def test_the_copy_has_whatever_is_not_python_too(tmp_path: Path) -> None:
    package = Path(config.__file__).parents[1]
    copy = freeze(tmp_path, {})
    copied = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert copied == {Path("COMMIT")} | {path.relative_to(package.parent) for path in files}
    assert any(path.suffix == ".j2" for path in copied)


def test_a_process_with_the_copy_on_its_path_runs_the_copy_and_finds_its_files(tmp_path: Path) -> None:
    copy = freeze(tmp_path, folders())
    code = (
        "import difair_hpc.config as c, difair_hpc.runs.code as r;"
        "print(c.__file__, r.git_commit(), c.profile('mixed').constraint, c.run({'benchmark': 'mnist'}).signature)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy / "own",
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, commit, constraint, signature = done.stdout.split()
    assert where == str(copy / "difair_hpc/config/__init__.py")
    assert commit == git_commit()
    assert constraint == "v100|rtx6000"
    assert signature == config.run({"benchmark": "mnist"}).signature
