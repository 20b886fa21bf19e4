"""Words from files, which anybody may have written: as names, and on a terminal."""

import pytest

from difair_hpc.cli.screen import complain, console
from difair_hpc.words import is_name, one_line, visible

CONTROLS = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202e", "\x00", "\r", "\x7f", "\u200b", "\ufeff", "\U000e0041"]


@pytest.mark.parametrize("sign", CONTROLS)
def test_control_characters_are_written_out(capsys: pytest.CaptureFixture[str], sign: str) -> None:
    text = f"before{sign}after"
    assert visible(text).isascii()
    assert visible(text).isprintable()
    screen = console()
    screen.print(text)
    screen.out(text)
    complain(text)
    said = capsys.readouterr()
    assert said.out == f"{visible(text)}\n" * 2
    assert said.err == f"warning: {visible(text)}\n"
    assert not is_name(text)


@pytest.mark.parametrize("text", ["alpha=6 radius=2", "Universität 東京 👍", "a\n\tb", "[red]x[/red]", "nb\xa0sp"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_value_in_a_table_stays_in_its_line() -> None:
    assert one_line("n1\n2 done\tx") == r"n1\n2 done\tx"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "-rf", ".hidden", "a\nb"])
def test_what_is_no_name_of_a_file(name: str) -> None:
    assert not is_name(name)
    assert is_name("1f_ü x.y+z-2")
