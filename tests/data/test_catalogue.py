"""What `difair data` finds and fetches; the network is replaced."""

import zipfile
from pathlib import Path
from urllib.error import URLError

import pytest

from difair_hpc.data import catalogue, published
from difair_hpc.errors import DataDamaged, Failure, InvalidValue, RootUnusable
from tests.data import fakes


def test_an_empty_root_has_the_digits_only(tmp_path: Path) -> None:
    states = {state.name: state for state in catalogue.inspect(tmp_path / "not-yet")}
    assert list(states) == ["digits", "mnist", "svhn", "cifar10", "cifar100", "tinyimagenet"]
    assert states["digits"].verified
    assert states["digits"].complete
    for name in list(states)[1:]:
        assert (states[name].present, states[name].complete, states[name].verified) == (False, False, None)
        assert states[name].note == f"Get it with `difair data get {name}`."
    assert states["svhn"].missing == ("svhn/train_32x32.mat", "svhn/test_32x32.mat")
    assert states["cifar10"].where == tmp_path / "not-yet/cifar-10-batches-py"
    assert len(states["cifar10"].missing) == 7


def test_other_files_are_complete_but_not_verified(tmp_path: Path) -> None:
    fakes.write_svhn(tmp_path, [1])
    fakes.write_tinyimagenet(tmp_path)
    states = {state.name: state for state in catalogue.inspect(tmp_path)}
    for name in ("svhn", "tinyimagenet"):
        assert (states[name].present, states[name].complete, states[name].verified) == (True, True, False)
        assert "verify=false" in states[name].note
    assert {state.verified for state in catalogue.inspect(tmp_path, verify=False)} == {None, True}


def test_a_data_set_half_there_says_what_is_missing(tmp_path: Path) -> None:
    fakes.write_mnist(tmp_path, [1])
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").unlink()
    state = next(state for state in catalogue.inspect(tmp_path) if state.name == "mnist")
    assert (state.present, state.complete, state.missing) == (True, False, ("MNIST/raw/t10k-images-idx3-ubyte",))


def test_fetching_an_unknown_data_set_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="one of digits, mnist, svhn"):
        catalogue.download("imagenet", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "svhn", "cifar100", "tinyimagenet"])
def test_no_network_names_address_and_place_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(Failure) as caught:
        catalogue.download(name, tmp_path)
    assert f"{name} could not be fetched from http" in str(caught.value)
    assert "unreachable" in str(caught.value)
    assert f"place its files in {tmp_path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def fetch_fake_svhn(stage: Path, _: str) -> None:
    fakes.write_svhn(stage, [1, 2])


def test_what_arrives_is_checked_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_fetch", fetch_fake_svhn)
    with pytest.raises(DataDamaged, match="did not send the published svhn"):
        catalogue.download("svhn", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_good_download_takes_its_place_and_is_not_fetched_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = {part: {f"{part}_32x32.mat": published.md5_of(_fake_mat(tmp_path, part))} for part in ("train", "test")}
    files = published.Published(name="svhn", folder="svhn", checksums=sums)
    monkeypatch.setattr(published, "published", lambda _: files)
    fetched: list[str] = []

    def fetch(stage: Path, name: str) -> None:
        fetched.append(name)
        (stage / "svhn").mkdir()
        for part in ("train", "test"):
            (stage / f"svhn/{part}_32x32.mat").write_bytes(_fake_mat(tmp_path, part).read_bytes())

    monkeypatch.setattr(catalogue, "_fetch", fetch)
    root = tmp_path / "data"
    for _ in range(2):
        assert catalogue.download("svhn", root) == root / "svhn"
    assert fetched == ["svhn"]
    assert [path.name for path in root.iterdir()] == ["svhn"]
    assert sorted(path.name for path in (root / "svhn").iterdir()) == ["test_32x32.mat", "train_32x32.mat"]


def _fake_mat(folder: Path, part: str) -> Path:
    path = folder / f"source-{part}"
    path.write_text(f"the {part} images")
    return path


def test_files_of_the_user_are_never_overwritten(tmp_path: Path) -> None:
    fakes.write_svhn(tmp_path, [1])
    before = (tmp_path / "svhn/train_32x32.mat").read_bytes()
    with pytest.raises(DataDamaged, match="Move that folder away to fetch svhn"):
        catalogue.download("svhn", tmp_path)
    assert (tmp_path / "svhn/train_32x32.mat").read_bytes() == before


def test_a_data_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RootUnusable, match="cannot be written"):
        catalogue.download("mnist", tmp_path / "file")


def test_an_archive_that_reaches_outside_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("inside.txt", "fine")
        content.writestr("../outside.txt", "not fine")
    (tmp_path / "stage").mkdir()
    with pytest.raises(DataDamaged, match=r"outside of its folder \(\.\./outside\.txt\)"):
        catalogue.extract(archive, tmp_path / "stage")
    assert list((tmp_path / "stage").iterdir()) == []
    assert not (tmp_path / "outside.txt").exists()
