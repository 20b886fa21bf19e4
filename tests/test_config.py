"""From files and words to dataclasses: what is shipped, what wins, and what is the user's own."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from difair_hpc import config
from difair_hpc.data.spec import Augmentation
from difair_hpc.errors import InvalidValue, UnknownKey
from difair_hpc.osr.spec import METHOD_SPECS, DifairSpec
from difair_hpc.runs.spec import trained_for
from difair_hpc.sweep.space import certain_trials, grid
from difair_hpc.sweep.spec import ChoiceRule, StudySpec
from difair_hpc.train.spec import ProtocolSpec

ROOT = Path(__file__).parents[1]
SHORT = ("benchmark=digits", "protocol=short")
Writer = Callable[[str, str], None]


def names(folder: str) -> list[str]:
    found = sorted(path.stem for path in (ROOT / folder).glob("*.yaml"))
    assert found
    return [name for name in found if name != "config"]


def run(*words: str) -> Any:
    return config.run(config.parse(words))


def study(name: str, *words: str) -> StudySpec:
    return config.study(name, config.parse(words))


def own_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Stand in an empty folder; return a function that writes a file of the user's there."""
    monkeypatch.chdir(folder)

    def write(name: str, text: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return own_files(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", names("sweeps"))
def test_every_shipped_sweep_file_loads(name: str) -> None:
    assert study(name).stages


@pytest.mark.parametrize("name", names("sweeps/benchmark"))
def test_every_shipped_benchmark_loads(name: str) -> None:
    assert run(f"benchmark={name}").benchmark.name == name


@pytest.mark.parametrize("name", names("sweeps/method"))
def test_the_values_of_a_method_file_are_the_defaults_of_its_dataclass(name: str) -> None:
    assert run(f"method={name}").method == METHOD_SPECS[name]()
    written = yaml.safe_load((ROOT / f"sweeps/method/{name}.yaml").read_text())
    assert set(written) == {field.name for field in dataclasses.fields(METHOD_SPECS[name])}, "every field is shown"


def test_there_is_a_file_for_every_method_and_benchmark() -> None:
    from difair_hpc.data.benchmarks import BENCHMARKS

    assert names("sweeps/method") == sorted(METHOD_SPECS)
    assert names("sweeps/benchmark") == sorted(BENCHMARKS)


@pytest.mark.parametrize("name", names("slurm"))
def test_every_shipped_profile_loads(name: str) -> None:
    assert config.profile(name).name == name


def test_the_papers_protocol_is_the_default_of_the_dataclass_but_for_evaluation() -> None:
    protocol = run(
        "benchmark=cifar10", "protocol=paper", "protocol.augment=none", "protocol.augment_magnitude=0"
    ).protocol
    assert protocol == dataclasses.replace(ProtocolSpec(), evaluate_every=20)
    assert run("benchmark=cifar10") == run("benchmark=cifar10", "protocol=paper"), (
        "the paper's is what is taken unless told otherwise"
    )


def test_the_papers_study_in_numbers() -> None:
    coarse, fine, final = study("paper").stages
    assert len(grid(coarse.space)) == 36
    alphas = {"coarse": [{"method.alpha": alpha} for alpha in (10, 8, 6)]}
    assert coarse.choose is not None
    assert coarse.choose.keep == 3
    from difair_hpc.sweep.space import resolved

    assert len(certain_trials(fine, alphas, resolved(fine.space, alphas))) == 15
    chosen = {"fine": [{"method.alpha": 10, "method.radius_coefficient": 0.4}]}
    runs = certain_trials(final, chosen, [])
    assert len(runs) == 6 * 6 * 5
    assert {run["benchmark"] for run in runs} == {"mnist", "svhn", "cifar10", "cifar+10", "cifar+50", "tinyimagenet"}
    specs = [config.build_run(final.base, parameters) for parameters in runs]
    assert len({spec.signature for spec in specs}) == 180
    assert len({trained_for(spec).signature for spec in specs}) == 6 * (5 + 4 + 4 + 1 + 5)
    assert {spec.protocol.epochs for spec in specs} == {600}
    assert {spec.benchmark.name for spec in specs if spec.protocol.learning_rate == 0.01} == {"tinyimagenet"}
    assert {spec.benchmark.name for spec in specs if not spec.protocol.flip} == {"mnist", "svhn"}


def test_what_the_benchmark_files_change() -> None:
    tiny = run("benchmark=tinyimagenet")
    assert (tiny.protocol.learning_rate, tiny.benchmark.image_size) == (0.01, 64)
    assert run("benchmark=cifar10").protocol.flip
    for name in ("digits", "digits-all", "mnist", "svhn"):
        assert not run(f"benchmark={name}").protocol.flip, "a mirrored digit is another sign"
    assert run("benchmark=digits").benchmark.image_size == 8
    assert run("benchmark=cifar10-all").benchmark.validation_share == 0.2


def test_the_short_protocol_keeps_what_the_benchmark_says() -> None:
    spec = run("benchmark=digits", "protocol=short")
    assert (spec.protocol.epochs, spec.protocol.cycles, spec.protocol.schedule_unit) == (30, 3, "batch")
    assert spec.network.batch_norm_momentum == 0.1
    assert (spec.protocol.flip, spec.protocol.crop_padding) == (False, 1)
    assert run("benchmark=tinyimagenet", "protocol=short").protocol.learning_rate == 0.01


NO_TURN = ("Rotate", "TranslateX", "TranslateY")
AUGMENTED = {
    "mnist": Augmentation(name="contrast_brightness"),
    "digits": Augmentation(name="contrast_brightness"),
    "digits-all": Augmentation(name="contrast_brightness"),
    **dict.fromkeys(("cifar10", "cifar10-all", "cifar+10", "cifar+50"), Augmentation(name="randaugment", magnitude=6)),
    "svhn": Augmentation(name="randaugment", magnitude=18, exclude=NO_TURN),
    "tinyimagenet": Augmentation(name="randaugment", magnitude=9),
}


@pytest.mark.parametrize("protocol", ["paper", "short"])
@pytest.mark.parametrize("benchmark", AUGMENTED)
def test_every_benchmark_has_its_augmentation_under_every_protocol(benchmark: str, protocol: str) -> None:
    assert run(f"benchmark={benchmark}", f"protocol={protocol}").protocol.augmentation == AUGMENTED[benchmark]


def test_a_list_is_written_in_the_grammar_of_the_command_line() -> None:
    spec = run("protocol.augment=randaugment", "protocol.augment_exclude=[Rotate,Cutout]")
    assert spec.protocol.augment_exclude == ("Rotate", "Cutout")
    assert "protocol.augment_exclude=[Rotate,Cutout]" in config.words_of(spec)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("method.alpha=3", "method=difair"), "method.alpha", 3.0),
        (("protocol.epochs=7", "protocol=short"), "protocol.epochs", 7),
        (("benchmark=digits", "protocol.flip=true"), "protocol.flip", True),
        (("benchmark=tinyimagenet", "protocol.learning_rate=0.05"), "protocol.learning_rate", 0.05),
        (("seed=4",), "seed", 4),
        (("data.verify=false",), "benchmark.verify", False),
        (("benchmark.verify=false",), "benchmark.verify", False),
        (("network.dropout=channel",), "network.dropout", "channel"),
        (("protocol=paper", "protocol.evaluate_every=null"), "protocol.evaluate_every", None),
    ],
)
def test_a_key_on_the_command_line_wins_wherever_it_stands(words: tuple[str, ...], key: str, value: object) -> None:
    from difair_hpc.runs.spec import flat

    assert flat(run(*words).to_dict())[key] == value


