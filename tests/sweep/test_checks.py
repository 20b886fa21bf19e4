"""A profile beside a site or a machine: each line's mark, words and advice."""

import dataclasses
from typing import Any

import pytest

from difair_hpc.runs.probe import Machine
from difair_hpc.sweep.checks import Check, machine_checks, site_checks
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.site import SubmitLimits, parse_accounts, parse_config, parse_nodes
from tests.sites.answers import RECORDED

V100 = "0: Tesla V100-SXM2-32GB (sm_70)"
MACHINE = Machine(
    name="login1",
    python="3.11.7",
    torch="2.9.1+cu128",
    archs=["sm_70", "sm_75"],
    gpus=[],
    foreign=[],
    cpus=8,
    memory_gb=64.0,
)


def on_site(
    *,
    config: str = RECORDED["config"],
    nodes: str = RECORDED["nodes"],
    accounts: str = RECORDED["accounts"],
    limits: SubmitLimits | None = None,
    **keys: Any,
) -> dict[str, Check]:
    """Return the checks of a profile, by what they look at."""
    profile = Profile(name="test", executor="slurm", **keys)
    known = parse_accounts(accounts, RECORDED["qos"], "testbed")
    found = site_checks(profile, (parse_config(config), parse_nodes(nodes), known), limits or SubmitLimits())
    return {check.what: check for check in found}


def on_machine(
    *, runs_here: bool = True, device: str = "auto", executor: Any = "slurm", **facts: Any
) -> dict[str, Check]:
    found, profile = dataclasses.replace(MACHINE, **facts), Profile(name="test", executor=executor, device=device)
    return {check.what: check for check in machine_checks(profile, found, runs_here=runs_here)}


def test_a_profile_that_fits_has_nothing_to_look_at() -> None:
    found = on_site(partition="gpu", gres="gpu:v100:1", constraint="v100|rtx6000", account="testbed", qos="long")
    assert {check.mark for check in found.values()} == {"ok"}
    assert not any(check.advice for check in found.values())
    assert found["site"].found == "SLURM 22.05.8, cluster testbed, preemption REQUEUE"
    assert found["partition gpu"].found == "up, jobs of up to 1440 minutes"


def test_what_does_not_exist_fails_by_name_and_names_what_does() -> None:
    found = on_site(partition="nosuch", gres="gpu:h100:1", constraint="v100&a100")
    assert found["partition nosuch"].mark == found["gres gpu:h100:1"].mark == found["feature a100"].mark == "FAIL"
    assert found["partition nosuch"].advice == "set cluster.partition; this site has gpu, urgent"
    assert found["gres gpu:h100:1"].advice == "set cluster.gres; this site has gpu:rtx6000, gpu:v100"
    assert found["feature a100"].advice == "set cluster.constraint; this site has rtx6000, v100"
    assert found["feature v100"].mark == "ok"


def test_without_a_partition_the_default_one_is_looked_at() -> None:
    assert on_site()["partition gpu"].mark == "ok"
    assert on_site(nodes="a|up|1:00:00|gpu:2|x")["partition (no default)"].mark == "FAIL"


def test_each_of_several_partitions_is_looked_at() -> None:
    found = on_site(partition="urgent,gpu", nodes=RECORDED["nodes"].replace("urgent|up", "urgent|down"))
    assert (found["partition urgent"].mark, found["partition urgent"].found) == ("FAIL", "is down")
    assert found["partition gpu"].mark == "ok"


def test_a_longer_time_limit_than_the_partition_allows_fails() -> None:
    check = on_site(nodes=RECORDED["nodes"].replace("1-00:00:00", "2:00:00"))["partition gpu"]
    assert check.mark == "FAIL"
    assert check.found == "ends jobs after 120 minutes; the profile asks for 240"
    assert check.advice.startswith("set cluster.minutes=120 or less")
    assert on_site(nodes=RECORDED["nodes"].replace("1-00:00:00", "infinite"))["partition gpu"].mark == "ok"


