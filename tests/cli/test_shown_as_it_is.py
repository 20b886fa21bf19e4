"""What comes from outside is printed as it is: errors, names and folders hold brackets, colons and bytes."""

import ast
import errno
import io
import os
from pathlib import Path

import pytest
from rich.table import Table

import difair_hpc
from difair_hpc.cli import main
from difair_hpc.cli.progress import StudyProgress
from difair_hpc.cli.screen import Lasting, console
from difair_hpc.config import build_run
from difair_hpc.runs.folder import run_folder
from tests.cli.made import set_up_site
from tests.cli.test_sweep_ends import FINAL
from tests.sweep.made import fail, finish

ODD = (
    "none of [/data/a, /data/b]",
    "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory",
    "[/]",
    "[red]stop[/red] [link=http://x]y[/link]",
    "unclosed [bold and :warning: a smile :smile:",
    "a backslash \\[x] and \ufffd",
)


@pytest.mark.parametrize("text", ODD)
def test_the_one_console_shows_text_and_tables_as_they_are(capsys: pytest.CaptureFixture[str], text: str) -> None:
    screen = console()
    screen.print(text)
    table = Table(title=text, title_justify="left")
    table.add_column(text)
    table.add_row(text)
    screen.print(table)
    assert capsys.readouterr().out.count(text) == 4


@pytest.mark.parametrize("text", ODD)
def test_a_study_survives_what_a_run_failed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    set_up_site(tmp_path, monkeypatch, FINAL)
    root = tmp_path / "out[/x] :smile:"
    monkeypatch.setenv("DIFAIR_ROOT", str(root))
    base = {"benchmark": "digits", "protocol": "short", "protocol.epochs": 2}
    done, lost = (build_run(base, {"method": method}) for method in ("cross_entropy", "cac"))
    for spec in (done, lost):
        run_folder(root, spec.signature).create(spec)
    finish(root, done.signature)
    for _ in range(3):
        fail(root, lost.signature, f"ValueError: {text}")
    words = [["sweep", "one", "tracking_uri=none", "cluster.report=false"], ["status"], ["why", lost.signature]]
    for verb in (*words, ["logs", lost.signature]):
        main(verb)
        out, err = capsys.readouterr()
        assert err == ""
        if verb[0] != "logs":
            assert text in out, verb


def test_a_warning_and_an_outage_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with StudyProgress(console(), ["coarse"]) as progress:
        for text in ODD:
            progress.warn(text)
            progress.outage(text)
            progress.outage("")
    out = capsys.readouterr().out
    assert all(out.count(f"warning: {text}") == 2 for text in ODD)


def test_nothing_else_makes_a_console_or_reads_markup() -> None:
    found = []
    for path in sorted(Path(difair_hpc.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
                "Console",
                "_Screen",
                "from_markup",
            ):
                found.append(path.name)
            if isinstance(node, ast.keyword) and node.arg == "markup" and ast.unparse(node.value) == "True":
                found.append(path.name)
    assert set(found) == {"screen.py"}


class Closed(io.StringIO):
    """A stream that cannot be written any more; its number is that of a file of the test."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__()
        self.file = path.open("w")
        self.errno = number

    def fileno(self) -> int:
        return self.file.fileno()

    def write(self, _: str) -> int:
        raise OSError(self.errno, os.strerror(self.errno))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_study_goes_on_when_nobody_can_read_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    stream = Closed(tmp_path / "out", number)
    monkeypatch.setattr("sys.stdout", stream)
    console(lasting=True).print("one")
    with stream.file:
        stream.file.write("what was held back")
    assert (tmp_path / "out").read_text() == "", "it goes nowhere"
    assert "standard output cannot be written any more" in capsys.readouterr().err


def test_a_stream_that_can_be_written_is_itself(capsys: pytest.CaptureFixture[str]) -> None:
    console(lasting=True).print("one")
    assert capsys.readouterr().out == "one\n"
    stream = io.StringIO()
    assert not Lasting(stream).isatty()
