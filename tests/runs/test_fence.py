"""Files below one folder alone, whatever others put into it meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from difair_hpc.runs.fence import Fence, Outside, below


@pytest.fixture
def fence(tmp_path: Path) -> Fence:
    (tmp_path / "o/mlartifacts/study/run").mkdir(parents=True)
    (tmp_path / "o/mlartifacts/study/run/spec.json").write_text("{}")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/secret").write_text("secret")
    return Fence(tmp_path / "o/mlartifacts")


def read(fence: Fence, *names: str) -> str:
    copy = fence.folder.parents[1] / "copy"
    fence.copy_out(names, copy)
    return copy.read_text()


def test_files_are_listed_read_written_and_removed(fence: Fence, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    fence.copy_in(tmp_path / "new", ("study", "run", "figures", "new.txt"))
    found = {entry.name: entry.size for entry in fence.entries(("study", "run"))}
    assert found == {"figures": None, "spec.json": 2}
    assert read(fence, "study", "run", "figures", "new.txt") == "new"
    fence.copy_in(tmp_path / "new", ("study", "run", "spec.json"))
    assert read(fence, "study", "run", "spec.json") == "new"
    assert fence.entries(("study", "run", "spec.json")) == fence.entries(("nothing",)) == []
    fence.remove(("study", "run", "figures"))
    fence.remove(("study", "run", "figures"))
    fence.remove(("study", "run", "spec.json"))
    assert fence.entries(("study", "run")) == []


def test_a_folder_that_is_not_there_yet_is_made_at_the_first_file(tmp_path: Path) -> None:
    fence = Fence(tmp_path / "mlartifacts")
    assert fence.entries(()) == []
    (tmp_path / "new").write_text("new")
    fence.copy_in(tmp_path / "new", ("0", "new"))
    assert (tmp_path / "mlartifacts/0/new").read_text() == "new"


@pytest.mark.parametrize("address", ["file://{folder}/study/run", "{folder}/study/run", "file://{other}/study/run"])
def test_a_place_is_found_by_each_of_its_names(fence: Fence, tmp_path: Path, address: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "o")  # as of a home that is mounted elsewhere
    named = address.format(folder=fence.folder, other=tmp_path / "link/mlartifacts")
    assert fence.names(named) == ("study", "run")


@pytest.mark.parametrize(
    "address",
    [
        "file://{base}/home",
        "{base}/home",
        "file://{base}/o/mlartifacts/../../home",
        "file://{base}/o/mlartifacts/%2e%2e/%2e%2e/home",
        "file://{base}/o/mlartifacts2/study",
        "file://{base}/o",
        "file://elsewhere{base}/o/mlartifacts/study",
        "file:relative",
        "mlartifacts",
        "s3://bucket/o/mlartifacts",
        "http://127.0.0.1/o/mlartifacts",
        "mlflow-artifacts:/1",
        "file:///",
        "",
    ],
)
def test_a_place_elsewhere_is_refused(fence: Fence, tmp_path: Path, address: str) -> None:
    (tmp_path / "o/mlartifacts2/study").mkdir(parents=True)
    with pytest.raises(Outside):
        fence.names(address.format(base=tmp_path))
    assert not below([fence, fence], address.format(base=tmp_path))


@pytest.mark.parametrize("place", ["mlartifacts", "mlartifacts/study", "mlartifacts/study/run"])
def test_no_link_is_followed_in_any_step(fence: Fence, tmp_path: Path, place: str) -> None:
    (tmp_path / "new").write_text("new")
    target = tmp_path / "home"
    (target / "study/run").mkdir(parents=True)
    for name in ("secret", "study/secret", "study/run/secret"):
        (target / name).write_text("secret")
    (tmp_path / "o" / place).rename(tmp_path / "away")
    (tmp_path / "o" / place).symlink_to({"mlartifacts": target}.get(place, target / place.partition("/")[2]))
    before = sorted(target.rglob("*"))
    way = ("study", "run")
    acts: list[Callable[[], object]] = [
        lambda: fence.entries(way),
        lambda: read(fence, *way, "secret"),
        lambda: fence.copy_in(tmp_path / "new", (*way, "new")),
        lambda: fence.remove((*way, "secret")),
    ]
    for act in acts:
        with pytest.raises(Outside, match="symbolic link"):
            act()
    assert sorted(target.rglob("*")) == before


def test_a_link_to_a_file_is_neither_shown_nor_read_and_replaced_not_followed(fence: Fence, tmp_path: Path) -> None:
    link = fence.folder / "study/run/link"
    link.symlink_to(tmp_path / "home/secret")
    assert [entry.name for entry in fence.entries(("study", "run"))] == ["spec.json"]
    with pytest.raises(Outside, match="link is a symbolic link"):
        read(fence, "study", "run", "link")
    (tmp_path / "new").write_text("new")
    fence.copy_in(tmp_path / "new", ("study", "run", "link"))
    assert not link.is_symlink()
    assert (tmp_path / "home/secret").read_text() == "secret"


def test_removing_takes_a_link_and_leaves_what_it_names(fence: Fence, tmp_path: Path) -> None:
    (fence.folder / "study/run/link").symlink_to(tmp_path / "home")
    (fence.folder / "study/other").symlink_to(tmp_path / "home")
    fence.remove(("study", "other"))
    fence.remove(("study", "run"))
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret"]
    assert [path.name for path in (fence.folder / "study").iterdir()] == []


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(fence: Fence) -> None:
    os.mkfifo(fence.folder / "study/run/pipe")
    assert [entry.name for entry in fence.entries(("study", "run"))] == ["spec.json"]
    with pytest.raises(Outside, match="pipe is a pipe"):
        read(fence, "study", "run", "pipe")
    with pytest.raises(Outside, match="run is a folder"):
        read(fence, "study", "run")


@pytest.mark.parametrize("names", [(), ("..", "x"), ("a/b",), ("",), (".",), ("a\0",)])
def test_odd_names_are_refused(fence: Fence, tmp_path: Path, names: tuple[str, ...]) -> None:
    for act in (lambda: read(fence, *names), lambda: fence.copy_in(tmp_path, names), lambda: fence.remove(names)):
        with pytest.raises(Outside):
            act()


def test_a_file_that_cannot_be_written_whole_leaves_nothing(fence: Fence, tmp_path: Path) -> None:
    (fence.folder / "study/run/folder").mkdir()
    (tmp_path / "new").write_text("new")
    with pytest.raises(IsADirectoryError):
        fence.copy_in(tmp_path / "new", ("study", "run", "folder"))
    assert {path.name for path in (fence.folder / "study/run").iterdir()} == {"folder", "spec.json"}
