"""A team's server for real: MLflow with accounts and Optuna on one PostgreSQL, a study on both, and nothing leaks."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg
import pytest

from difair_hpc.cli import main
from difair_hpc.errors import Failure
from difair_hpc.runs.shown import final_metrics
from difair_hpc.runs.tracking import Tracker
from tests import short
from tests.cli.made import TINY_WORDS, command, members, typed, until
from tests.conftest import FOREIGN_PREFIXES
from tests.marks import USES_MLFLOW
from tests.services.made import SECRET_FILES, Services, a_place, command_lines
from tests.stores import Opened

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("services"),
    *USES_MLFLOW,
]

STUDY = short.search(1, choose="{tolerance: 1.0, prefer: [largest method.alpha], of: method.alpha}")
RUNS = "/api/2.0/mlflow/experiments/search?max_results=10"


@pytest.fixture(scope="module")
def seen() -> Iterator[set[bytes]]:
    """The words of all processes, from the first start to the stop."""
    with command_lines() as found:
        yield found


@pytest.fixture(scope="module")
def services(seen: set[bytes]) -> Iterator[Services]:
    """The services, after a start that was killed when MLflow had begun."""
    with pytest.MonkeyPatch.context() as patch, a_place() as place:
        for name in [name for name in os.environ if name.startswith(FOREIGN_PREFIXES)]:
            patch.delenv(name)
        cut = subprocess.Popen(place.words("start"), start_new_session=True)
        until(lambda: any("mlflow_process.py" in words for words in place.processes()) or cut.poll() is not None)
        assert cut.poll() is None, "it ended before it was killed"
        cut.kill()
        cut.wait()
        assert not members(cut.pid), "what it started is in sessions of its own"
        again = place.control("start")
        assert again.returncode == 0, again.stderr
        assert again.stdout.startswith("PostgreSQL runs already\nMLflow runs already\nhttp://127.0.0.1:")
        made = place.control("user", "alice")
        assert made.returncode == 0, made.stderr
        yield place


@pytest.fixture(autouse=True)
def home(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command be alice's."""
    become_alice(services, monkeypatch)


def become_alice(services: Services, patch: pytest.MonkeyPatch) -> None:
    """Have her passwords where MLflow and PostgreSQL's library look for them."""
    patch.setenv("HOME", str(services.home))
    patch.chdir(services.base)
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    for source, target in (("users/alice", ".mlflow/credentials"), ("optuna.pgpass", ".pgpass")):
        (services.home / target).write_bytes((services.folder / source).read_bytes())
        (services.home / target).chmod(0o600)


@pytest.fixture(scope="module")
def swept(services: Services) -> str:
    """Run the study as alice, and return what it printed."""
    (services.base / "sweeps").mkdir()
    (services.base / "sweeps/mini.yaml").write_text(STUDY)
    words = ["root=o", f"storage={services.address['storage']}", "cluster.parallel=1", "cluster.threads=1"]
    words.append("cluster.report=false")
    with pytest.MonkeyPatch.context() as patch:
        become_alice(services, patch)
        sweep = typed("sweep", "mini", *words, cwd=services.base)
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    return sweep.stdout


def test_a_study_arrives_in_both(services: Services, swept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert services.address["tracking_uri"] in swept
    assert not (services.root / "mlflow.db").exists()
    assert not (services.root / "studies/mini/optuna.journal").exists()

    from mlflow import MlflowClient

    client = MlflowClient(services.address["tracking_uri"])
    study = client.get_experiment_by_name("mini")
    assert study is not None
    runs = client.search_runs([study.experiment_id], "tags.`difair.kind` = 'run'")
    assert {run.info.run_name for run in runs} == {"alpha=6", "alpha=10"}
    results = [json.loads(path.read_text()) for path in services.root.glob("runs/*/result.json")]
    accuracies = {final_metrics(result)["closed_set_accuracy"] for result in results}
    assert {run.data.metrics["closed_set_accuracy"] for run in runs} == accuracies
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"result.json", "figures", "model"}
        copy = client.download_artifacts(run.info.run_id, "spec.json", str(services.base))
        own = services.root / "runs" / run.data.tags["difair.signature"] / "spec.json"
        assert Path(copy).read_bytes() == own.read_bytes()
    assert list((services.folder / "artifacts").rglob("result.json")), "the server keeps them"
    assert not (services.root / "mlartifacts").exists()

    with Opened(services.address["storage"]) as storage:
        (name,) = optuna.get_all_study_names(storage)
        assert len(optuna.load_study(study_name=name, storage=storage).trials) == 2
    capsys.readouterr()
    assert main(["status", "mini", "root=o"]) == 0
    assert "2 done" in capsys.readouterr().out
    assert main(["ui", "root=o"]) == 2
    assert f"{services.address['tracking_uri']} is a server already: open it in a browser." in capsys.readouterr().err


