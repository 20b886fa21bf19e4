"""Files of a root are reached by `files`, `folders` and `nofollow` alone: whoever opens by a path follows links."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import difair_hpc

PACKAGE = Path(difair_hpc.__file__).parent
ROOMS = ("runs", "sweep", "report", "train", "cli")
METHODS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir", "rmdir", "rename", "glob",
    "rglob", "iterdir", "touch", "symlink_to", "hardlink_to", "chmod", "rmtree", "copytree", "copyfile", "scandir",
    "listdir",
}  # fmt: skip
"""What changes, lists or opens what stands at a path, as a method of a path or a function of os and shutil."""
ELSEWHERE = {
    "cli/last_door.py": "the standard streams",
    "cli/doctor.py": "/proc and addresses of servers",
    "cli/resume.py": "sweep files and profiles, whose owner it looks at",
    "runs/artifacts.py": "a temporary folder of this process",
    "runs/code.py": "the installed package, and folders of YAML files that the user typed his command in",
    "runs/facts.py": "/proc",
    "runs/fence.py": "by descriptors; and a copy in a temporary folder",
    "runs/fenced.py": "a temporary folder of MLflow's server",
    "runs/model.py": "a temporary folder of this process",
    "runs/probe.py": "a new folder, whose name nobody knows, on the file system that is tried",
    "runs/process.py": "/proc",
    "sweep/queue.py": "the configuration of SLURM, and the user's cache folder",
}
"""Files that open something else than an output root, and what."""


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call that goes by a path."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        by_descriptor = any(keyword.arg == "dir_fd" for keyword in node.keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and not by_descriptor:
            yield node.lineno, ast.unparse(node.func)
        if isinstance(node.func, ast.Name) and node.func.id == "open":
            yield node.lineno, "open"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_opens_nothing_of_a_root_by_its_path(room: str) -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in sorted((PACKAGE / room).glob("*.py"))
        if (lines := [f"{line}: {name}" for line, name in uses(path.read_text("utf-8"))])
    }
    strangers = {name: lines for name, lines in found.items() if not ELSEWHERE.get(name)}
    assert not strangers, f"read and write files of a root by difair_hpc.files and .folders: {strangers}"


def test_every_exception_is_one() -> None:
    there = {name for name in ELSEWHERE if [*uses((PACKAGE / name).read_text("utf-8"))]}
    assert there == {*ELSEWHERE}
