"""The frozen copy of the code: whole, once for equal content, and out of reach of later edits."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.config.places import folders
from difair_hpc.errors import UserError
from difair_hpc.folders import keep_private
from difair_hpc.launch import python
from difair_hpc.runs import code
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


def test_a_file_of_the_users_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/other.yaml").write_text("")
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "other.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match=r"sweeps/other\.yaml cannot be read \(Permission denied\)"):
        freeze(tmp_path, {"own/sweeps": tmp_path / "sweeps"})


def test_the_copy_has_whatever_is_not_python_too(tmp_path: Path) -> None:
    package = Path(config.__file__).parents[1]
    copy = freeze(tmp_path, {})
    copied = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert copied == {Path("COMMIT")} | {path.relative_to(package.parent) for path in files}
    assert any(path.suffix == ".j2" for path in copied)


def test_what_is_started_from_the_copy_runs_the_copy_and_finds_its_files(tmp_path: Path) -> None:
    copy = freeze(tmp_path, folders())
    (tmp_path / "said.py").write_text(
        "import difair_hpc.config as c, difair_hpc.runs.code as r;"
        "print(c.__file__, r.git_commit(), c.profile('mixed').constraint, c.run({'benchmark': 'mnist'}).signature)"
    )
    done = subprocess.run(
        [*python(code=copy), "-m", "said"],
        cwd=copy / "own",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, commit, constraint, signature = done.stdout.split()
    assert where == str(copy / "difair_hpc/config/__init__.py")
    assert commit == git_commit()
    assert constraint == "v100|rtx6000"
    assert signature == config.run({"benchmark": "mnist"}).signature


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file to somebody else")


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """Return an output root that a team shares, as its members' commands see it."""
    root = tmp_path / "team"
    root.mkdir()
    root.chmod(0o2770)
    keep_private(root)
    return root


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def test_nobody_else_may_write_what_jobs_execute_however_many_share_the_root(team: Path) -> None:
    copy = freeze(team, folders())
    assert (team / "code").stat().st_mode & stat.S_IWGRP, "the folder of all copies is everybody's"
    assert not [path for path in everything(copy) if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    assert all((path / "__pycache__").is_dir() for path in everything(copy / "difair_hpc") if list(path.glob("*.py")))
    assert freeze(team, folders()) == copy


@pytest.mark.parametrize(
    "what", [pytest.param("made by a colleague", marks=as_root), "writable by all", "changed", "added to", "purged"]
)
def test_a_copy_that_is_not_surely_this_users_and_whole_is_not_used(team: Path, what: str) -> None:
    copy = freeze(team, {})
    file = copy / "difair_hpc/errors.py"
    if what == "made by a colleague":
        for path in everything(copy):
            os.chown(path, os.geteuid() + 1, -1)
    elif what == "writable by all":
        (copy / "difair_hpc/__pycache__").chmod(0o775)
    elif what == "changed":
        file.write_text(file.read_text() + "import os\n")
    elif what == "added to":
        (copy / "difair_hpc/queue.py").write_text("import os\n")
    else:
        file.unlink()
    second = freeze(team, {})
    assert second != copy
    assert second.name.startswith(f"{copy.name}-")
    assert freeze(team, {}) == second, "made once"


def test_on_a_file_system_without_owners_the_content_is_what_counts(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "is_own", lambda _: False)
    copy = freeze(team, {})
    assert freeze(team, {}) == copy
    assert [path.name for path in (team / "code").iterdir()] == [copy.name]