def test_benchmark_split_and_split_are_one_key_in_words_and_in_a_stages_base() -> None:
    assert run("benchmark=mnist", "split=3") == run("benchmark=mnist", "benchmark.split=3")
    assert run("benchmark=mnist", "split=3").benchmark.split == 3
    assert config.build_run({"benchmark": "mnist", "benchmark.split": 3}, {}).benchmark.split == 3
    assert not config.build_run({"benchmark.verify": False}, {}).benchmark.verify


def test_a_radius_is_turned_into_its_coefficient() -> None:
    # Anchors of the default N = 5 and alpha 10 lie sqrt(10) * 10 = 31.62 apart.
    assert run("method.radius=10").method.radius_coefficient == pytest.approx(0.316228, abs=1e-6)
    close = run("method.alpha=2", "method.features_per_class=2", "method.radius=1").method
    assert close.radius_coefficient == pytest.approx(0.25)


def test_what_is_run_does_not_change_what_is_run_next() -> None:
    first = run(*SHORT)
    run(*SHORT, "protocol.epochs=3", "network.dropout_rate=0.5")
    assert run(*SHORT) == first


def test_keys_of_a_run_hold_for_every_stage_and_stage_keys_for_one() -> None:
    spec = study("digits", "protocol.epochs=2", "stages.coarse.choose.tolerance=0.5", "stages.final.splits=[0,1]")
    assert [stage.base["protocol.epochs"] for stage in spec.stages] == [2, 2, 2]
    assert spec.stages[0].choose == ChoiceRule(
        tolerance=0.5, prefer=("largest method.alpha",), of="method.alpha", keep=2
    )
    assert spec.stages[2].splits == (0, 1)
    assert study("tpe", "stages.search.sampler=gp").stages[0].sampler == "gp"
    assert study("digits", "study=mine").name == "mine"


