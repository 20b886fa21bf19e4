"""Data files that are cut, flipped, of the wrong size or kind, or hostile: they are named, and no code runs."""

import io
import pickle
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from difair_hpc.data import catalogue
from difair_hpc.data.benchmarks import load
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.data.splits import class_split
from difair_hpc.errors import DataDamaged, DataMissing, DifairError, Failure
from tests.data.fakes import write_cifar10, write_cifar100, write_mnist, write_svhn, write_tinyimagenet
from tests.fuzz.cases import SCALE, damaged_bytes, said, tree

LABELS = [*range(10), *range(10)]
MAKERS: dict[str, Callable[[Path], object]] = {
    "mnist": lambda root: write_mnist(root, LABELS),
    "svhn": lambda root: write_svhn(root, [label or 10 for label in LABELS]),
    "cifar10": lambda root: write_cifar10(root, LABELS),
    "tinyimagenet": write_tinyimagenet,
}


def odd_arrays(chance: random.Random) -> dict[str, Any]:
    """Return what a pickle or .mat file of images may hold instead of images and labels."""
    shape = chance.choice([(20, 3072), (20, 3071), (0,), (5, 3, 32, 32), (32, 32, 3, 20), (20, 1)])
    images = np.zeros(shape, dtype=chance.choice(["u1", "i4", "f8"]))
    labels = chance.choice([LABELS, [99] * 20, [-1] * 20, ["a"] * 20, [0.5] * 20, [], LABELS[:7], [[1]] * 20])
    return {"data": images, "X": images, "labels": labels, "y": labels or [0]}


def odd_file(chance: random.Random, path: Path) -> None:
    """Replace a file by a sound one of its kind that holds the wrong things, or damage it."""
    way = chance.random()
    content = path.read_bytes()
    path.unlink()
    if way < 0.1:
        puts: list[Callable[[], object]] = [path.mkdir, lambda: path.symlink_to(path.name), lambda: None]
        chance.choice(puts)()
    elif way < 0.5 and path.suffix == ".mat":
        savemat(path, {key: value for key, value in odd_arrays(chance).items() if key in ("X", "y")})
    elif way < 0.5 and "batch" in path.name:
        path.write_bytes(pickle.dumps(chance.choice([odd_arrays(chance), [1], None, "x", {"data": 3}]), protocol=4))
    elif way < 0.5 and path.suffix == ".JPEG":
        size = chance.choice([(32, 32), (64, 1), (1, 64), (65, 65)])
        Image.new(chance.choice(["RGB", "L", "CMYK", "1"]), size).save(path, chance.choice(["JPEG", "TIFF"]))
    elif way < 0.7 and path.name.endswith("ubyte"):  # another header
        path.write_bytes(bytes(chance.randrange(256) for _ in range(chance.randrange(1, 17))) + content[16:])
    else:
        path.write_bytes(damaged_bytes(chance, content))


@pytest.mark.parametrize(("name", "cases"), [("mnist", 40), ("svhn", 50), ("cifar10", 50), ("tinyimagenet", 3)])
@pytest.mark.filterwarnings("default")  # parsers warn of what they then refuse
def test_damaged_files_are_read_whole_or_named(tmp_path: Path, name: str, cases: int) -> None:
    MAKERS[name](tmp_path / "whole")
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    files += [path for path in files if path.suffix == ".txt"] * 20  # as often as the many images
    spec = BenchmarkSpec(name=name, verify=False)
    complaints = 0
    for number in range(cases * SCALE):
        chance, root = random.Random(f"{name} {number}"), tmp_path / "root"
        shutil.copytree(tmp_path / "whole", root)
        path = root / chance.choice(files)
        odd_file(chance, path)
        before = tree(root)
        complaint = ""
        try:
            data = load(spec, root)
        except (DataDamaged, DataMissing) as error:
            complaint = str(error)
        else:
            assert int(data.train.labels_B.max()) < data.classes, (number, path)
        if complaint:
            assert any(part in complaint for part in (path.name, "has no", "images")), (number, path, complaint)
            complaints += 1
        assert {key: value for key, value in tree(root).items() if "decoded" not in key} == before, (number, path)
        shutil.rmtree(root)
    assert complaints > 0


