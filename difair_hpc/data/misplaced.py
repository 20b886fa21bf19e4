"""What lies near where a data set is expected, and what to do with it: nested folders, packed files, other forms."""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

_DEPTH, _FOLDERS = 4, 400
"""How far below the data root, and into how many folders, is looked."""
_DROPPINGS = ("Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX", "decoded")
_ARCHIVES = {
    "cifar10": ("cifar-10-python.tar.gz", "tar -xzf {0} -C {1}"),
    "cifar100": ("cifar-100-python.tar.gz", "tar -xzf {0} -C {1}"),
    "tinyimagenet": ("tiny-imagenet-200.zip", "unzip -q {0} -d {1}"),
}


def is_dropping(name: str) -> bool:
    """Whether a file or folder is what a desktop, a NAS or an editor left behind: ._x, .DS_Store, Thumbs.db, x.tmp."""
    return name.startswith(".") or name in _DROPPINGS or name.endswith((".tmp", "~"))


def advice(data_root: Path, folder: str, missing: tuple[str, ...], *, name: str) -> str:
    """Return in words what is there in place of missing files, and what to type; nothing where nothing is.

    Args:
        data_root: Folder of all data sets.
        folder: The data set's own, relative to it.
        missing: Its missing files and folders, relative to the data root.
        name: Of the data set.
    """
    expected = data_root / folder
    first = Path(missing[0]).relative_to(folder)
    for place in _places(data_root):
        if (place / first).exists() and place != expected and (len(first.parts) > 1 or _own(place, folder, first.name)):
            target = quote(str(expected))
            return f"They are in {place}, one folder away: mkdir -p {target} && mv {quote(str(place))}/* {target}/"
    for path in missing:
        packed = data_root / f"{path}.gz"
        if packed.is_file():
            return f"{packed} is there, packed: gunzip -k {quote(str(packed.parent))}/*.gz"
        dotted = data_root / Path(path).with_name(Path(path).name.replace("-idx", ".idx"))
        if dotted != data_root / path and dotted.is_file():
            return f"{dotted} is there under another name: mv {quote(str(dotted))} {quote(str(data_root / path))}"
    if name in _ARCHIVES:
        file, command = _ARCHIVES[name]
        for place in _places(data_root):
            if (place / file).is_file():
                typed = command.format(quote(str(place / file)), quote(str(data_root)))
                return f"{place / file} is there, packed: {typed}"
    if name == "mnist" and (old := sorted((data_root / "MNIST" / "processed").glob("*.pt"))):
        return f"{old[0]} is the form of an old torchvision, a pickle, which is not read: the raw files are needed"
    return ""


def _own(place: Path, folder: str, file: str) -> bool:
    """Whether a file of this name says enough: CIFAR-100's are called train, test and meta."""
    return file not in ("train", "test", "meta") or place.name == Path(folder).name


def _places(data_root: Path) -> Iterator[Path]:
    """Yield the data root and folders below it, those near it first."""
    level, seen = [data_root], 0
    for _ in range(_DEPTH):
        below: list[Path] = []
        for place in level:
            seen += 1
            if seen > _FOLDERS:
                return
            yield place
            try:
                with os.scandir(place) as entries:
                    below += [Path(one.path) for one in entries if one.is_dir() and not is_dropping(one.name)]
            except OSError:  # it may not be looked into, or is no folder: nothing is known to be there
                continue
        level = sorted(below)
