"""`difair ui` on a machine that others use: nothing without the password, and with it the artifacts alone."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from difair_hpc.cli import main
from tests.cli.made import Running, environment, half_finished, members, until
from tests.conftest import FOREIGN_PREFIXES
from tests.marks import USES_MLFLOW
from tests.mlflow_server import free_port
from tests.strangers import Stranger, a_stranger, needs_two_users
from tests.waiting import HANG_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ui"), *USES_MLFLOW]

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=100"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A store behind `difair ui`, and the folder of its owner around it."""

    base: Path
    port: int
    password: str
    ui: Running

    @property
    def root(self) -> Path:
        return self.base / "o"

    @property
    def home(self) -> Path:
        return self.base / "home"

    def ask(
        self, path: str, content: object = None, *, method: str = "", password: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Return status and content of an answer; password="": nobody logs in."""
        word = self.password if password is None else password
        rights = {"Authorization": f"Basic {base64.b64encode(f'difair:{word}'.encode()).decode()}"} if word else {}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_SECONDS)
        try:
            connection.request(
                method or ("GET" if content is None else "POST"),
                path,
                body=None if content is None else body,
                headers={"Content-Type": "application/json", **rights, **headers},
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def run_at(self, place: str) -> tuple[int, str, str]:
        """Make an experiment and a run at a place; return the status, the run and where its artifacts are to be."""
        named = {"name": f"at {time.time_ns()}", "artifact_location": place}
        status, said = self.ask("/api/2.0/mlflow/experiments/create", named)
        if status != 200:
            return status, "", ""
        return status, *self.run_of(json.loads(said)["experiment_id"])

    def run_of(self, experiment: str) -> tuple[str, str]:
        """Make a run of an experiment; return it and where its artifacts are to be."""
        made = json.loads(self.ask("/api/2.0/mlflow/runs/create", {"experiment_id": experiment})[1])["run"]["info"]
        return made["run_id"], made["artifact_uri"]

    def own_run(self) -> tuple[str, Path]:
        """Make a run of the study; return it and the folder of its artifacts."""
        study = next(one for one in json.loads(self.ask(SEARCH)[1])["experiments"] if one["name"] == "mini")
        run, address = self.run_of(study["experiment_id"])
        return run, Path(address.removeprefix("file://"))

    def change(self, statement: str, *values: str) -> None:
        """Write into the store, as a colleague may who shares the root."""
        with closing(sqlite3.connect(self.root / "mlflow.db")) as database:
            database.execute(statement, values)
            database.commit()

    def answers_about(self, run: str, name: str) -> dict[str, int]:
        """Read, write and list an artifact; return the status of each."""
        return {
            "read": self.ask(f"/get-artifact?path={quote(name)}&run_uuid={run}")[0],
            "write": self.ask(f"/ajax-api/2.0/mlflow/upload-artifact?path={quote(name)}&run_uuid={run}", b"changed")[0],
            "list": self.ask(f"/api/2.0/mlflow/artifacts/list?run_id={run}&path={quote(str(Path(name).parent))}")[0],
        }


def started(base: Path, *words: str, umask: int = 0o077) -> Running:
    """Start `difair ui` with an output that, by default, nobody else can read."""
    before = os.umask(umask)
    try:
        return Running("ui", *words, "root=o", cwd=base)
    finally:
        os.umask(before)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A store with a study, in a folder that others may pass."""
    base = Path(tempfile.mkdtemp(prefix="difair-ui-test-"))
    base.chmod(0o755)
    (base / "home").mkdir(mode=0o700)
    (base / "home/credentials").write_text("the owner's secret")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
            patch.delenv(name)
        patch.chdir(base)
        (base / "o").mkdir(mode=0o700)
        half_finished(base / "o")
        umask = os.umask(0o077)
        assert main(["sync", "root=o"]) == 1, "the made-up runs have no files"
        os.umask(umask)
        port = free_port()
        with started(base, "--port", str(port)) as ui:
            until(lambda: "with the password" in ui.text() or not ui.alive(), running=ui)
            assert ui.alive(), ui.text()
            served = Served(
                base=base, port=port, ui=ui, password=ui.text().partition("with the password ")[2].split()[0]
            )
            assert served.ask("/health")[0] == 200
            yield served
            os.kill(ui.pid, signal.SIGTERM)
            assert ui.process.wait() == 0
    shutil.rmtree(base)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with a_stranger() as made:
        yield made


@needs_two_users
def test_another_user_of_the_machine_reads_and_writes_nothing(served: Served, stranger: Stranger) -> None:
    """What was possible without a login: a place of one's own, with a link to the owner's home in it."""
    trap = f"/tmp/{stranger.name}"
    assert stranger.does("mkdir", trap).returncode == 0
    try:
        study = {"name": "trap", "artifact_location": f"file://{trap}"}
        for password in ("", "wrong"):
            for path, content in (("experiments/create", study), ("runs/create", {"experiment_id": "1"})):
                assert served.ask(f"/api/2.0/mlflow/{path}", content, password=password)[0] == 401
        assert served.run_at(f"file://{trap}")[0] == 400, "nor does the owner, when led there by a page"

        run, _ = served.own_run()
        place = f"{trap}/{run}/artifacts"
        served.change("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", f"file://{place}", run)
        assert stranger.does("mkdir", f"{trap}/{run}").returncode == 0
        assert stranger.does("ln", "-s", str(served.home), place).returncode == 0
        assert set(served.answers_about(run, "credentials").values()) == {403}
        assert set(served.answers_about(run, ".bash_aliases").values()) == {403}
    finally:
        shutil.rmtree(trap)
    assert [path.name for path in served.home.iterdir()] == ["credentials"]
    assert (served.home / "credentials").read_text() == "the owner's secret"


@needs_two_users
def test_another_user_of_the_machine_finds_the_password_nowhere(served: Served, stranger: Stranger) -> None:
    seen = stranger.does("sh", "-c", f"ps -ww -eo args; cat {served.ui.out} /proc/{served.ui.pid}/environ")
    assert seen.stderr.count("Permission denied") == 2, seen.stderr
    assert served.password not in seen.stdout
    for pid in members(served.ui.pid):
        for name in ("cmdline", "environ"):
            assert served.password.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    holders = [path for path in served.base.rglob("*") if path.is_file() and served.password in read(path)]
    assert holders == [served.ui.out]


def read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def test_no_page_and_no_part_of_the_interface_answers_without_the_password(served: Served) -> None:
    for path in ("/", "/health", "/version", "/graphql", "/get-artifact", "/static-files/x", "/signup", SEARCH, "/no"):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert served.ask(path, method=method, password="")[0] == 401, (method, path)
    assert served.ask(SEARCH)[0] == 200


def test_the_assistant_that_starts_programs_is_closed(served: Served) -> None:
    assert served.ask("/ajax-api/3.0/mlflow/assistant/config")[0] == 404
    assert served.ask("/ajax-api/3.0/mlflow/assistant/message", {"message": "x"})[0] == 404


def test_a_page_on_another_port_of_this_machine_is_refused(served: Served) -> None:
    for origin in ("http://127.0.0.1:6000", "http://localhost:6000", "http://evil.example"):
        assert served.ask(SEARCH, Origin=origin)[0] == 403
    assert served.ask(SEARCH, Host=f"10.evil.example:{served.port}")[0] == 403
    assert served.ask("/version", Host=f"10.evil.example:{served.port}")[0] == 403


@pytest.mark.parametrize("place", [
    "file://{home}", "{home}", "file://{root}", "file://{root}/mlartifacts/../..", "file:///", "s3://bucket/x",
    "ftp://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/x", "mlflow-artifacts:/1",
])  # fmt: skip
def test_a_place_outside_is_neither_chosen_nor_used(served: Served, place: str) -> None:
    """Not even by who is logged in: it may be a name in the store that somebody else has written."""
    place = place.format(home=served.home, root=served.root, port=served.port)
    assert served.run_at(place)[0] == 400
    run, _ = served.own_run()
    served.change("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", place, run)
    assert set(served.answers_about(run, "credentials").values()) <= {400, 403}
    assert [path.name for path in served.home.iterdir()] == ["credentials"]
    assert (served.home / "credentials").read_text() == "the owner's secret"


def test_a_place_inside_is_used(served: Served) -> None:
    status, run, address = served.run_at((served.root / "mlartifacts/mine").as_uri())
    assert status == 200
    assert served.answers_about(run, "a/b.txt") == {"read": 404, "write": 200, "list": 200}
    assert served.ask(f"/get-artifact?path=a/b.txt&run_uuid={run}") == (200, b"changed")
    assert (Path(address.removeprefix("file://")) / "a/b.txt").read_text() == "changed"
    files: dict[str, Any] = json.loads(served.ask(f"/api/2.0/mlflow/artifacts/list?run_id={run}")[1])
    assert files["files"] == [{"path": "a", "is_dir": True}]


def test_links_among_the_artifacts_are_not_followed(served: Served) -> None:
    run, folder = served.own_run()
    folder.mkdir(parents=True)
    (folder / "home").symlink_to(served.home)
    (folder / "file").symlink_to(served.home / "credentials")
    (folder / "real.txt").write_text("real")
    assert set(served.answers_about(run, "home/credentials").values()) == {403}
    assert served.ask(f"/get-artifact?path=file&run_uuid={run}")[0] == 403
    listed = json.loads(served.ask(f"/api/2.0/mlflow/artifacts/list?run_id={run}")[1])["files"]
    assert [one["path"] for one in listed] == ["real.txt"]
    assert served.ask(f"/ajax-api/2.0/mlflow/upload-artifact?path=file&run_uuid={run}", b"changed")[0] == 200
    assert (folder / "file").read_text() == "changed"
    assert (served.home / "credentials").read_text() == "the owner's secret"


def test_a_model_elsewhere_is_neither_registered_nor_read(served: Served) -> None:
    assert served.ask("/api/2.0/mlflow/registered-models/create", {"name": "m"})[0] == 200
    for source in (f"file://{served.home}", "s3://bucket/x", "ftp://127.0.0.1/x"):
        assert served.ask("/api/2.0/mlflow/model-versions/create", {"name": "m", "source": source})[0] == 400
    run, folder = served.own_run()
    version = {"name": "m", "source": folder.as_uri(), "run_id": run}
    assert served.ask("/api/2.0/mlflow/model-versions/create", version)[0] == 200
    served.change("UPDATE model_versions SET storage_location = ?", served.home.as_uri())
    assert served.ask("/model-versions/get-artifact?name=m&version=1&path=credentials")[0] == 403


def test_a_port_that_is_taken_is_one_message_before_a_password_is_shown(served: Served) -> None:
    with started(served.base, "--port", str(served.port)) as second:
        assert second.process.wait() == 2
        assert f"--port {served.port} cannot be used: Address already in use" in second.text()
        assert "password" not in second.text()


def test_the_password_is_not_printed_into_a_file_that_others_can_read(served: Served) -> None:
    with started(served.base, "--port", str(free_port()), umask=0o022) as open_to_all:
        assert open_to_all.process.wait() == 2
        assert "standard output is a file that others can read" in open_to_all.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_its_end_leaves_no_file_and_no_process(served: Served, tmp_path: Path, number: int) -> None:
    port, place = free_port(), tmp_path / "temporary"
    place.mkdir()
    command = [sys.executable, "-m", "difair_hpc", "ui", "--port", str(port), f"root={served.root}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(TMPDIR=str(place))) as ui:
        assert ui.stdout is not None
        try:
            assert any("with the password" in line for line in ui.stdout)
            with socket.create_connection(("127.0.0.1", port)) as asking:
                asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert asking.recv(100), "it is at work"
            (own,) = place.iterdir()
            assert own.stat().st_mode & 0o777 == 0o700
            ui.send_signal(number)
            assert ui.wait(HANG_SECONDS) == 0
            assert ui.stdout.read() == ""
        finally:
            ui.kill()
    assert not [*place.iterdir()]
