"""Start a module with this very copy of the package, whatever else the environment or the working folder holds.

`python -P difair_hpc/launch.py -m difair_hpc.runs.job ROOT WAVE`. Plain `python -m` looks into the working folder
first: a file queue.py there would end every process, and a checkout there would be executed in place of a frozen copy.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Environment in which a Python that others start (MLflow) does not look into its working folder first."""


def python(*, code: Path | None = None) -> list[str]:
    """Return the words before `-m MODULE …`: with this copy of the package, or the one in the folder `code`."""
    package = Path(__file__).parent if code is None else code / Path(__file__).parent.name
    return [sys.executable, "-P", str(package / Path(__file__).name)]


def main() -> None:
    """Import the package beside this file, then run the module that is asked for."""
    folder = Path(__file__).absolute().parent
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None, "the package beside this file has an __init__.py"
    assert spec.loader is not None, "it is a file of Python"
    sys.modules[folder.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    del sys.argv[:2]  # launch.py -m
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
