"""What others may do with an output root, as its mode and the folders above it say: one of doctor's checks."""

import grp
import stat
from pathlib import Path

from difair_hpc.config.places import manual
from difair_hpc.nofollow import others_replace, others_write
from difair_hpc.sweep.checks import Check
from difair_hpc.user import name_of

_WHAT = "who gets in"


def privacy_check(root: Path) -> Check:
    """Say who else can change or read what lies in an output root."""
    if not root.exists():
        return Check("ok", _WHAT, f"{root} will be made for you alone (mode 700)")
    found = root.stat()
    mode = f"mode {stat.S_IMODE(found.st_mode):o}"
    if found.st_mode & stat.S_IWOTH:
        return Check("FAIL", _WHAT, f"everybody can change runs ({mode})", f"chmod o-w {root}")
    if found.st_mode & stat.S_IROTH:
        advice = f"chmod o-rwx {root}"
        return Check("warn", _WHAT, f"everybody here can read specs, logs and models in {root} ({mode})", advice)
    if others_write(found):
        said = f"group {_group(found.st_gid)} can change runs, results and models ({mode}), not what you execute"
        return Check("ok", _WHAT, f"{said}: see {manual('security.md')}")
    if (place := others_replace(root)) not in (None, root):
        said = f"others can write in {place}, and so put another folder in the place of {root}"
        return Check("warn", _WHAT, said, "choose root=FOLDER in a folder of your own, or have its sticky bit set")
    owner = "" if place is None else f" it is {name_of(found.st_uid)}'s,"
    return Check("ok", _WHAT, f"nobody else can change it:{owner} {mode}")


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
