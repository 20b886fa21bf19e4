"""What a sweep file may not ask of a stage is refused before anything starts, by the dry run too."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from difair_hpc.cli import main
from difair_hpc.osr.method import Method
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.spec import METHOD_SPECS, measured
from difair_hpc.sweep.rules import _DEFAULTS, KEYS
from difair_hpc.sweep.spec import StageSpec
from tests.test_config import Writer, own_files, study

GRID = "search: grid, base: {benchmark: digits}, space: {method.alpha: [1, 2]}"
SEARCH = "search: optuna, trials: 3, base: {benchmark: digits}, space: {method.alpha: {low: 1, high: 9}}"
FINAL = "search: final, benchmarks: [digits], methods: [cac]"
CAC = "search: optuna, trials: 3, base: {benchmark: digits, method: cac}, space: {method.alpha: {low: 1, high: 9}}"
NULLS = "search: grid, space: {protocol.warmup_epochs: [null, 0.5]}"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return own_files(tmp_path, monkeypatch)


def refused(own: Writer, capsys: pytest.CaptureFixture[str], text: str, *words: str) -> str:
    """Return what the dry run says against a sweep file."""
    own("sweeps/mine.yaml", text)
    assert main(["sweep", "mine", "-n", *words]) == 2
    return capsys.readouterr().err.replace("\n", " ")


def check_refused(own: Writer, capsys: pytest.CaptureFixture[str], stage: str, parts: Sequence[str]) -> None:
    said = refused(own, capsys, f"stages: {{a: {{{stage}}}}}\n")
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        (f"{SEARCH}, seeds: [0, 1, 2]", ["stages.a.seeds=[0, 1, 2] has no effect", "search: optuna", "seed: [VALUE"]),
        (f"{SEARCH}, splits: [0]", ["stages.a.splits", "(split: VALUE)"]),
        (f"{SEARCH}, benchmarks: [mnist]", ["stages.a.benchmarks", "(benchmark: VALUE)"]),
        (f"{SEARCH}, chosen_in: b", ["stages.a.chosen_in", "{chosen_in: STAGE}"]),
        (f"{GRID}, trials: 3", ["stages.a.trials=3", "search: grid", "every combination"]),
        (f"{GRID}, sampler: tpe", ["stages.a.sampler=tpe", "search: grid"]),
        (f"{GRID}, objectives: [occupancy]", ["stages.a.objectives", "choose.metric"]),
        (f"{GRID}, benchmarks: [digits]", ["stages.a.benchmarks"]),
        (f"{GRID}, methods: [cac]", ["stages.a.methods", "(method: VALUE)"]),
        (f"{FINAL}, choose: {{keep: 2}}", ["stages.a.choose", "search: final"]),
        (f"{FINAL}, space: {{method.alpha: [1]}}", ["stages.a.space", "chosen_in: STAGE"]),
        (f"{FINAL}, trials: 3", ["stages.a.trials=3", "search: final"]),
        (f"{FINAL}, prune: restarts", ["stages.a.prune=restarts", "chooses nothing"]),
        (f"{FINAL}, base: {{seed: 3}}", ["stages.a.base.seed=3", "stages.a.seeds=[3]"]),
        (f"{FINAL}, base: {{benchmark: mnist}}", ["stages.a.base.benchmark=mnist", "stages.a.benchmarks=[mnist]"]),
        (f"{FINAL}, base: {{method.name: dchs}}", ["stages.a.base.method.name=dchs", "stages.a.methods=[dchs]"]),
        (
            "search: optuna, trials: 2, space: {method.alpha: {low: 1, high: 2, values: [3]}}",
            ["stages.a.space.method.alpha.values=[3]", "has no effect beside stages.a.space.method.alpha.low"],
        ),
        (
            "search: optuna, trials: 2, space: {method.alpha: {chosen_in: b, low: 1}}",
            ["stages.a.space.method.alpha.low=1", "has no effect beside stages.a.space.method.alpha.chosen_in"],
        ),
    ],
)
def test_a_key_that_its_kind_of_search_does_not_have_is_refused(
    own: Writer, capsys: pytest.CaptureFixture[str], stage: str, parts: list[str]
) -> None:
    check_refused(own, capsys, stage, parts)


def test_the_lists_that_a_final_stage_has_by_itself_are_known() -> None:
    stage = StageSpec(name="a", search="final", benchmarks=("digits",), methods=("cac",))
    assert {key: list(getattr(stage, key)) for key in _DEFAULTS} == _DEFAULTS


def test_a_final_stage_may_share_a_base_that_says_what_it_does(own: Writer) -> None:
    base = "{benchmark: digits, method: cac, protocol: short}"
    own("sweeps/mine.yaml", f"stages: {{a: {{{FINAL}, base: {base}}}}}\n")
    assert main(["sweep", "mine", "-n"]) == 0


def test_every_key_of_a_stage_belongs_to_some_kind_of_search() -> None:
    assert {key for keys in KEYS.values() for key in keys} | {"name", "search"} == set(StageSpec.__slots__)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (f"{FINAL}, base: {{benchmark: digits, method: cac, seed: 0}}", []),
        (f"{FINAL}, splits: [2]", ["split=2", "seed=0", "benchmark=digits"]),
        ("search: grid, space: {split: [1], method.alpha: [1, 2]}", ["split=1"]),
    ],
)
def test_what_a_stage_says_twice_alike_is_no_mistake(own: Writer, stage: str, words: list[str]) -> None:
    own("sweeps/mine.yaml", f"stages: {{a: {{{stage}}}}}\n")
    assert main(["sweep", "mine", "-n", *words]) == 0


def test_null_says_as_much_as_no_key(own: Writer) -> None:
    own("sweeps/mine.yaml", f"stages: {{a: {{{FINAL}, choose: null, prune: null}}}}\n")
    assert study("mine").stages[0].methods == ("cac",)


@pytest.mark.parametrize(
    ("stage", "word", "instead"),
    [
        (FINAL, "seed=3", "stages.a.seeds=[3]"),
        (FINAL, "split=1", "stages.a.splits=[1]"),
        (FINAL, "method=difair", "stages.a.methods=[difair]"),
        (GRID, "method.alpha=4", "'stages.a.space.method.alpha=[4]'"),
        ("search: grid, space: {split: [0, 1]}", "benchmark.split=1", "'stages.a.space.split=[1]'"),
    ],
)
def test_a_word_that_a_stage_would_pass_over_says_what_to_write(
    own: Writer, capsys: pytest.CaptureFixture[str], stage: str, word: str, instead: str
) -> None:
    said = refused(own, capsys, f"stages: {{a: {{{stage}}}}}\n", word)
    assert "has no effect in" in said
    assert instead in said


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        (f"{CAC}, objectives: [occupancy]", ["stages.a.objectives=occupancy", "method=cac", "closed_set_accuracy"]),
        (f"{CAC}, objectives: [closed_set_accuracy, occupancy]", ["stages.a.objectives=occupancy"]),
        (f"{CAC}, choose: {{metric: occupancy}}", ["stages.a.choose.metric=occupancy", "method=cac"]),
        (f"{CAC}, choose: {{prefer: [highest occupancy]}}", ["stages.a.choose.prefer=highest occupancy"]),
        (f"{CAC}, prune: restarts, objectives: [occupancy]", ["stages.a.objectives=occupancy"]),
        (
            "search: grid, space: {method: [difair, cross_entropy]}, choose: {metric: occupancy}",
            ["stages.a.choose.metric=occupancy", "method=cross_entropy"],
        ),
        (f"{SEARCH}, objectives: [auroc]", ["stages.a.objectives=auroc", "closed_set_accuracy, occupancy"]),
        (f"{SEARCH}, choose: {{prefer: [highest auroc]}}", ["choose.prefer=highest auroc", "closed_set_accuracy"]),
    ],
)
def test_a_metric_that_the_searched_method_does_not_measure_is_refused(
    own: Writer, capsys: pytest.CaptureFixture[str], stage: str, parts: list[str]
) -> None:
    check_refused(own, capsys, stage, parts)


def test_a_method_that_an_earlier_stage_may_choose_has_to_measure_it_too(
    own: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = "search: grid, space: {method: {chosen_in: a}}, choose: {metric: occupancy}"
    said = refused(own, capsys, f"stages: {{a: {{search: grid, space: {{method: [difair, cac]}}}}, b: {{{taken}}}}}\n")
    assert "stages.b.choose.metric=occupancy" in said
    assert "method=cac" in said


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("[cac, difair]", "what stage a chooses is for cac; their own settings keep difair"),
        ("[cac]", "what stage a chooses is for cac\n"),
        ("[arpl, dchs]", "what stage a chooses is for none of these methods; their own settings keep arpl, dchs"),
    ],
)
def test_the_dry_run_says_who_takes_a_choice(
    own: Writer, capsys: pytest.CaptureFixture[str], methods: str, said: str
) -> None:
    final = f"search: final, benchmarks: [digits], methods: {methods}, chosen_in: a"
    own("sweeps/mine.yaml", f"stages: {{a: {{{CAC}}}, main: {{{final}}}}}\n")
    assert main(["sweep", "mine", "-n"]) == 0
    assert said in capsys.readouterr().out


def test_what_a_search_may_look_at_is_what_the_method_measures() -> None:
    for name, spec in METHOD_SPECS.items():
        spheres = type(make_method(spec(name=name), 4)).inside is not Method.inside  # type: ignore[arg-type]
        assert ("occupancy" in measured(name)) == spheres


@pytest.mark.parametrize("rule", ["largest KEY", "smallest KEY", "nearest KEY 1"])
@pytest.mark.parametrize(
    ("spoken", "space"),
    [
        ("protocol.warmup_epochs is null, 0.5", "{KEY: [null, 0.5]}"),
        ("protocol.optimizer is sgd, adam", "{KEY: [sgd, adam]}"),
        ("protocol.augment_exclude is ['Rotate'], []", "{KEY: [[Rotate], []]}"),
        ("benchmark.name is digits", "{}"),
    ],
)
def test_a_rule_on_the_size_of_what_has_none_names_stage_rule_and_key(
    own: Writer, capsys: pytest.CaptureFixture[str], rule: str, spoken: str, space: str
) -> None:
    text = f"stages: {{a: {{search: grid, space: {space}, choose: {{prefer: [{rule}]}}}}}}\n"
    name = spoken.split(maxsplit=1)[0]
    said = refused(own, capsys, text.replace("KEY", name))
    rule = rule.replace("KEY", name)
    assert f"stages.a.choose.prefer={rule} is not possible: allowed is a rule on numbers" in said
    assert f"{spoken} in stage a" in said
    assert "not trained again" in said


def test_a_rule_on_values_that_an_earlier_stage_may_choose_is_seen_through(
    own: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = "space: {protocol.warmup_epochs: {chosen_in: a}}, choose: {prefer: [largest protocol.warmup_epochs]}"
    said = refused(own, capsys, f"stages: {{a: {{{NULLS}}}, b: {{search: grid, {taken}}}}}\n")
    assert "stages.b.choose.prefer=largest protocol.warmup_epochs" in said


@pytest.mark.parametrize(
    "rule", ["of: protocol.warmup_epochs, keep: 2", "keep: 2", "prefer: [largest protocol.epochs, highest occupancy]"]
)
def test_values_without_a_size_can_be_searched_chosen_and_taken(own: Writer, rule: str) -> None:
    taken = "search: grid, space: {protocol.warmup_epochs: {chosen_in: a}}"
    own("sweeps/mine.yaml", f"stages: {{a: {{{NULLS}, choose: {{{rule}}}}}, b: {{{taken}}}}}\n")
    assert main(["sweep", "mine", "-n"]) == 0


@pytest.mark.parametrize("name", ["digits", "paper", "tpe", "drill", "ablation_cac", "ablation_tinyimagenet"])
def test_the_shipped_sweeps_pass(name: str) -> None:
    assert study(name).stages
