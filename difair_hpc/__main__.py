"""`python -m difair_hpc` is the command `difair`."""

from difair_hpc.cli import main

raise SystemExit(main())
