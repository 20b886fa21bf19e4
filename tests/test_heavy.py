"""The parts of the heavy set are those that tests belong to: none is listed without tests, none is left unlisted."""

import re
from pathlib import Path

from tests.heavy import PARTS


def test_each_part_has_tests_and_each_of_them_a_part() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.rglob("test_*.py")]
    marked = {part for text in sources for part in re.findall(r"mark\.heavy\(\"(\w+)\"\)", text)}
    chosen = {word.removeprefix("--heavy=") for part in PARTS.values() for word in part.arguments if "--heavy=" in word}
    assert marked == chosen
    folders = [word for part in PARTS.values() for word in part.arguments if word.startswith("tests/")]
    assert all(Path(__file__).parents[1].joinpath(word).exists() for word in folders)
    whole = {"tests/fuzz", "tests/security"}
    assert all(len({f"--heavy={name}", *whole} & {*part.arguments}) == 1 for name, part in PARTS.items())
