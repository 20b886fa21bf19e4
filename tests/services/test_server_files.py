"""Where a team's server has its files, and that no account reaches others: not by a place, a link or another's run."""

import json
import os
import pwd
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.services.accounts import PROXY, RUNS, a_run, ask, change, environment, server
from tests.services.made import Services
from tests.waiting import eventually

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("services"),
]


def test_the_process_has_neither_roots_rights_nor_passwords_to_show(team: Services) -> None:
    process = server(team)
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    if os.geteuid() == 0:
        nobody = next(entry for name in ("mlflow", "nobody") if (entry := known(name)))
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
        assert not status["Groups"].strip()
        for path in (team.folder / "passwords.json", team.folder / "users/alice"):
            assert path.stat().st_uid == 0
            tried = subprocess.run(
                ["cat", path],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            assert b"Permission denied" in tried.stderr
    seen = environment(process) + (process / "cmdline").read_bytes()
    assert not [name for name, password in team.secrets().items() if password.encode() in seen]
    assert b"not for services" not in seen


def test_artifacts_of_an_earlier_version_become_the_servers_and_nothing_that_they_link_to(team: Services) -> None:
    uid, old = server(team).stat().st_uid, team.folder / "artifacts/9"
    assert {path.lstat().st_uid for path in (old.parent, old, old / "result.json", old / "link")} == {uid}
    assert (team.base / "mine").stat().st_uid == os.geteuid()


def known(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


@pytest.mark.parametrize("place", [
    "file://{folder}", "{folder}", "file://{folder}/artifacts", "file:///proc/self", "s3://bucket/x",
    "ftp://127.0.0.1/x", "http://127.0.0.1:9/x", "mlflow-artifacts:/{hers}", "mlflow-artifacts:/{hers}/x",
    "mlflow-artifacts:/x/../{hers}", "mlflow-artifacts:/%31", "mlflow-artifacts://127.0.0.1:9/x", "mlflow-artifacts:/",
    "mlflow-artifacts:/../..", "dbfs:/x", "runs:/1/x",
])  # fmt: skip
def test_an_account_chooses_no_place_but_its_own_on_the_server(
    team: Services, hers: tuple[str, str], place: str
) -> None:
    place = place.format(folder=quote(str(team.folder)), hers=hers[0])
    for key in ("artifact_location", "artifactLocation"):
        for content in ({"name": f"x {time.time_ns()}", key: place},):
            assert ask(team, "bob", "experiments/create", content)[0] == 400
            assert ask(team, "bob", "experiments/create", json.dumps(content))[0] == 400, "as old clients say it"
    name = f"m{time.time_ns()}"
    assert ask(team, "bob", "registered-models/create", {"name": name})[0] == 200
    for run in ({}, {"run_id": a_run(team, "bob")[1]}):
        status, _ = ask(team, "bob", "model-versions/create", {"name": name, "source": place, **run})
        assert status in (400, 403)


def test_a_place_of_ones_own_on_the_server_is_possible(team: Services) -> None:
    _, run = a_run(team, "bob", artifact_location=f"mlflow-artifacts:/mine/{time.time_ns()}")
    assert ask(team, "bob", f"artifacts/list?run_id={run}")[0] == 200


@pytest.mark.parametrize("place", ["file://{folder}", "{folder}", "file:///proc/self", "s3://bucket/x", "http://h/x"])
def test_no_place_in_the_database_leads_to_the_passwords(team: Services, place: str) -> None:
    place = place.format(folder=quote(str(team.folder)) if place.startswith("file") else team.folder)
    _, run = a_run(team, "alice")
    change(team, "UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s", place, run)
    for name in ("passwords.json", "users/bob", "environ"):
        for path in (f"/get-artifact?path={name}&run_uuid={run}", f"artifacts/list?run_id={run}&path={name}"):
            status, said = ask(team, "alice", path)
            assert status in ((500,) if place.startswith("http") else (400, 403, 404)), (path, said)
            assert not [one for one in team.secrets().values() if one in str(said)]
        if not place.startswith("http"):  # which MLflow takes for the run's own place here
            upload = f"/ajax-api/2.0/mlflow/upload-artifact?path={name}&run_uuid={run}"
            assert ask(team, "alice", upload, {"admin": "mine"})[0] in (400, 403)
    assert json.loads((team.folder / "passwords.json").read_text())["admin"] != "mine"


@pytest.mark.parametrize(
    "place", ["file://{folder}", "mlflow-artifacts:/..", "mlflow-artifacts:/x/%2e%2e/%2e%2e", "s3://b"]
)
def test_the_place_of_a_trace_leads_nowhere_else(team: Services, place: str) -> None:
    experiment, _ = a_run(team, "alice")
    trace = f"tr-{time.time_ns()}"
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": trace, "trace_location": location, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
    assert ask(team, "alice", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})[0] == 200
    place = place.format(folder=quote(str(team.folder)))
    change(
        team, "UPDATE trace_tags SET value = %s WHERE request_id = %s AND key = 'mlflow.artifactLocation'", place, trace
    )
    for more in ("", "&path=passwords.json"):
        status, said = ask(team, "alice", f"/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace}{more}")
        assert status >= 400, said
        assert not [one for one in team.secrets().values() if one in str(said)]


def test_links_among_the_artifacts_are_not_followed(team: Services, hers: tuple[str, str]) -> None:
    experiment, run = hers
    status, _ = ask(team, "alice", f"/ajax-api/2.0/mlflow/upload-artifact?path=real.txt&run_uuid={run}", {"a": 1})
    assert status == 200
    folder = team.folder / "artifacts" / experiment / run / "artifacts"
    outside = team.base / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (outside / "secret").write_text("secret")
    (outside / "secret").chmod(0o666)
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    below = f"{PROXY}/{experiment}/{run}/artifacts"
    for name in ("link/secret", "file"):
        assert ask(team, "alice", f"/get-artifact?path={name}&run_uuid={run}")[0] == 403
        assert ask(team, "alice", f"{below}/{name}")[0] == 403
    rights = {"user": "alice", "password": team.secrets()["alice"]}
    assert team.status(f"{below}/link/new", method="PUT", **rights) == 403
    assert team.status(f"{below}/link/secret", method="DELETE", **rights) == 403
    listed = ask(team, "alice", f"artifacts/list?run_id={run}")[1]["files"]
    assert [one["path"] for one in listed] == ["real.txt"]
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_a_plain_account_writes_nothing_into_anothers_experiment(team: Services, hers: tuple[str, str]) -> None:
    experiment, run = hers
    tries: list[tuple[str, str, object]] = [
        ("POST", "/api/2.0/mlflow/runs/set-tag", {"run_id": run, "key": "k", "value": "v"}),
        ("POST", "/api/2.0/mlflow/runs/log-metric", {"run_id": run, "key": "k", "value": 1, "timestamp": 1}),
        ("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": experiment}),
        ("POST", "/api/2.0/mlflow/runs/delete", {"run_id": run}),
        ("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": experiment}),
        ("POST", "/api/2.0/mlflow/experiments/update", {"experiment_id": experiment, "new_name": "mine"}),
        ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?path=x&run_uuid={run}", {"a": 1}),
        ("PUT", f"{PROXY}/{experiment}/{run}/artifacts/x", {"a": 1}),
        ("PUT", f"{PROXY}/%2531/x" if experiment == "1" else f"{PROXY}/{experiment}/x", {"a": 1}),
        ("PUT", f"{PROXY}/x/%2e%2e/{experiment}/x", {"a": 1}),
        ("DELETE", f"{PROXY}/{experiment}/{run}/artifacts/real.txt", None),
    ]
    for method, path, content in tries:
        status, said = team.ask(path, content, user="bob", password=team.secrets()["bob"], method=method)
        assert status in (400, 403), (path, said)
    found = ask(team, "alice", f"runs/get?run_id={run}")[1]["run"]
    assert found["info"]["lifecycle_stage"] == "active"
    assert "k" not in str(found["data"].get("metrics"))


def test_its_temporary_files_are_where_nobody_else_can_lay_one(team: Services, hers: tuple[str, str]) -> None:
    """MLflow locks files of names that can be foreseen, and keeps what is uploaded for a moment."""
    assert (team.folder / "mlflow").stat().st_mode & 0o777 == 0o700
    assert [*(team.folder / "mlflow").iterdir()]
    uid = server(team).stat().st_uid
    found = [path.name for path in Path(tempfile.gettempdir()).iterdir() if path.lstat().st_uid == uid]
    assert uid == os.geteuid() or not found


def test_a_server_that_was_killed_leaves_nothing_behind(team: Services) -> None:
    left, uid = team.folder / "mlflow/left", server(team).stat().st_uid
    left.mkdir()
    (left / "file").write_text("of the last one")
    os.chown(left, uid, -1)
    os.kill(int(server(team).name), 9)
    assert eventually(lambda: team.control("status").returncode == 1)
    again = team.control("start")
    assert again.stdout.startswith("PostgreSQL runs already\nMLflow is started\n"), again.stderr
    assert not left.exists()
    assert ask(team, "alice", RUNS)[0] == 200
