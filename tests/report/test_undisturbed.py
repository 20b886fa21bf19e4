"""No display setting of another program reaches our figures: each is drawn to the byte as in a plain environment."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

DRAW = """
import sys
from pathlib import Path
from difair_hpc.report.canvas import new_figure, save

figure = new_figure(2, 1)
figure.suptitle("a figure of $x_1$")
figure.add_subplot().plot([1, 3, 2])
save(figure, Path(sys.argv[1]) / "drawn")
"""

UNUSUAL = "text.usetex: True\nfont.family: Comic Sans MS\nlines.linewidth: 9\nbackend: module://nobody.has.this\n"


def drawn(folder: Path, target: Path, **setting: str) -> tuple[Mapping[str, bytes], str]:
    """Draw in a process of its own, in a folder; return the files and what was said."""
    target.mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", DRAW, str(target)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | setting,
        capture_output=True,
        text=True,
        check=False,
    )
    return {path.name: path.read_bytes() for path in target.iterdir()}, answer.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Return what is drawn without any setting."""
    folder = tmp_path_factory.mktemp("plain")
    files, said = drawn(folder, folder / "figures")
    assert (sorted(files), said) == (["drawn.pdf", "drawn.png", "drawn.svg"], "")
    return files


@pytest.mark.parametrize(
    "setting",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MPLBACKEND": "QtAgg", "DISPLAY": ":99"},
        {"MATPLOTLIBRC": "{folder}/elsewhere/matplotlibrc"},
        {"HOME": "{folder}/elsewhere", "XDG_CONFIG_HOME": ""},
        {"MPLCONFIGDIR": "{folder}/elsewhere"},
        {"MPLCONFIGDIR": "/proc/nobody"},
        {"MPLCONFIGDIR": "{folder}/file"},
    ],
    ids=str,
)
def test_what_other_programs_set_changes_no_figure(
    tmp_path: Path, plain: Mapping[str, bytes], setting: Mapping[str, str]
) -> None:
    for place in ("elsewhere", "elsewhere/.config/matplotlib"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "matplotlibrc").write_text(UNUSUAL)
    (tmp_path / "file").write_text("no folder")
    asked = {name: value.format(folder=tmp_path) for name, value in setting.items()}
    assert drawn(tmp_path, tmp_path / "figures", **asked) == (plain, "")


@pytest.mark.parametrize("content", [UNUSUAL.encode(), b"font.family: \xff\xfe\x00", b"no setting at all"])
def test_a_style_in_the_working_folder_changes_no_figure(
    tmp_path: Path, plain: Mapping[str, bytes], content: bytes
) -> None:
    (tmp_path / "matplotlibrc").write_bytes(content)
    assert drawn(tmp_path, tmp_path / "figures") == (plain, "")
