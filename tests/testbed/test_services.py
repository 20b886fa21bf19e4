"""The team's server as a job of a real SLURM: there is one, it comes back where its time is up, `stop` ends it."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.services.made import Services, a_place
from tests.testbed.cluster import CONF, Cluster
from tests.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setenv("SLURM_CONF", CONF)
    with a_place() as place:
        yield place


def told(services: Services, *words: str) -> str:
    done: subprocess.CompletedProcess[str] = services.control(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answers(services: Services, job_log: int) -> bool:
    """Whether the server is up in the attempt of the job that wrote the log's n-th start."""
    log = services.folder / "job.log"
    return log.exists() and log.read_text().count("MLflow is started") == job_log and services.status("/health") == 200


def test_a_job_of_its_own(services: Services) -> None:
    cluster = Cluster(folder=services.base, name="difair-services-test")
    said = told(services, "submit", "--", "--partition=gpu", "--mem=8G", "--time=30")
    job = said.split()[3].rstrip(";")
    assert said == (
        f"submitted as job {job}; its log is {services.folder}/job.log\n"
        "only its own node will reach it; --host 0.0.0.0 lets others, who need an account\n"
    )

    def seen() -> str:
        return cluster.ask("scontrol", "show", "job", job, check=False) + (services.folder / "job.log").read_text()

    wait_for("it answers", lambda: answers(services, 1), seen=seen)
    assert told(services, "submit").startswith(f"there is a job already: {job} RUNNING on ")
    assert told(services, "status").startswith(f"job {job} RUNNING on ")
    address = services.address
    secrets = services.secrets()
    script = cluster.ask("scontrol", "write", "batch_script", job, "-")
    assert not [name for name, secret in secrets.items() if secret in script]

    cluster.ask("scancel", "--batch", "--signal=USR1", job)  # what SLURM does two minutes before the time is up
    wait_for("it answers again", lambda: answers(services, 2), seen=seen)
    assert "Restarts=1" in cluster.ask("scontrol", "show", "job", job)
    assert services.address == address
    assert services.secrets() == secrets

    assert told(services, "stop") == f"job {job} was asked to end\n"
    wait_for("it ends", lambda: cluster.states(job) == ["COMPLETED"], seen=seen)
    assert services.processes() == []
    assert not (services.root / "mlflow-server.json").exists()
    assert told(services, "stop") == "MLflow did not run\nPostgreSQL did not run\n"
