"""`python -m difair_hpc` is the command `difair`."""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]) != Path(__file__).parents[1]:
    del sys.path[0]  # the working folder, whose queue.py is not the one that is meant

from difair_hpc.cli import main

raise SystemExit(main())
