"""YAML files as people mean them: numbers, text that looks like one, names, and files of other tools."""

from pathlib import Path

import pytest

from difair_hpc import config
from difair_hpc.cli import main
from difair_hpc.config.yamls import read_yaml
from difair_hpc.errors import InvalidValue, UserError
from tests.test_config import Writer, own_files, run, study

FINAL = "{search: final, benchmarks: [digits], methods: [cac], base: {protocol: short}}"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    return own_files(tmp_path, monkeypatch)


NUMBERS = [
    ("1e-3", 0.001),
    ("1E3", 1000.0),
    (".5e-2", 0.005),
    ("5.e1", 50.0),
    ("1_000.5", 1000.5),
    ("010", 10),
    ("0x10", 16),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_numbers_are_read_as_everybody_means_them_in_sweeps_groups_and_profiles(
    own: Writer, text: str, number: float
) -> None:
    own(
        "sweeps/one.yaml",
        f"stages:\n  a:\n    search: grid\n    base: {{benchmark: digits}}\n    space: {{method.alpha: [{text}]}}\n",
    )
    own("sweeps/method/cac.yaml", f"name: cac\nalpha: {text}\n")
    own("slurm/mine.yaml", f"checkpoint_seconds: {text}\n")
    assert study("one").stages[0].space[0].values == (number,)
    assert run("method=cac").method.alpha == number
    assert config.profile("mine").checkpoint_seconds == number


@pytest.mark.parametrize("text", ["0123", "1e3", "on", "2024_11_28", "12:30", "2024-11-28", "0x10", "true", ".inf"])
def test_text_that_looks_like_something_else_stays_text(own: Writer, text: str) -> None:
    own("slurm/mine.yaml", f"account: {text}\npartition: {text}\nsetup: [{text}]\nsbatch: {{wckey: {text}}}\n")
    profile = config.profile("mine")
    assert (profile.account, profile.partition, profile.setup) == (text, text, (text,))
    assert str(profile.sbatch["wckey"]) == {"on": "True", "true": "True"}.get(text, text), "options may be switches"


def test_names_and_null_in_files(own: Writer) -> None:
    own("sweeps/one.yaml", f"study: 2024_11_28\nstages: {{0x1: {FINAL}, on: {FINAL}}}\n")
    found = study("one")
    assert (found.name, [stage.name for stage in found.stages]) == ("2024_11_28", ["0x1", "on"])
    own("slurm/mine.yaml", "account: null\ngres: ~\nqos: 'null'\nsbatch: {exclusive: true, mem: null}\n")
    profile = config.profile("mine")
    assert (profile.account, profile.gres, profile.qos) == (None, None, "null")
    assert dict(profile.sbatch) == {"exclusive": True, "mem": None}


def test_quoted_numbers_are_text_and_anchors_and_merges_are_followed(own: Writer, tmp_path: Path) -> None:
    own(
        "sweeps/one.yaml", "stages:\n  a: &a {search: grid, base: {network.dropout: 1e3}}\n  b: {<<: *a, trials: 1e1}\n"
    )
    content = read_yaml(tmp_path / "sweeps/one.yaml")["stages"]
    assert content["b"] == {"search": "grid", "base": {"network.dropout": "1e3"}, "trials": 10.0}
    own("sweeps/two.yaml", "stages: {a: {search: grid, base: {method.alpha: '1e-3'}}}\n")
    with pytest.raises(UserError, match=r"sweeps/two\.yaml: method\.alpha=1e-3 .*a number"):
        study("two")


def test_a_key_that_stands_twice_is_refused(own: Writer) -> None:
    own("sweeps/one.yaml", f"stages:\n  a: {FINAL}\n  a: {FINAL}\n")
    with pytest.raises(UserError, match=r"one\.yaml is not valid YAML: the key a occurs twice"):
        study("one")


@pytest.mark.parametrize(
    "name", ["../q x", "a/b", "/abs", ".hidden", "-x", "a b", "ü", "", "a" * 101, "a\nb", "train", "a'b", "a%j"]
)
def test_a_name_of_a_study_that_no_folder_or_job_could_bear_is_refused(own: Writer, name: str) -> None:
    own("sweeps/one.yaml", f"stages: {{a: {FINAL}}}\n")
    with pytest.raises(InvalidValue, match="study="):
        config.study("one", {"study": name})
    if name != "train":
        own("sweeps/two.yaml", f"stages: {{{name!r}: {FINAL}}}\n")
        with pytest.raises(UserError, match="stages="):
            study("two")
    kept = config.study("one", {"study": name}, lambda known: ["a"] if known == name else None)
    assert kept.name == name, "one that was begun by an earlier version goes on"


@pytest.mark.parametrize("key", ["sweep", "cluster"])
@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "-x", ".x", "x/", "x" * 300, "a\0b"])
def test_names_of_files_do_not_leave_their_folder(own: Writer, key: str, name: str) -> None:
    own("x.yaml", f"stages: {{a: {FINAL}}}\n")
    own("sweeps/y.yaml", "")
    own("slurm/y.yaml", "")
    with pytest.raises(InvalidValue, match=rf"{key}=.* the name of a file in (sweeps|slurm)/"):
        study(name) if key == "sweep" else config.profile(name)


