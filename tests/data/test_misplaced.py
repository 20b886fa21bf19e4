"""Data folders as they are found: droppings are passed over, and of what lies elsewhere the message says what to do."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from difair_hpc.data import catalogue, tinyimagenet
from difair_hpc.data.misplaced import is_dropping
from difair_hpc.data.readers import open_source
from difair_hpc.errors import DataDamaged, DataMissing
from tests.data import fakes


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    fakes.write_tinyimagenet(tmp_path)
    return tmp_path / tinyimagenet.FOLDER


def pixels(root: Path, part: str, classes: tuple[int, ...] = (0, 5, 199)) -> tuple[torch.Tensor, torch.Tensor]:
    images = open_source("tinyimagenet", root, verify=False).read(part, classes)  # type: ignore[arg-type]
    return images.images_BCHW, images.labels_B


def same(first: tuple[torch.Tensor, torch.Tensor], second: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def annotated(tiny: Path) -> dict[str, str]:
    return dict(line.split("\t")[:2] for line in (tiny / "val/val_annotations.txt").read_text().splitlines())


def sorted_into(tiny: Path, below: str) -> None:
    """Move the validation images into folders of their classes, as loaders for open-set recognition want them."""
    for name, wnid in annotated(tiny).items():
        (tiny / "val" / wnid / below).mkdir(parents=True, exist_ok=True)
        (tiny / "val/images" / name).rename(tiny / "val" / wnid / below / name)
    (tiny / "val/images").rmdir()


def droppings(folder: Path) -> None:
    for place in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())[::3]]:
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "x.tmp"):
            (place / name).write_bytes(b"dropped")
        for name in ("@eaDir", ".ipynb_checkpoints"):
            (place / name).mkdir(exist_ok=True)
            (place / name / "n00000005_0.JPEG").write_bytes(b"dropped")
    for path in list(folder.rglob("[!.]*.JPEG")):
        if path.parent.name not in ("@eaDir", ".ipynb_checkpoints"):
            path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")


@pytest.mark.parametrize("below", ["images", ""])
def test_validation_images_in_folders_of_their_classes_are_the_same_images(tiny: Path, below: str) -> None:
    before = pixels(tiny.parent, "test")
    sorted_into(tiny, below)
    droppings(tiny)
    assert tinyimagenet.missing(tiny.parent) == ()
    assert same(before, pixels(tiny.parent, "test"))
    assert tinyimagenet.differing(tiny).keys() == {"train", "test"}, "as before: one image per class"


def test_one_that_lies_in_the_folder_of_another_class_is_named(tiny: Path) -> None:
    sorted_into(tiny, "images")
    moved = tiny / "val/n00000005/images/val_5.JPEG"
    moved.rename(tiny / "val/n00000007/images/val_5.JPEG")
    with pytest.raises(DataDamaged, match=r"val/n00000007/images/val_5\.JPEG is of another class"):
        pixels(tiny.parent, "test")


def test_without_the_list_of_validation_images_it_is_the_file_that_is_missing(tiny: Path) -> None:
    """And not the whole data set, whose download would be refused because the folder is there."""
    sorted_into(tiny, "images")
    (tiny / "val/val_annotations.txt").unlink()
    with pytest.raises(
        DataMissing, match=r"missing tiny-imagenet-200/val/val_annotations\.txt\. Take them from"
    ) as said:
        open_source("tinyimagenet", tiny.parent)
    assert "difair data get" not in str(said.value)
    state = next(state for state in catalogue.inspect(tiny.parent) if state.name == "tinyimagenet")
    assert "val_annotations.txt" in state.note
    with pytest.raises(DataDamaged, match=r"val_annotations\.txt.* Move that folder away"):
        catalogue.download("tinyimagenet", tiny.parent)


def test_training_images_without_a_folder_between_are_the_same(tiny: Path) -> None:
    before = pixels(tiny.parent, "train")
    for place in list((tiny / "train").iterdir()):
        for path in list((place / "images").iterdir()):
            path.rename(place / path.name)
        (place / "images").rmdir()
    assert same(before, pixels(tiny.parent, "train"))


@pytest.mark.parametrize("part", ["train", "test"])
def test_what_a_desktop_leaves_behind_is_no_image(tiny: Path, part: str) -> None:
    before = pixels(tiny.parent, part)
    droppings(tiny)
    assert same(before, pixels(tiny.parent, part))
    assert "holds 200 images" in tinyimagenet.differing(tiny)[part][0]


def test_a_folder_with_droppings_alone_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn/.DS_Store").write_bytes(b"dropped")
    state = next(state for state in catalogue.inspect(tmp_path) if state.name == "svhn")
    assert not state.present
    assert state.note == "Get it with `difair data get svhn`."
    assert not is_dropping("train_32x32.mat")


Arrange = Callable[[Path], None]
TINY = tinyimagenet.FOLDER


def nested(name: str, folder: str) -> Arrange:
    """Let a data set lie in a folder of its own name, as unpacking into one does."""

    def arrange(root: Path) -> None:
        write(name, root)
        own = root / folder
        own.rename(root / "aside")
        own.mkdir(parents=True)
        (root / "aside").rename(own / own.name)

    return arrange


def below(name: str, top: str) -> Arrange:
    """Let a data set lie with its own folder in another one."""
    return lambda root: write(name, root / top)


def write(name: str, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if name == "tinyimagenet":
        fakes.write_tinyimagenet(root)
    else:
        {"mnist": fakes.write_mnist, "svhn": fakes.write_svhn, "cifar10": fakes.write_cifar10}.get(
            name, fakes.write_cifar100
        )(root, [1])


def packed(root: Path) -> None:
    fakes.write_mnist(root, [1])
    for path in list((root / "MNIST/raw").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def renamed(root: Path) -> None:
    fakes.write_mnist(root, [1])
    for path in list((root / "MNIST/raw").iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))


def processed(root: Path) -> None:
    (root / "MNIST/processed").mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (root / "MNIST/processed" / name).write_bytes(b"a pickle")


def archive(file: str) -> Arrange:
    def arrange(root: Path) -> None:
        (root / file).write_bytes(b"packed")

    return arrange


@pytest.mark.parametrize(
    ("name", "arrange", "parts"),
    [
        (
            "tinyimagenet",
            nested("tinyimagenet", TINY),
            [f"ROOT/{TINY}/{TINY}", "mv "],
        ),
        ("cifar10", nested("cifar10", "cifar-10-batches-py"), ["ROOT/cifar-10-batches-py/cifar-10-batches-py", "mv "]),
        ("cifar10", below("cifar10", "cifar10"), ["ROOT/cifar10/cifar-10-batches-py", "mv "]),
        ("cifar100", below("cifar100", "cifar-100"), ["ROOT/cifar-100/cifar-100-python", "mv "]),
        ("mnist", below("mnist", "MNIST"), ["ROOT/MNIST/MNIST/raw", "ROOT/MNIST/raw", "mv "]),
        ("svhn", below("svhn", "svhn"), ["ROOT/svhn/svhn", "mv "]),
        ("mnist", packed, ["ROOT/MNIST/raw/train-images-idx3-ubyte.gz is there, packed", "gunzip -k ROOT/MNIST/raw/"]),
        ("mnist", renamed, ["train-images.idx3-ubyte is there under another name", "mv "]),
        ("mnist", processed, ["ROOT/MNIST/processed/test.pt", "is not read"]),
        ("cifar10", archive("cifar-10-python.tar.gz"), ["tar -xzf ROOT/cifar-10-python.tar.gz -C ROOT"]),
        ("tinyimagenet", archive("tiny-imagenet-200.zip"), ["unzip -q ROOT/tiny-imagenet-200.zip -d ROOT"]),
    ],
)
def test_what_is_there_instead_is_named_with_what_to_type(
    tmp_path: Path, name: str, arrange: Arrange, parts: list[str]
) -> None:
    arrange(tmp_path)
    droppings(tmp_path)
    with pytest.raises(DataMissing) as said:
        open_source(name, tmp_path)
    state = next(state for state in catalogue.inspect(tmp_path) if state.name == name)
    for text in (str(said.value), state.note):
        assert "missing " in text
        for part in parts:
            assert part.replace("ROOT", str(tmp_path)) in text


def test_the_command_that_is_named_puts_a_nested_folder_right(tmp_path: Path) -> None:
    nested("svhn", "svhn")(tmp_path)
    for path in list((tmp_path / "svhn/svhn").iterdir()):
        shutil.move(path, tmp_path / "svhn")
    assert open_source("svhn", tmp_path, verify=False).read("test", (1,)).labels_B.tolist() == [1]
