"""Files reach MLflow's folder of artifacts without leaving it, and no folder of this machine on a server's word."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from difair_hpc.errors import RootUnusable, UserError
from difair_hpc.nofollow import Untrusted, root_at
from difair_hpc.runs.artifacts import log_file, log_folder


class Client:
    """MLflow's client, as far as it is asked, with a run whose artifacts are at an address."""

    def __init__(self, address: str) -> None:
        self.sent: list[tuple[str, str, str | None]] = []
        self._run = SimpleNamespace(info=SimpleNamespace(artifact_uri=address))

    def get_run(self, _: str) -> Any:
        return self._run

    def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
        self.sent.append((run_id, Path(path).read_text(), folder))

    def log_artifacts(self, run_id: str, path: str, folder: str) -> None:
        self.sent.append((run_id, path, folder))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = root_at(tmp_path / "root")
    (root / "mlartifacts").mkdir(parents=True)
    for folder in (root, root / "mlartifacts"):
        folder.chmod(0o777)
    (root / "result.json").write_text("result")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/result.json").write_text("precious")
    return root


def client(root: Path) -> Any:
    return Client((root / "mlartifacts/run with a space").as_uri())


def test_a_store_on_this_machine_gets_its_files_from_here(root: Path) -> None:
    log_file(client(root), "1", root / "result.json", None, served=False)
    log_file(client(root), "1", root / "result.json", "report", served=False)
    (root / "model/data").mkdir(parents=True)
    (root / "model/data/x.pt2").write_text("x")
    log_folder(client(root), "1", root / "model", "model", served=False)
    place = root / "mlartifacts/run with a space"
    made = {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}
    assert made == {"result.json": "result", "report/result.json": "result", "model/data/x.pt2": "x"}


def test_a_link_in_the_place_of_a_file_is_replaced_and_one_of_a_folder_refused(root: Path, tmp_path: Path) -> None:
    place = root / "mlartifacts/run with a space"
    place.mkdir()
    (place / "result.json").symlink_to(tmp_path / "outside/result.json")
    log_file(client(root), "1", root / "result.json", None, served=False)
    (root / "mlartifacts/other").symlink_to(tmp_path / "outside")
    there: Any = Client((root / "mlartifacts/other").as_uri())
    with pytest.raises((RootUnusable, Untrusted)):
        log_file(there, "1", root / "result.json", None, served=False)
    assert (tmp_path / "outside/result.json").read_text() == "precious"


@pytest.mark.parametrize("address", ["file:///home/me/.ssh", "/home/me/.ssh"])
def test_a_server_names_no_folder_of_this_machine(root: Path, address: str) -> None:
    there: Any = Client(address)
    with pytest.raises(UserError, match="a folder of this machine"):
        log_file(there, "1", root / "result.json", None, served=True)
    with pytest.raises(UserError, match="a folder of this machine"):
        log_folder(there, "1", root, "model", served=True)


def test_what_is_sent_to_a_server_was_read_as_a_file(root: Path, tmp_path: Path) -> None:
    there: Any = Client("mlflow-artifacts:/1/2/artifacts")
    log_file(there, "1", root / "result.json", "report", served=True)
    assert there.sent == [("1", "result", "report")]
    (root / "result.json").unlink()
    (root / "result.json").symlink_to(tmp_path / "outside/result.json")
    with pytest.raises(Untrusted):
        log_file(there, "1", root / "result.json", None, served=True)
    assert len(there.sent) == 1
