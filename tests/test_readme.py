"""The README's tree names every file of the package and of bench/, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tree_names_every_file() -> None:
    tree = (ROOT / "README.md").read_text().partition("## What is where")[2].partition("Below the output root")[0]
    room, named = "", set()
    for line in tree.splitlines():
        entry = re.match(r"\s+(.+?)(?:\s{2,}|$)", line)
        words = entry[1].split() if entry else []
        if words[:1] and re.fullmatch(
            r"(osr|data|train|runs|sweep|report|config|drill|cli|bench|difair_hpc)/", words[0]
        ):
            room = "" if words[0] == "difair_hpc/" else words[0]
        named |= {room * (not word.startswith(("errors", "files"))) + word for word in words if word[-3:] == ".py"}
    package = ROOT / "difair_hpc"
    paths = [path.relative_to(package) for path in package.rglob("*.py")]
    paths += [path.relative_to(ROOT) for path in (ROOT / "bench").rglob("*.py")]
    files = {str(path) for path in paths if not path.name.startswith("__")}
    assert named == files
