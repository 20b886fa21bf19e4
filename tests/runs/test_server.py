"""A root's server is found by its file; passwords stay in files that their owner alone reads."""

import json
from pathlib import Path

import pytest

from difair_hpc.errors import UserError
from difair_hpc.runs.server import address_file, check_credentials, private, server_of
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
