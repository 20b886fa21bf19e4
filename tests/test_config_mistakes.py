"""Every mistake in words and files is named with its key, its value, what is allowed, before anything starts."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.errors import DifairError, InvalidValue, UnknownKey, UserError
from tests.test_config import Writer, own_files, run, study


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return own_files(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["methd=cac"], ["unknown key methd", "Did you mean method?"]),
        (["method.alfa=3"], ["unknown key method.alfa", "radius_coefficient", "Did you mean method.alpha?"]),
        (["protocol.epoch=3"], ["unknown key protocol.epoch", "Did you mean protocol.epochs?"]),
        (["benchmark.size=3"], ["unknown key benchmark.size", "image_size"]),
        (["network.drop=1"], ["unknown key network.drop", "dropout_rate"]),
        (["data.check=false"], ["unknown key data.check", "verify"]),
        (["method.alpha.x=3"], ["unknown key method.alpha.x"]),
        (["method=cac", "method.radius=3"], ["unknown key method.radius", "anchor_weight"]),
        (["method=cross_entropy", "method.alpha=3"], ["unknown key method.alpha", "name"]),
        (["benchmark=cifar11"], ["benchmark=cifar11", "cifar+10, cifar+50, cifar10, cifar10-all, digits"]),
        (["benchmark=null"], ["benchmark=null", "digits"]),
        (["benchmark=[digits,mnist]"], ["benchmark=", "one of cifar+10"]),
        (["method=difare"], ["method=difare", "one of arpl, arpl_cs, cac, cross_entropy, dchs, difair, difair_std"]),
        (["protocol=long"], ["protocol=long", "one of paper, short"]),
        (["network=keras"], ["network=keras", "a mapping of keys to values"]),
        (["data=3"], ["data=3", "a mapping of keys to values"]),
        (["method.radius_coefficient=0.5"], ["method.radius_coefficient=0.5", "method.allow_overlap=true"]),
        (["method.radius=15.9"], ["method.radius_coefficient=0.50", "method.allow_overlap=true"]),
        (["method.radius=wide"], ["method.radius=wide", "a number above 0"]),
        (["method.radius=3", "method.alpha=0"], ["method.alpha=0", "a number above 0"]),
        (["method.features_per_class=0"], ["method.features_per_class=0", "at least 1"]),
        (["method.features_per_class=2.5"], ["method.features_per_class=2.5", "a whole number"]),
        (["benchmark.image_size=12"], ["benchmark.image_size=12", "a multiple of 8"]),
        (["split=5"], ["split=5", "0 to 4"]),
        (["split=one"], ["split=one", "a whole number"]),
        (["seed=-1"], ["seed=-1", "from 0"]),
        (["protocol.epochs=0"], ["protocol.epochs=0", "at least 1"]),
        (["protocol.flip=7"], ["protocol.flip=7", "true or false"]),
        (["protocol.learning_rate=nan"], ["protocol.learning_rate=nan", "a number"]),
    ],
)
def test_a_mistake_in_a_run_names_key_value_and_what_is_allowed(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run(*words)
    for part in parts:
        assert part in str(caught.value)


def test_overlap_is_trained_when_it_is_asked_for() -> None:
    assert run("method.radius_coefficient=0.6", "method.allow_overlap=true").method.radius_coefficient == 0.6


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        (
            "method.alpha=1,2",
            ["method.alpha=1,2", "one value", "difair sweep", "stages.coarse.space.method.alpha=[1,2]"],
        ),
        ("seed=range(3)", ["seed", "one value"]),
        ("~split", ["~split", "one value"]),
        ("method.alpha", ["Expected key=value, got 'method.alpha'"]),
        ("method.alpha=[1", ["Expected key=value, got 'method.alpha=[1'"]),
        ("=3", ["Expected key=value, got '=3'"]),
        ("--fast", ["Expected key=value, got '--fast'"]),
    ],
)
def test_words_that_are_no_single_value_are_refused(word: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        config.parse([word])
    for part in parts:
        assert part in str(caught.value)


def test_settings_only_lists_the_settings() -> None:
    with pytest.raises(UnknownKey, match=r"unknown key rot; valid here: cluster, data_root.*Did you mean root\?"):
        config.settings_only(["rot=here"])


GRID = "search: grid, base: {benchmark: digits}, space: {method.alpha: [1, 2]}"
FINAL = "search: final, benchmarks: [digits], methods: [cac]"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["must hold a mapping"]),
        ("- a\n", ["must hold a mapping"]),
        ("stages: [1,\n", ["bad.yaml is not valid YAML"]),
        ("study: x\n", ["sweeps/bad.yaml names no stages", "sweeps/digits.yaml"]),
        ("stages:\n", ["names no stages"]),
        ("stages: [a]\n", ["stages=['a']", "a mapping"]),
        (f"stages: {{a: {{{FINAL}}}}}\nstage: 3\n", ["unknown key stage in sweeps/bad.yaml", "stages, study"]),
        ("stages: {a: }\n", ["stages.a=None", "a mapping"]),
        ("stages: {a: {base: {}}}\n", ["stages.a.search=nothing", "grid, optuna, final"]),
        ("stages: {a: {search: random}}\n", ["stages.a.search=random", "grid, optuna, final"]),
        (f"stages: {{a: {{{GRID}, spaces: 3}}}}\n", ["unknown key stages.a.spaces", "Did you mean stages.a.space?"]),
        ("stages: {a: {search: grid, space: [1]}}\n", ["stages.a.space=[1]", "a mapping"]),
        ("stages: {a: {search: grid, space: {method.alpha: 3}}}\n", ["stages.a.space.method.alpha=3", "chosen_in"]),
        ("stages: {a: {search: grid, space: {method.alpha: []}}}\n", ["stages.a.space.method.alpha=[]"]),
        (
            "stages: {a: {search: grid, space: {method.alpha: {low: 1, high: 2}}}}\n",
            ["stages.a.space.method.alpha=an interval", "a list of values in a grid"],
        ),
        (
            "stages: {a: {search: optuna, trials: 3, space: {method.alpha: {low: 1, high: 2, step: 1}}}}\n",
            ["unknown key stages.a.space.method.alpha.step", "whole"],
        ),
        (
            "stages: {a: {search: optuna, trials: 3, space: {method.alpha: {low: 5, high: 2}}}}\n",
            ["space.method.alpha=5 to 2", "low below high"],
        ),
        (
            "stages: {a: {search: optuna, trials: 3, space: {method.alpha: {low: 0, high: 2, log: true}}}}\n",
            ["space.method.alpha.low=0", "above 0"],
        ),
        ("stages: {a: {search: optuna, space: {method.alpha: [1, 2]}}}\n", ["stages.a=0 trials", "at least one"]),
        (
            "stages: {a: {search: optuna, trials: 2, objectives: [acuracy], space: {method.alpha: [1]}}}\n",
            ["stages.a.objectives=acuracy", "closed_set_accuracy, occupancy"],
        ),
        ("stages: {a: {search: grid, space: {method.alfa: [1]}}}\n", ["unknown key method.alfa", "method.alpha"]),
        ("stages: {a: {search: grid, base: {method: foo}}}\n", ["method=foo", "cross_entropy"]),
        ("stages: {a: {search: grid, base: {benchmark: foo}}}\n", ["benchmark=foo", "digits-all"]),
        (
            "stages: {a: {search: grid, space: {method.radius_coefficient: [0.4, 0.5]}}}\n",
            ["method.radius_coefficient=0.5", "allow_overlap"],
        ),
        (
            f"stages: {{a: {{{FINAL}, chosen_in: b}}}}\n",
            ["stages.a: chosen_in=b", "an earlier stage that chooses (there is none)"],
        ),
        (
            f"stages: {{a: {{search: grid, space: {{method.alpha: {{chosen_in: b}}}}}}, b: {{{GRID}}}}}\n",
            ["stages.a: chosen_in=b", "an earlier stage"],
        ),
        (
            f"stages: {{b: {{{GRID}}}, a: {{search: grid, space: {{method.radius: {{chosen_in: b}}}}}}}}\n",
            ["stages.a.space.method.radius: chosen_in=b", "it chooses method.alpha"],
        ),
        (
            f"stages: {{a: {{{FINAL}}}, b: {{{FINAL}, chosen_in: a}}}}\n",
            ["stages.b: chosen_in=a", "an earlier stage that chooses (there is none)"],
        ),
        (
            f"stages: {{a: {{{GRID}, choose: null}}, b: {{{FINAL}, chosen_in: a}}}}\n",
            ["stages.b: chosen_in=a", "an earlier stage that chooses (there is none)"],
        ),
        ("stages: {a: {search: final, benchmarks: digits}}\n", ["stages.a.benchmarks=digits", "a list"]),
        ("stages: {a: {search: final, methods: [cac]}}\n", ["stages.a=nothing to train", "benchmarks"]),
        ("stages: {a: {search: final, benchmarks: [cifar], methods: [cac]}}\n", ["benchmark=cifar", "cifar10"]),
        ("stages: {a: {search: final, benchmarks: [digits], methods: [cacc]}}\n", ["method=cacc", "cac"]),
        (
            "stages: {a: {search: final, benchmarks: [digits], methods: [cac], splits: [9]}}\n",
            ["split=9", "0 to 4"],
        ),
        (
            f"stages: {{a: {{{GRID}, choose: {{prefer: [biggest method.alpha]}}}}}}\n",
            ["choose.prefer", "'largest KEY'"],
        ),
        (
            f"stages: {{a: {{{GRID}, choose: {{prefer: [largest method.alfa]}}}}}}\n",
            ["unknown key method.alfa in stages.a.choose", "method.alpha"],
        ),
        (
            f"stages: {{a: {{{GRID}, choose: {{of: method.radius}}}}}}\n",
            ["unknown key method.radius in stages.a.choose"],
        ),
        (f"stages: {{a: {{{GRID}, choose: {{metric: auroc}}}}}}\n", ["stages.a.choose.metric=auroc", "occupancy"]),
        (f"stages: {{a: {{{GRID}, choose: [1]}}}}\n", ["stages.a.choose=[1]", "a mapping"]),
    ],
)
def test_a_mistake_in_a_sweep_file_is_found_before_anything_starts(own: Writer, text: str, parts: list[str]) -> None:
    own("sweeps/bad.yaml", text)
    with pytest.raises(UserError) as caught:
        study("bad")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["stages.corse.trials=3"], ["unknown key stages.corse.trials", "stages.coarse"]),
        (["stages.coarse.trial=3"], ["unknown key stages.coarse.trial", "Did you mean stages.coarse.trials?"]),
        (["foo=3"], ["unknown key foo", "stages"]),
        (["method.alfa=3"], ["unknown key method.alfa"]),
        (["stages=3"], ["unknown key stages", "stages.coarse"]),
        (["stages.coarse=3"], ["stages.coarse=3", "a mapping"]),
    ],
)
def test_a_mistake_beside_a_sweep_file_is_named(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        study("digits", *words)
    for part in parts:
        assert part in str(caught.value)


def test_an_unknown_sweep_or_cluster_lists_what_there_is(own: Writer, tmp_path: Path) -> None:
    own("sweeps/mine.yaml", "")
    with pytest.raises(InvalidValue) as caught:
        study("papr")
    assert "sweep=papr is not possible: allowed is one of ablation_batch_norm, " in str(caught.value)
    assert ", digits, drill, mine, paper, tpe." in str(caught.value)
    assert str(tmp_path / "sweeps") in str(caught.value)
    with pytest.raises(InvalidValue, match=re.escape("cluster=v200 is not possible: allowed is one of ")):
        config.profile("v200")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("defaults: [nothing_like_it]\nname: cac\n", "nothing_like_it"),
        ("name: [cac\n", "method/broken.yaml"),
        ("name: ${oc.env:NO_SUCH_VARIABLE}\n", "NO_SUCH_VARIABLE"),
        ("- a\n", "method/broken.yaml"),
    ],
)
def test_a_broken_file_of_the_users_own_is_named(own: Writer, text: str, part: str) -> None:
    own("sweeps/method/broken.yaml", text)
    with pytest.raises(DifairError) as caught:
        run("method=broken")
    assert part in str(caught.value)


@pytest.mark.parametrize("content", [{"parallel": "two"}, {"executor": "pbs"}, {"devices": "cpu"}])
def test_a_mistake_in_a_profile_is_named(own: Writer, content: Mapping[str, object]) -> None:
    own("slurm/mine.yaml", yaml.safe_dump(dict(content)))
    ((key, value),) = content.items()
    with pytest.raises(UserError) as caught:
        config.profile("mine")
    assert f"cluster.{key}" in str(caught.value)
    assert str(value) in str(caught.value) or "Did you mean" in str(caught.value)


@pytest.mark.parametrize("key", ["root", "data_root"])
@pytest.mark.parametrize("verb", [["status"], ["why"], ["doctor"], ["sweep", "digits", "-n"]], ids=lambda verb: verb[0])
def test_a_folder_that_cannot_be_is_named(key: str, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, f"{key}={'n' * 300}"]) == 2
    said = capsys.readouterr().err
    assert f"{key}=" in said
    assert "a folder that can be looked at" in said