@pytest.mark.parametrize(
    ("keys", "what", "mark"),
    [
        ({"gres": "gpu:2"}, "gres gpu:2", "ok"),
        ({"gres": "gpu:3"}, "gres gpu:3", "FAIL"),
        ({"gres": "gpu:V100:1"}, "gres gpu:V100:1", "FAIL"),  # SLURM tells upper from lower case here
        ({"sbatch": {"gpus": "v100:1"}}, "gres gpu:v100:1", "ok"),
        ({"sbatch": {"gpus_per_node": 4}}, "gres gpu:4", "FAIL"),
        ({"sbatch": {"gpus-per-task": "v100:1,h100:1"}}, "gres gpu:h100:1", "FAIL"),
        ({"device": "cuda"}, "GPU", "warn"),
    ],
)
def test_gpus_are_found_however_a_profile_asks_for_them(keys: dict[str, Any], what: str, mark: str) -> None:
    assert on_site(**keys)[what].mark == mark


def test_gpus_of_other_partitions_do_not_count() -> None:
    nodes = "a*|up|1-00:00:00|gpu:v100:2|x\nb|up|1-00:00:00|gpu:rtx6000:2|y"
    assert on_site(nodes=nodes, gres="gpu:rtx6000:1")["gres gpu:rtx6000:1"].mark == "FAIL"
    assert on_site(nodes=nodes, gres="gpu:rtx6000:1", partition="b")["gres gpu:rtx6000:1"].mark == "ok"


def test_each_feature_of_a_constraint_is_looked_at() -> None:
    found = on_site(constraint="[v100*2|(rtx6000&fast)],slow")
    assert [(what, check.mark) for what, check in found.items() if what.startswith("feature")] == [
        ("feature v100", "ok"),
        ("feature rtx6000", "ok"),
        ("feature fast", "FAIL"),
        ("feature slow", "FAIL"),
    ]


def test_a_site_that_shows_nothing_is_unknown_and_no_failure() -> None:
    found = on_site(config="", nodes="", accounts="", partition="gpu", gres="gpu:1", account="a", qos="b")
    assert {what: check.mark for what, check in found.items()} == {
        "site": "ok",
        "partitions": "unknown",
        "account": "unknown",
        "qos": "unknown",
        "limits": "ok",
        "accounting": "unknown",
    }


def test_accounts_and_qos_that_are_not_the_users_are_named() -> None:
    found = on_site(account="vision")
    assert found["account"][:3] == ("warn", "account", "vision is not among yours")
    assert found["account"].advice == "set cluster.account; this site has root, testbed"
    assert found["qos"].mark == "unknown", "no QOS of an account that nobody knows"
    assert on_site(qos="fast")["qos"].advice == "set cluster.qos; this site has long, normal"
    assert on_site()["account"].found == "testbed (your default)"
    assert on_site()["qos"].found == "normal (your default)"


def test_limits_and_accounting_are_told() -> None:
    limits = SubmitLimits(max_array=101, max_submit=10)
    assert on_site(limits=limits)["limits"].found == "tasks of an array: at most 101; jobs in the queue: at most 10"
    off = on_site(config="AccountingStorageType = (null)")["accounting"]
    assert off.mark == "warn"
    assert "logs" in off.advice


@pytest.mark.parametrize(
    ("device", "executor", "facts", "mark"),
    [
        ("cuda", "slurm", {}, "FAIL"),
        ("cuda", "local", {}, "FAIL"),
        ("auto", "slurm", {}, "warn"),  # the job asked for one
        ("auto", "local", {}, "ok"),
        ("cpu", "slurm", {}, "ok"),
        ("cuda", "slurm", {"gpus": [V100]}, "ok"),
        ("cuda", "slurm", {"gpus": [V100], "foreign": [V100]}, "FAIL"),
    ],
)
def test_the_gpus_of_a_machine_that_executes_runs(device: str, executor: str, facts: dict[str, Any], mark: str) -> None:
    check = on_machine(device=device, executor=executor, **facts)["GPU"]
    assert check.mark == mark
    assert bool(check.advice) == (mark != "ok")
    assert V100 in check.found or "torch sees no CUDA GPU" in check.found


def test_a_login_node_needs_no_gpu_but_a_build_for_them() -> None:
    assert "GPU" not in on_machine(runs_here=False, device="cuda")
    assert on_machine(runs_here=False, device="cuda")["torch"].mark == "ok"
    assert on_machine(runs_here=False, device="cuda", archs=[])["torch"].mark == "FAIL"
    assert on_machine(runs_here=False, device="cpu", archs=[])["torch"].mark == "ok"
    assert on_machine()["machine"].found == "login1: 8 CPUs, 64.0 GB, Python 3.11.7"