def test_a_group_on_the_command_line_replaces_what_the_file_changed_in_its_own_choice() -> None:
    stages = study("digits", "protocol=paper").stages
    specs = [config.build_run(stage.base, {"method.alpha": 10, "method.radius": 2}) for stage in stages[:2]]
    specs.append(config.build_run(stages[2].base, {"benchmark": "digits", "split": 2}))
    assert [spec.protocol.epochs for spec in specs] == [600, 600, 600], "the file's epochs belong to protocol=short"
    assert specs[0].benchmark.name == "digits-all"
    later = study("digits", "protocol=paper", "protocol.epochs=50").stages[0]
    assert config.build_run(later.base, {}).protocol.epochs == 50


def test_a_profile_with_keys_of_the_command_line() -> None:
    assert config.profile("local", {"parallel": 3}).parallel == 3
    with pytest.raises(UnknownKey, match=r"unknown key cluster\.paralel;.*Did you mean cluster\.parallel"):
        config.profile("local", {"paralel": 3})
    with pytest.raises(InvalidValue, match=r"cluster\.parallel=0 is not possible"):
        config.profile("local", {"parallel": 0})


def test_folders_come_from_words_else_from_the_environment_else_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = config.settings_only([])
    assert (plain.root, plain.data_root) == (tmp_path / "outputs", tmp_path / "data")
    assert (plain.tracking_uri, plain.cluster) == ("", "local")
    monkeypatch.setenv("DIFAIR_ROOT", "/e/root")
    monkeypatch.setenv("DIFAIR_DATA", "/e/data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://here:1")
    set_by_shell = config.settings_only([])
    assert (set_by_shell.root, set_by_shell.data_root) == (Path("/e/root"), Path("/e/data"))
    assert set_by_shell.tracking_uri == "http://here:1"
    words = config.settings_only(["root=mine", "data_root=/w/data", "tracking_uri=none", "cluster=v100"])
    assert (words.root, words.data_root) == (tmp_path / "mine", Path("/w/data"))
    assert (words.tracking_uri, words.cluster) == ("none", "v100")


def test_how_a_run_is_executed() -> None:
    values = config.parse(["data_root=/d", "execution.threads=2", "seed=1"])
    execution = config.execution(values, config.settings(values))
    assert (execution.data_root, execution.threads) == ("/d", 2)
    assert values == {"seed": 1}


def test_the_users_own_files_come_first_and_may_extend_shipped_ones(own: Writer) -> None:
    own("sweeps/benchmark/digits16.yaml", "# @package _global_\ndefaults: [digits]\nbenchmark: {image_size: 16}\n")
    own("sweeps/method/cac.yaml", "name: cac\nalpha: 3.0\n")
    spec = run("benchmark=digits16", "method=cac")
    assert (spec.benchmark.name, spec.benchmark.image_size, spec.protocol.crop_padding) == ("digits", 16, 1)
    assert spec.method.alpha == 3.0
    assert run("method=difair").method == DifairSpec(), "the shipped ones stay"


def test_the_users_own_sweep_and_profile_come_first(own: Writer) -> None:
    own("sweeps/digits.yaml", "stages: {only: {search: final, benchmarks: [digits], methods: [cac]}}\n")
    own("slurm/local.yaml", "executor: local\nparallel: 7\n")
    assert [stage.name for stage in study("digits").stages] == ["only"]
    assert study("digits").name == "digits"
    assert config.profile("local").parallel == 7
    assert len(study("paper").stages) == 3


def test_another_folder_has_other_files(own: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own("sweeps/method/cac.yaml", "name: cac\nalpha: 3.0\n")
    assert run("method=cac").method.alpha == 3.0
    monkeypatch.chdir(tmp_path.parent)
    assert run("method=cac").method.alpha == 10.0
