"""matplotlib as it is delivered, whatever a notebook, the working folder or the home sets for other programs.

It reads MPLBACKEND and the first matplotlibrc of several places as it is imported. A backend that is not installed, or
a file that nobody can decode, ends that; text.usetex or a font would change every figure.
"""

import contextlib
import importlib
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def leave_out_settings() -> None:
    """Let the next import of matplotlib in this process read its own matplotlibrc, and no backend.

    That in the working folder comes before what any variable says: where there is one, matplotlib is imported at once,
    from its own folder.
    """
    os.environ.pop("MPLBACKEND", None)
    # Its warnings, such as that it keeps its fonts in a temporary folder, concern nobody here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    found = find_spec("matplotlib")
    if "matplotlib" in sys.modules or found is None or found.origin is None:
        return
    own = Path(found.origin).parent / "mpl-data"
    os.environ["MATPLOTLIBRC"] = str(own / "matplotlibrc")
    if Path("matplotlibrc").is_file():
        with contextlib.chdir(own):
            importlib.import_module("matplotlib")
