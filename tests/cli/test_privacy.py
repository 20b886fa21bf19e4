"""Doctor says who else gets into an output root, and what to do about it."""

import re
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.cli.privacy import privacy_check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "group/outputs"
    root.mkdir(parents=True)
    root.parent.chmod(0o700)
    return root


@pytest.mark.parametrize(
    ("mode", "mark", "said"),
    [
        (0o700, "ok", "nobody else can change it: mode 700"),
        (0o750, "ok", "nobody else can change it: mode 750"),
        (0o755, "warn", r"everybody here can read specs, logs and models in .*outputs \(mode 755\)"),
        (0o1777, "FAIL", r"everybody can change runs \(mode 1777\)"),
    ],
)
def test_a_root_by_its_mode(root: Path, mode: int, mark: str, said: str) -> None:
    root.chmod(mode)
    found = privacy_check(root)
    assert found.mark == mark
    assert re.search(said, found.found)
    assert (mark == "ok") == (not found.advice)


def test_a_root_that_its_group_shares(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difair_hpc.nofollow._is_own_group", lambda _: False)
    root.chmod(0o2770)
    found = privacy_check(root)
    assert found.mark == "ok"
    assert "can change runs, results and models (mode 2770), not what you execute" in found.found
    assert found.found.endswith("docs/security.md")


def test_a_folder_above_in_which_others_write(root: Path) -> None:
    root.chmod(0o700)
    root.parent.chmod(0o777)
    found = privacy_check(root)
    assert found.mark == "warn"
    assert f"others can write in {root.parent}" in found.found
    root.parent.chmod(0o1777)
    assert privacy_check(root).mark == "ok"


def test_doctor_has_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root.chmod(0o755)
    main(["doctor", f"root={root}"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "who gets in" in line]
    assert line.startswith("warn")
