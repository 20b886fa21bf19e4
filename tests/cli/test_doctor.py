"""`difair doctor`: its lines, its exit code, and that it writes nothing."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import doctor, main
from difair_hpc.cli.doctor import in_words
from difair_hpc.errors import ClusterUnreachable, Failure
from difair_hpc.sweep.checks import Check
from tests.proxy import Reply, running_proxy
from tests.sites.answers import Site


@pytest.fixture(autouse=True)
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with one profile of SLURM jobs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "site.yaml").write_text("{executor: slurm, partition: gpu, gres: 'gpu:v100:1', device: cpu}")
    return tmp_path


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Put the recorded site in the place of SLURM's commands."""
    found = Site()
    monkeypatch.setattr(doctor, "run_command", found)
    return found


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
    """Return mark and words of each check by what it looks at; of two for one thing, the worse comes last."""
    assert main(["doctor", "-f", "json", *words]) == code
    return {
        check["what"]: (check["mark"], check["found"] + check["advice"])
        for check in json.loads(capsys.readouterr().out)
    }


def test_a_laptop(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    before = sorted(here.rglob("*"))
    found = told(capsys)
    assert sorted(here.rglob("*")) == before, "doctor writes nothing"
    assert found["output root"][0] in ("ok", "warn")
    assert f"{here / 'outputs'} can be made" in found["output root"][1]
    assert "is made by the first run" in found["MLflow"][1]
    assert found["Optuna"] == ("ok", f"a journal for each study, in {here / 'outputs' / 'studies'}")
    assert found["data sets"][0] == "warn"
    assert "not there: mnist svhn" in found["data sets"][1]
    assert f"{len(os.sched_getaffinity(0))} CPUs" in found["machine"][1]
    assert found["runs at once"][1].isdigit()
    assert "site" not in found


def test_a_root_that_is_there_is_tried_and_left_as_it_was(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "o" / "studies").mkdir(parents=True)
    (here / "o" / "mlflow.db").touch()
    found = told(capsys, "root=o")
    assert "can be written" in found["output root"][1]
    assert "mlflow.db is there" in found["MLflow"][1]
    assert sorted(path.name for path in (here / "o").iterdir()) == ["mlflow.db", "studies"]


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_root_that_cannot_be_is_a_failure(capsys: pytest.CaptureFixture[str], here: Path, root: str) -> None:
    (here / "file").touch()
    mark, words = told(capsys, f"root={root}", code=1)["output root"]
    assert mark == "FAIL"
    assert "root=FOLDER" in words


def test_little_room_is_worth_a_look(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    assert told(capsys)["output root"][0] == "warn"


def test_studies_that_cannot_be_written_fail(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "o").mkdir()
    (here / "o" / "studies").touch()
    assert told(capsys, "root=o", code=1)["Optuna"][0] == "FAIL"


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asks = self.path.startswith("/api/2.0/mlflow/experiments/get-by-name?")
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}' if asks else b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/api/2.0/mlflow/experiments/search" else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """Answer as MLflow's server does when it is asked how it is, and for its experiments."""
    with HTTPServer(("127.0.0.1", 0), Health) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_stores_of_mlflow(capsys: pytest.CaptureFixture[str], server: str) -> None:
    assert told(capsys, f"tracking_uri={server}")["MLflow"] == ("ok", f"{server} answers")
    assert told(capsys, f"tracking_uri={server}/elsewhere", code=1)["MLflow"][0] == "FAIL"
    mark, words = told(capsys, "tracking_uri=http://127.0.0.1:1", code=1)["MLflow"]
    assert mark == "FAIL"
    assert "tracking_uri=none" in words
    assert told(capsys, "tracking_uri=none")["MLflow"] == ("ok", "off (tracking_uri=none)")
    assert told(capsys, "tracking_uri=postgresql://me@db/mlflow")["MLflow"][0] == "unknown"


def test_a_login_page_in_the_place_of_mlflow_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with running_proxy(rule=lambda _: Reply(status=200, body="<h1>Sign in</h1>")) as page:
        mark, words = told(capsys, f"tracking_uri={page.uri}", code=1)["MLflow"]
    assert mark == "FAIL"
    assert "it answers 200: 'Sign in'; that is not an answer of MLflow" in words


def test_a_limit_in_which_torch_dies_is_worth_a_look(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (2**32, 2**32))
    mark, words = told(capsys)["shell"]
    assert (mark, "ulimit -v allows 4 GB of addresses" in words) == ("warn", True)


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def test_a_gpu_that_is_asked_for_and_not_there_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "cluster.device=cuda", code=0 if has_gpu() else 1)["GPU"][0] == ("ok" if has_gpu() else "FAIL")
    assert told(capsys, "cluster.device=auto")["GPU"][0] == "ok"


def test_a_site(capsys: pytest.CaptureFixture[str], site: Site, here: Path) -> None:
    before = sorted(here.rglob("*"))
    found = told(capsys, "cluster=site")
    assert sorted(here.rglob("*")) == before
    assert found["site"] == ("ok", "SLURM 22.05.8, cluster testbed, preemption REQUEUE")
    assert "at most 101" in found["limits"][1]
    assert "at most 10" in found["limits"][1]
    assert found["sbatch"] == ("ok", "would take a job of this profile (--test-only)")
    assert ["sbatch", "--test-only"] in [words[:2] for words in site.asked]


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        (Failure("sbatch failed: allocation failure: Invalid qos specification"), "FAIL"),
        (Failure("sbatch failed: allocation failure: Requested node configuration is not available"), "warn"),
        (ClusterUnreachable("sbatch failed: AssocMaxSubmitJobLimit"), "warn"),
    ],
)
def test_slurm_has_the_last_word(capsys: pytest.CaptureFixture[str], site: Site, said: Failure, mark: str) -> None:
    site.answers["sbatch"] = said
    found = told(capsys, "cluster=site", code=1 if mark == "FAIL" else 0)["sbatch"]
    assert found[0] == mark
    assert found[1].startswith(f"takes no such job: {said}")


@pytest.mark.parametrize("name", ["config", "nodes", "squeue"])
def test_a_command_that_does_not_answer_fails(capsys: pytest.CaptureFixture[str], site: Site, name: str) -> None:
    site.answers[name] = ClusterUnreachable("Unable to contact slurm controller")
    assert told(capsys, "cluster=site", code=1)["SLURM"] == ("FAIL", "Unable to contact slurm controller")


def test_a_machine_without_slurm_names_the_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    monkeypatch.setenv("PATH", str(here))
    assert "cluster=local" in told(capsys, "cluster=site", code=1)["SLURM"][1]


def test_a_look_at_a_node_that_does_not_come_to_be(capsys: pytest.CaptureFixture[str], site: Site, here: Path) -> None:
    site.answers["sbatch"] = Failure("sbatch failed: invalid partition")
    found = told(capsys, "cluster=site", "--on-node", "root=o", code=1)
    assert found["compute node"][0] == "FAIL"
    assert "invalid partition" in found["compute node"][1]
    assert [path for path in here.rglob("o/**/*") if path.is_file()] == []


def test_what_a_node_lacks_is_told_beside_what_is_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, site: Site, here: Path
) -> None:
    there = [Check("warn", "data sets", f"complete in {here / 'data'}: ", "fetch"), Check("ok", "torch", "2.9.1")]
    monkeypatch.setattr(doctor, "ask_node", lambda *_: there)
    monkeypatch.setattr(doctor, "FREE_GB", 0.0)  # the disk of this machine may be nearly full
    found = told(capsys, "cluster=site", "--on-node", code=1)
    assert found["node: data sets"][0] == "FAIL", "digits are here"
    assert "data_root=FOLDER" in found["node: data sets"][1]
    assert found["node: torch"] == ("ok", "2.9.1")
    assert found["output root"][0] == "ok", "the node is the proof that it is shared"


def test_a_node_is_asked_about_the_folders_that_the_environment_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, site: Site, here: Path
) -> None:
    monkeypatch.setattr(doctor, "ask_node", lambda _, __, words, ___: [Check("ok", "words", json.dumps(words))])
    monkeypatch.setenv("DIFAIR_ROOT", "o (1),2")
    asked = told(capsys, "cluster=site", "--on-node")["node: words"][1]
    assert config.parse(json.loads(asked))["root"] == str(here / "o (1),2")


def test_inside_a_job_the_machine_is_looked_at_and_not_the_site(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    found = told(capsys, "cluster=site", "--inside")
    assert found["SLURM"][0] == "ok"
    assert found["GPU"][0] == "ok"
    assert "partition gpu" not in found
    site.answers["squeue"] = ClusterUnreachable("squeue did not answer within 60 s.")
    mark, words = told(capsys, "cluster=site", "--inside")["SLURM"]
    assert mark == "warn"
    assert "cron" in words
    told(capsys, "cluster=site", "cluster.device=cuda", "--inside", code=0 if has_gpu() else 1)


def test_lines_for_people(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    assert main(["doctor", "cluster=site", "cluster.partition=nosuch"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("1 failed, 2 to look at")
    (failed,) = [line for line in lines if line.startswith("FAIL")]
    assert failed.split()[:3] == ["FAIL", "partition", "nosuch"]
    assert failed.endswith("-> set cluster.partition; this site has gpu, urgent")
    assert len(lines) == 18, "one line per check where the output is no terminal"


def test_a_narrow_terminal_folds_lines_and_loses_no_word() -> None:
    check = Check("warn", "file system", "ext4 of this machine:\n\tnodes may not see it", "use difair doctor --on-node")
    folded = in_words(check, 40).splitlines()
    assert max(map(len, folded)) <= 40
    assert " ".join(" ".join(folded).split()) == " ".join(in_words(check, None).split())
    assert all(line.startswith(" " * 13) and line[13] != " " for line in folded[1:])


def test_mistakes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--on-node"]) == 2
    assert "cluster=v100" in capsys.readouterr().err
    assert main(["doctor", "benchmark=mnist"]) == 2
    assert "unknown key benchmark" in capsys.readouterr().err
    assert main(["doctor", "cluster=nosuch"]) == 2
    assert "cluster=nosuch" in capsys.readouterr().err
