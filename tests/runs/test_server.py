"""A root's server is found by its file; passwords stay in files that their owner alone reads."""

import json
import os
import pwd
from pathlib import Path

import pytest

from difair_hpc.errors import UserError
from difair_hpc.runs.server import address_file, check_credentials, distrusted, private, server_of
from difair_hpc.runs.sqlite import own_store
from difair_hpc.runs.tracking import default_uri


def test_the_root_names_its_server_at_every_use(tmp_path: Path) -> None:
    assert server_of(tmp_path) == ""
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    for port in (5000, 5001):
        address_file(tmp_path).write_text(json.dumps({"tracking_uri": f"http://node-7:{port}", "storage": ""}))
        assert server_of(tmp_path) == default_uri(tmp_path) == f"http://node-7:{port}"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tracking_uri": "http'])
def test_a_torn_file_names_no_server(tmp_path: Path, content: str) -> None:
    address_file(tmp_path).write_text(content)
    assert server_of(tmp_path) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file to somebody else")
def test_a_colleagues_word_for_a_server_counts_once_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow sends this user's password there."""
    path = address_file(tmp_path)
    path.write_text(json.dumps({"tracking_uri": "http://node-7:5000"}))
    os.chown(path, pwd.getpwnam("daemon").pw_uid, -1)
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert f"{path} is daemon's and names the server http://node-7:5000; nothing is sent there" in distrusted(tmp_path)
    assert "DIFAIR_TRUST=daemon, or tracking_uri=http://node-7:5000" in distrusted(tmp_path)
    monkeypatch.setenv("DIFAIR_TRUST", "alice, daemon")
    assert default_uri(tmp_path) == "http://node-7:5000"
    assert distrusted(tmp_path) == ""


def test_in_a_root_that_others_write_each_has_a_store_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite goes by names: whoever can put a file there could put another."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    roots = [tmp_path / "a/outputs", tmp_path / "b/outputs"]
    for root in roots:
        root.mkdir(parents=True)
        assert own_store(root) == root / "mlflow.db"
        root.chmod(0o777)
    stores = [own_store(root) for root in roots]
    assert len({*stores}) == 2
    for store in stores:
        assert store.parent.parent == tmp_path / "home/.local/state/difair"
        assert store.parent.name.startswith("outputs-")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert own_store(roots[0]).is_relative_to(tmp_path / "state/difair")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    check_credentials("http://there")
    path = tmp_path / ".mlflow/credentials"
    path.parent.mkdir()
    path.write_text("[mlflow]")
    path.chmod(mode)
    with pytest.raises(UserError, match=f"mode {mode:03o}.: chmod 600 {path}$"):
        check_credentials("https://there")
    check_credentials(f"sqlite:///{tmp_path}/mlflow.db")
    path.chmod(0o600)
    check_credentials("http://there")
    path.chmod(0o400)
    assert private(path) == path