@pytest.mark.usefixtures("swept")
def test_no_password_is_where_it_does_not_belong(services: Services, seen: set[bytes]) -> None:
    secrets = {name: value.encode() for name, value in services.secrets().items()}
    assert set(secrets) >= {"admin", "postgres", "mlflow", "optuna", "alice"}
    assert len(set(secrets.values())) == len(secrets)
    told = b"".join(list(seen))
    for part in (b"--pwfile=", b"mlflow_process.py\0", b"sweep\0mini\0root=o"):
        assert part in told
    assert not [name for name, value in secrets.items() if value in told]
    looked, tables = 0, []
    for path in services.base.rglob("*"):
        if path.is_file() and not path.is_symlink():
            if path.name in SECRET_FILES:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                continue
            content, looked = path.read_bytes(), looked + 1
            assert not [name for name, value in secrets.items() if value in content], path
            tables += [path] if "/data/base/" in str(path) else []
    assert looked > 100
    assert len(tables) > 100, "PostgreSQL's own files were among them"
    for name in ("users", "mlflow", "artifacts", "postgres/data"):
        assert stat.S_IMODE((services.folder / name).stat().st_mode) == 0o700


def test_a_wrong_password_is_refused(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    address, good = services.address["tracking_uri"], services.secrets()["alice"]
    assert services.status(RUNS, user="alice", password=good) == 200
    assert services.status(RUNS, user="alice", password="wrong") == 401
    assert services.status(RUNS) == 401
    credentials = services.home / ".mlflow/credentials"
    credentials.write_text(credentials.read_text().replace(good, "wrong"))
    assert main(["sync", "root=o"]) == 1
    said = capsys.readouterr().err
    for part in (address, "error code 401", "~/.mlflow/credentials", "MLFLOW_TRACKING_USERNAME"):
        assert part in said
    assert main(["doctor", "root=o"]) == 1
    (found,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[1] == "MLflow"]
    assert found.startswith("FAIL")
    assert "error code 401" in found
    credentials.chmod(0o644)
    assert main(["sync", "root=o"]) == 2
    said = capsys.readouterr().err
    assert f"{credentials} holds passwords and is open to others (mode 644): chmod 600 {credentials}" in said
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(services.address["storage"], password="wrong")


def test_optunas_role_reaches_its_own_database_alone(services: Services) -> None:
    url, password = services.address["storage"], services.secrets()["optuna"]
    psycopg.connect(url).close()
    for database in ("mlflow", "mlflow_auth", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url.rpartition("/")[0] + f"/{database}", password=password)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM pg_authid")


def test_strangers_and_other_pages_stay_outside(services: Services) -> None:
    port = services.address["tracking_uri"].rpartition(":")[2]
    alice = {"user": "alice", "password": services.secrets()["alice"]}
    assert services.status("/signup") == 401
    assert services.status("/signup", **alice) == 404
    assert services.status("/api/2.0/mlflow/users/create", method="POST", **alice) == 403
    assert services.status("/api/2.0/mlflow-artifacts/artifacts") == 401
    for host in ("evil.example", f"evil.example:{port}", f"10.evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert services.status(RUNS, **alice, Host=host) == 403
    assert services.status(RUNS, **alice, Host=f"localhost:{port}") == 200
    created = "/api/2.0/mlflow/experiments/create"
    assert services.status(created, method="POST", **alice, Origin="http://evil.example") == 403


@pytest.mark.usefixtures("swept")
def test_a_colleague_sees_a_study_and_cannot_change_it(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert services.control("user", "bob").returncode == 0
    (services.home / ".mlflow/credentials").write_bytes((services.folder / "users/bob").read_bytes())
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(services.address["tracking_uri"])
    study = client.get_experiment_by_name("mini")
    assert study is not None
    run, *_ = client.search_runs([study.experiment_id])
    with pytest.raises(MlflowException, match="403"):
        client.set_tag(run.info.run_id, "mine", "yes")
    assert client.create_experiment("of bob")
    with pytest.raises(Failure, match="Another account made a study of this name there"):
        Tracker(services.address["tracking_uri"], root=services.root, study="mini").settle(live=True)
    assert main(["sync", "root=o"]) == 0, "what is there already needs no right to change it"
    assert "2 runs are up to date" in capsys.readouterr().out


def test_single_runs_of_two_people_do_not_get_in_each_others_way(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.control("user", "bob").returncode == 0
    for person in ("alice", "bob"):
        (services.home / ".mlflow/credentials").write_bytes((services.folder / "users" / person).read_bytes())
        monkeypatch.setenv("LOGNAME", person)
        where = [f"root=of-{person}", f"tracking_uri={services.address['tracking_uri']}"]
        done = command("train", *TINY_WORDS, *where, cwd=services.base)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
        again = command("sync", "--rebuild", *where, cwd=services.base)
        assert (again.returncode, f"study train-{person} already" in again.stderr) == (2, True), again.stderr
    from mlflow import MlflowClient

    client = MlflowClient(services.address["tracking_uri"])
    for person in ("alice", "bob"):
        own = client.get_experiment_by_name(f"train-{person}")
        assert own is not None
        assert [run.info.status for run in client.search_runs([own.experiment_id], "tags.method != ''")] == ["FINISHED"]


def test_what_runs_is_not_started_twice_nor_changed(services: Services) -> None:
    before = sorted(services.processes())
    assert services.control("start").stdout.startswith("PostgreSQL runs already\nMLflow runs already\n")
    other = services.control("start", "--host=0.0.0.0")
    assert other.returncode == 2
    assert f"the services run already as {services.address['tracking_uri']}" in other.stderr
    assert services.control("user", "alice").returncode == 0
    assert services.status(RUNS, user="alice", password=services.secrets()["alice"]) == 200
    kept = [words for words in sorted(services.processes()) if not words.startswith("postgres:")]
    assert kept == [words for words in before if not words.startswith("postgres:")]
    assert services.control("status").returncode == 0
    for wrong in (["start", "--no-auth"], ["start", "--host=a b"], ["start", "--host=*"], ["user", "../alice"]):
        assert services.control(*wrong).returncode == 2


def test_a_database_that_was_killed_comes_back(services: Services) -> None:
    pid = int((services.folder / "postgres/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert services.control("start").stdout.startswith("PostgreSQL is started\nMLflow runs already\n")
    alice = {"user": "alice", "password": services.secrets()["alice"]}
    until(lambda: services.status(RUNS, **alice) == 200)
    assert services.control("status").returncode == 0


def test_stop_leaves_no_process_and_no_socket(services: Services) -> None:
    foreign = subprocess.Popen(["sleep", "60"], cwd=services.folder, env={"DIFAIR_SERVICES": "mlflow@/elsewhere"})
    try:
        assert services.control("stop").stdout == "MLflow is stopped\nPostgreSQL is stopped\n"
        assert services.processes() == ["sleep 60 "]
        assert not [path for path in services.base.rglob("*") if path.is_socket()]
        assert not (services.root / "mlflow-server.json").exists()
        assert foreign.poll() is None
    finally:
        foreign.send_signal(signal.SIGKILL)
        foreign.wait()
    again = services.control("stop")
    assert (again.returncode, again.stdout) == (0, "MLflow did not run\nPostgreSQL did not run\n")
    assert services.control("status").returncode == 1
