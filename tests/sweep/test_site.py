"""What a site says: SLURM's real answers, those of other versions, and none."""

import pytest

from difair_hpc.errors import ClusterUnreachable, Failure
from difair_hpc.sweep.site import (
    Account,
    Nodes,
    SiteConfig,
    SubmitLimits,
    ask_site,
    parse_accounts,
    parse_config,
    parse_gpus,
    parse_minutes,
    parse_nodes,
    submit_limits,
)
from tests.sites.answers import RECORDED, Site

OFF = Failure("sacctmgr failed: You are not running a supported accounting_storage plugin")


def test_the_testbed_tells_its_configuration() -> None:
    assert ask_site(Site())[0] == SiteConfig(
        version="22.05.8",
        cluster="testbed",
        max_array=101,
        accounting=True,
        preempt_mode="REQUEUE",
    )


@pytest.mark.parametrize(
    ("line", "accounting"),
    [
        ("AccountingStorageType   = accounting_storage/none", False),
        ("AccountingStorageType   = (null)", False),
        ("AccountingStorageType = accounting_storage/slurmdbd", True),
        ("", None),
    ],
)
def test_accounting_is_on_off_or_unknown(line: str, accounting: bool | None) -> None:
    assert parse_config(line).accounting is accounting


@pytest.mark.parametrize(
    "text", ["", "\n\n", "slurm_load_ctl_conf error\n= =\n===", "MaxArraySize = many\nClusterName ="]
)
def test_an_odd_configuration_is_an_unknown_one(text: str) -> None:
    assert parse_config(text) == SiteConfig(
        version="unknown", cluster="", max_array=1000, accounting=None, preempt_mode="unknown"
    )


def test_the_testbed_tells_its_nodes() -> None:
    nodes = ask_site(Site())[1]
    assert [(one.partition, one.default) for one in nodes] == [("gpu", True), ("gpu", True)] + [("urgent", False)] * 2
    assert nodes[1] == Nodes(
        partition="gpu",
        default=True,
        state="up",
        minutes=1440,
        gpus={"v100": 2},
        features=frozenset({"v100"}),
    )


def test_nodes_without_gpus_features_or_limit_and_lines_that_are_none() -> None:
    text = "Welcome to the site | today\ncpu|down|infinite|(null)|(null)\n\ncpu|up|n/a|gpu:2|a,b,c\n"
    first, second = parse_nodes(text)
    assert (first.partition, first.state, first.minutes, first.gpus, first.features) == (
        "cpu", "down", None, {}, frozenset(),
    )  # fmt: skip
    assert (second.minutes, second.gpus, second.features) == (None, {"": 2}, frozenset("abc"))


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:v100:2(S:0-1)", {"v100": 2}),
        ("gpu:v100:2(S:0,1),gpu:rtx6000:1(S:1),mps:200", {"v100": 2, "rtx6000": 1}),
        ("gpu:a100_3g.20gb:4(S:0)", {"a100_3g.20gb": 4}),
        ("gpu:v100:1(S:0),gpu:v100:1(S:1)", {"v100": 2}),
        ("gpu:tesla:no_consume:2", {"tesla": 2}),
        ("gres/gpu:v100:4", {"v100": 4}),
        ("gpu:v100", {"v100": 1}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("craynetwork:4,shard:8", {}),
        ("(null)", {}),
        ("", {}),
    ],
)
def test_gpus_of_a_gres(gres: str, gpus: dict[str, int]) -> None:
    assert parse_gpus(gres) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30),
        ("30:00", 30),
        ("2:00:00", 120),
        ("1-00", 1440),
        ("1-12:30", 2190),
        ("7-00:00:00", 10080),
        ("infinite", None),
        ("UNLIMITED", None),
        ("n/a", None),
        ("", None),
        ("-", None),
    ],
)
def test_minutes_of_a_time_limit(text: str, minutes: int | None) -> None:
    assert parse_minutes(text) == minutes


def test_the_testbed_tells_the_accounts() -> None:
    qos = {"long": 4, "normal": None}
    assert ask_site(Site())[2] == [
        Account(name="testbed", default=True, max_submit=10, qos=qos, default_qos=""),
        Account(name="root", default=False, max_submit=10, qos=qos, default_qos=""),
    ]


def test_accounts_of_other_clusters_and_odd_lines_are_left_out() -> None:
    text = "a|here|a|||\na|there|b|7|x,y|y\nno line of ours\na|there||||\n"
    (account,) = parse_accounts(text, "", "there")
    assert account == Account(name="b", default=False, max_submit=7, qos={"x": None, "y": None}, default_qos="y")
    assert len(parse_accounts(text, "", "")) == 2


@pytest.mark.parametrize("answer", [OFF, ClusterUnreachable("sacctmgr did not answer within 60 s.")])
def test_without_accounting_no_account_is_known(answer: Exception) -> None:
    assert ask_site(Site(accounts=answer))[2] == []
    assert ask_site(Site(qos=answer))[2] == []


@pytest.mark.parametrize(
    ("account", "qos", "max_submit"),
    [(None, None, 10), ("testbed", "long", 4), ("TESTBED", "LONG", 4), (None, "normal", 10), ("nobody", None, None)],
)
def test_the_smallest_known_limit_holds(account: str | None, qos: str | None, max_submit: int | None) -> None:
    assert submit_limits(Site(), account=account, qos=qos) == SubmitLimits(max_array=101, max_submit=max_submit)


@pytest.mark.parametrize(
    ("line", "max_submit"),
    [("a|testbed|a||long,normal|long", 4), ("a|testbed|a||long|", 4), ("a|testbed|a||long,normal|", None)],
)
def test_a_job_without_a_qos_gets_the_default_one(line: str, max_submit: int | None) -> None:
    assert submit_limits(Site(accounts=line), account=None, qos=None).max_submit == max_submit


def test_a_site_that_tells_nothing_has_the_usual_limits() -> None:
    silent = Site(config=Failure("scontrol failed"), accounts=OFF)
    assert submit_limits(silent, account=None, qos=None) == SubmitLimits(max_array=1000, max_submit=None)
    assert submit_limits(Site(config=""), account=None, qos=None) == SubmitLimits(max_array=1000, max_submit=10)
    assert submit_limits(Site(config="MaxArraySize = 0"), account=None, qos=None).max_array == 1


def test_the_user_is_asked_for_by_name() -> None:
    site = Site()
    submit_limits(site, account=None, qos=None)
    import getpass

    assert ["sacctmgr", "-nP", "show", "user", getpass.getuser(), "withassoc"] in [words[:6] for words in site.asked]
    assert "AccountingStoragePass" not in RECORDED["config"]
