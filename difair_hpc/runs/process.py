"""Which process a pid on record means, and whether it lives."""

import socket
from pathlib import Path


def machine() -> str:
    """Name the process table that a pid belongs to: this boot of this kernel, and this pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return socket.gethostname()
    return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"


def process(pid: int) -> tuple[str, str | None]:
    """Return a process's state (a letter) and when it started (clock ticks since boot); None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "", None
    fields = stat.rpartition(")")[2].split()
    return fields[0], None if fields[0] == "Z" else fields[19]
