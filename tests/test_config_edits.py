"""Any key of a sweep file or profile can be set by a word, or taken away; what makes no sense is refused by name."""

from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.errors import UserError
from difair_hpc.sweep.spec import StageSpec
from tests.test_config import Writer, own_files, study


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return own_files(tmp_path, monkeypatch)


def stage(name: str, *words: str) -> StageSpec:
    return {stage.name: stage for stage in study("digits", *words).stages}[name]


def axes(name: str, *words: str) -> dict[str, object]:
    return {axis.key: axis.values or axis.chosen_in for axis in stage(name, *words).space}


def test_a_key_of_a_run_within_a_stage_is_one_key_with_its_dots() -> None:
    assert axes("coarse", "stages.coarse.space.method.alpha=[6]")["method.alpha"] == (6,)
    assert axes("coarse", "stages.coarse.space.split=[0,1]")["split"] == (0, 1)
    assert axes("fine", "stages.fine.space.method.alpha=[6]")["method.alpha"] == (6,)
    assert axes("fine", "~stages.fine.space.method.radius_coefficient") == {"method.alpha": "coarse"}
    words = ("stages.coarse.base.protocol.epochs=3", "protocol.epochs=5")
    for given in (words, words[::-1]):
        bases = [one.base["protocol.epochs"] for one in study("digits", *given).stages]
        assert bases == [3, 5, 5], "what is said of one stage wins over what is said of all"


def test_an_interval_is_set_by_its_ends() -> None:
    words = ["stages.search.space.method.alpha.low=2", "stages.search.space.method.alpha.high=1e1"]
    axis = config.study("tpe", config.parse(words)).stages[0].space[0]
    assert (axis.low, axis.high, axis.log) == (2, 10, True)


def test_a_group_chosen_for_a_stage_replaces_what_the_file_changed_in_its_own_choice() -> None:
    base = stage("coarse", "stages.coarse.base.protocol.batch_size=32", "stages.coarse.base.protocol=paper").base
    assert base["protocol"] == "paper"
    assert "protocol.epochs" not in base
    assert base["protocol.batch_size"] == 32


def test_lists_null_and_whole_stages() -> None:
    assert stage("final", "stages.final.seeds=[0,1]").seeds == (0, 1)
    assert stage("final", "~stages.final.splits").splits == (0, 1, 2, 3, 4)
    assert stage("final", "~stages.final.chosen_in", "stages.coarse.choose=null", "~stages.fine").chosen_in is None
    alone = study("digits", "~stages.coarse", "stages.fine.space.method.alpha=[10]")
    assert [stage.name for stage in alone.stages] == ["fine", "final"]


def test_a_study_can_be_named_where_the_file_does_not(own: Writer) -> None:
    own("sweeps/one.yaml", "stages: {a: {search: final, benchmarks: [digits], methods: [cac]}}\n")
    assert study("one", "study=2024_11_28").name == "2024_11_28"


def test_a_key_of_a_profile_is_taken_away(own: Writer) -> None:
    own("slurm/mine.yaml", "executor: slurm\ngres: gpu:1\nretries: {failed: 3, died: 1}\n")
    values = config.parse(["~cluster.gres", "cluster.gpus=v100:1", "~cluster.retries.died"])
    profile = config.profile("mine", config.cluster_keys(values))
    assert (profile.gres, profile.gpus, dict(profile.retries)) == (None, "v100:1", {"failed": 3})


@pytest.mark.parametrize("stage", ["3", "{base: [1]}", "[1]", "null"])
def test_a_word_for_a_stage_that_is_none_ends_in_a_message(own: Writer, stage: str) -> None:
    own("sweeps/one.yaml", f"stages: {{a: {stage}}}\n")
    for word in ("stages.a.base.protocol=short", "stages.a.space.method.alpha.low=1", "~stages.a"):
        with pytest.raises(UserError, match=r"stages"):
            study("one", word)


@pytest.mark.parametrize(
    ("word", "part"),
    [
        (
            "stages.corse.space.method.alpha=[6]",
            "unknown key stages.corse.space.method.alpha; valid here: stages.coarse",
        ),
        ("stages.coarse.space.method.alfa=[6]", "unknown key method.alfa"),
        ("stages.coarse.space.method.alpha=6", "stages.coarse.space.method.alpha=6"),
        ("stages.coarse.base.protocol.epoch=6", "Did you mean protocol.epochs?"),
        ("~stages.corse", "unknown key stages.corse"),
        (
            "~stages.coarse.trials",
            "~stages.coarse.trials=nothing is not possible: allowed is one of search, base, space",
        ),
        ("~stages.coarse", "an earlier stage that chooses"),
        ("stages.coarse.choose=null", "an earlier stage that chooses"),
        ("stages=[1]", "unknown key stages"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(word: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        study("digits", word)
    assert part in str(caught.value)