def test_the_name_of_a_file_with_its_ending_is_put_right(own: Writer) -> None:
    own("sweeps/team/one.yaml", f"study: one\nstages: {{a: {FINAL}}}\n")
    with pytest.raises(InvalidValue, match="Write digits: the name without its ending"):
        study("digits.yaml")
    assert study("team/one").name == "one"
    own("slurm/mine.yml", "")
    with pytest.raises(InvalidValue, match=r"slurm/mine\.yml would be read if it ended in \.yaml"):
        config.profile("mine")


FOREIGN = "program: train.py\nmethod: bayes\nparameters: {lr: {min: 1e-3}}\n"


@pytest.mark.parametrize(
    ("files", "words", "parts"),
    [
        (
            {"sweeps/config.yaml": FOREIGN},
            ["benchmark=digits"],
            ["sweeps/config.yaml", "lack benchmark, method, protocol"],
        ),
        ({"sweeps/config.yaml": "- a\n"}, ["benchmark=digits"], ["sweeps/config.yaml must hold a mapping"]),
        ({"sweeps/config.yaml": "defaults: [model: x]\n"}, ["seed=1"], ["sweeps/config.yaml", "lack"]),
        ({"sweeps/config.yaml": "\0"}, ["seed=1"], ["sweeps/config.yaml is not valid YAML"]),
        (
            {"sweeps/config.yaml": "defaults: [protocol: paper, benchmark: digits, method: cac, _self_]\nlr: 3\n"},
            ["seed=1"],
            ["sweeps/config.yaml: unknown key lr"],
        ),
        (
            {"sweeps/benchmark/x.yaml": "image: python:3\n"},
            ["benchmark=x"],
            ["sweeps/benchmark/x.yaml", "benchmark.image"],
        ),
        ({"sweeps/benchmark/x.yaml": "[1, 2]\n"}, ["benchmark=x"], ["sweeps/benchmark/x.yaml must hold a mapping"]),
        (
            {"sweeps/benchmark/x.yaml": "name: foo\n"},
            ["benchmark=x"],
            ["sweeps/benchmark/x.yaml: benchmark.name=foo", "digits"],
        ),
        ({"sweeps/benchmark/x.yaml": "defaults: 3\n"}, ["benchmark=x"], ["sweeps/benchmark/x.yaml"]),
        ({"sweeps/method/x.yaml": "name: bayes\n"}, ["method=x"], ["sweeps/method/x.yaml: method=bayes"]),
    ],
)
def test_a_file_of_another_tool_is_named_and_what_it_lacks(
    own: Writer, files: dict[str, str], words: list[str], parts: list[str]
) -> None:
    for name, text in files.items():
        own(name, text)
    with pytest.raises(UserError) as caught:
        run(*words)
    for part in parts:
        assert part in str(caught.value)
    assert str(caught.value).count(".yaml") <= 2, "this file, and perhaps a pattern"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (FOREIGN, ["sweeps/x.yaml names no stages"]),
        ("stages: {train: {cmd: python train.py, deps: [data]}}\n", ["sweeps/x.yaml: stages.train.search=nothing"]),
    ],
)
def test_a_sweep_of_another_tool_is_named(own: Writer, text: str, parts: list[str]) -> None:
    own("sweeps/x.yaml", text)
    with pytest.raises(UserError) as caught:
        study("x")
    for part in parts:
        assert part in str(caught.value)


def test_a_profile_of_another_tool_is_named_but_not_for_a_mistake_in_a_word(own: Writer) -> None:
    own("slurm/x.yaml", "image: python:3\n")
    own("slurm/y.yaml", "parallel: 0\n")
    with pytest.raises(UserError, match=r"slurm/x\.yaml: unknown key cluster\.image"):
        config.profile("x")
    with pytest.raises(UserError, match=r"^unknown key cluster\.paralel"):
        config.profile("y", {"paralel": 3, "parallel": 3})
    assert config.profile("y", {"parallel": 3}).parallel == 3


def test_what_is_no_file_is_named(own: Writer, tmp_path: Path) -> None:
    own("sweeps/keep.yaml", "")
    (tmp_path / "sweeps/digits.yaml").mkdir()
    (tmp_path / "sweeps/tpe.yaml").symlink_to("tpe.yaml")
    (tmp_path / "sweeps/benchmark").mkdir()
    (tmp_path / "sweeps/benchmark/mnist.yaml").mkdir()
    for name, what in (("digits", "is a folder"), ("tpe", "is a link to nothing")):
        with pytest.raises(UserError, match=rf"sweeps/{name}\.yaml {what}; rename or remove it"):
            study(name)
    assert run("benchmark=mnist").benchmark.name == "mnist"
    with pytest.raises(UserError, match=r"one of .*, keep, paper, "):
        study("nothing")


def test_a_file_that_cannot_be_read_is_named(own: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    own("sweeps/x.yaml", "")

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(UserError, match=r"sweeps/x\.yaml cannot be read: Permission denied"):
        study("x")


@pytest.mark.parametrize("name", ["a b", "a%20b", "ü#", "${x}", "a,b=[c]", "it's"])
def test_own_files_are_found_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    own = own_files(tmp_path, monkeypatch)
    own(f"{name}/sweeps/method/cac.yaml", "name: cac\nalpha: 3.0\n")
    monkeypatch.chdir(tmp_path / name)
    assert run("method=cac").method.alpha == 3.0


def test_folders_that_are_files_or_hold_no_yaml_do_no_harm(own: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    own("sweeps", "a file")
    own("slurm/submit.sh", "#!/bin/sh\n")
    assert main(["sweep", "digits", "-n"]) == 0
    assert "9 runs are certain" in capsys.readouterr().out