def test_what_is_in_the_place_of_a_list_or_folder_is_named(tmp_path: Path) -> None:
    write_tinyimagenet(tmp_path)
    for name in ("wnids.txt", "words.txt", "val/val_annotations.txt", "val/images", "train"):
        path = tmp_path / "tiny-imagenet-200" / name
        path.rename(tmp_path / "away")
        puts: list[Callable[[], object]] = [lambda p=path: p.symlink_to(p.name), path.mkdir]  # type: ignore[misc]
        for put in [*puts, lambda p=path: p.write_bytes(b"\xff\0" * 50)]:  # type: ignore[misc]
            put()
            with pytest.raises((DataDamaged, DataMissing), match=r"tiny-imagenet-200|tinyimagenet"):
                load(BenchmarkSpec(name="tinyimagenet", verify=False), tmp_path)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (tmp_path / "away").rename(path)


@pytest.mark.parametrize("what", ["dangling", "folder"])
def test_an_image_that_is_no_file_is_named(tmp_path: Path, what: str) -> None:
    write_tinyimagenet(tmp_path)
    known = class_split("tinyimagenet", 0).known[0]
    path = next((tmp_path / f"tiny-imagenet-200/train/n{known:08d}/images").iterdir())
    path.unlink()
    path.mkdir() if what == "folder" else path.symlink_to("no such file")
    with pytest.raises(DataDamaged, match=path.name):
        load(BenchmarkSpec(name="tinyimagenet", verify=False), tmp_path)


@pytest.mark.parametrize("name", ["mnist", "svhn", "cifar10"])
def test_the_list_of_data_sets_bears_damaged_files(tmp_path: Path, name: str) -> None:
    for number in range(10 * SCALE):
        chance, root = random.Random(number), tmp_path / "data"
        MAKERS[name](root)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        odd_file(chance, chance.choice(files))
        before = tree(root)
        case = said("data", f"data_root={root}")
        assert case.sane, (number, case)
        assert name in case.out
        assert tree(root) == before
        shutil.rmtree(root)


class Hostile:
    """What a pickle should never be allowed to do: make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["cifar10", "cifar+10"])
def test_no_pickle_is_opened_before_its_checksum_matched(tmp_path: Path, name: str, verify: bool) -> None:
    root, mark = tmp_path / "data", tmp_path / "it ran"
    write_cifar10(root, LABELS)
    write_cifar100(root, list(range(100)))
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        path.write_bytes(pickle.dumps({"data": Hostile(mark), "labels": [1], "fine_labels": [1]}))
    with pytest.raises(DataDamaged, match=r"has the MD5|asks for"):
        load(BenchmarkSpec(name=name, verify=verify), root)
    assert said("data", f"data_root={root}").sane
    assert not mark.exists()


def _member(name: str, content: bytes = b"x", *, link: str = "") -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = 0 if link else len(content)
    info.type, info.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
    return info, io.BytesIO(content)


@pytest.mark.parametrize("name", ["../outside", "{root}/outside", "link/outside"])
def test_an_archive_that_is_not_the_published_one_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def send(_url: str, place: str, *_: object, **__: object) -> None:
        with tarfile.open(place, "w:gz") as archive:
            archive.addfile(*_member("link", link=str(tmp_path)))
            archive.addfile(*_member(name.format(root=tmp_path)))

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", send)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    root = tmp_path / "data"
    with pytest.raises(Failure, match=r"cifar10 could not be fetched .*corrupted"):
        catalogue.download("cifar10", root)
    assert not (tmp_path / "outside").exists()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "{root}/outside", "a/../../outside", "link/outside"])
def test_a_zip_archive_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    archive, folder = tmp_path / "x.zip", tmp_path / "stage"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as content:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        content.writestr(link, str(tmp_path))
        content.writestr(name.format(root=tmp_path), "x")
    with pytest.raises((DifairError, OSError)):
        catalogue.extract(archive, folder)
    assert not (tmp_path / "outside").exists()
    assert not (folder / "link").is_symlink()
