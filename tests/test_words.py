"""Words `key=value`: text stays text, folders may have any sign, and what is written is read back."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from difair_hpc import config
from difair_hpc.errors import InvalidValue, UserError
from tests.fuzz.cases import SCALE

SIGNS = "'\"\\ ,()[]{}$%&#=~:;*?!@|<>`^\n\t-aüN0._1e/"
TEXTS = st.text(st.one_of(st.sampled_from(SIGNS), st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
FOLDERS = (
    "a,b", "(x)", "[x]", "[a,b]", "{a}", "{a: 1}", "a & b", "a#b", "ü", "it's", '"', "a=b", "50%", "%j", "$HOME",
    "${x}", "~", "~me", "a\\b", "a:b", "a;b", "a*", "a?", "!", "a@b", "a|b", " a ", "a\nb", "-a", "2024_11_28", "1e3",
    "0x10", "true", "null", "nan", "007", "12:30", "choice(a,b)", "range(3)", "''",
)  # fmt: skip


@settings(max_examples=400 * SCALE, deadline=None)
@given(TEXTS)
def test_what_is_written_is_read_back_and_by_earlier_versions_too(text: str) -> None:
    word = config.word("root", text)
    assert config.parse([word]) == {"root": text}
    assert OverridesParser.create().parse_override(word).value() == text, "they knew Hydra's grammar alone"


@settings(max_examples=100 * SCALE, deadline=None)
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.lists(TEXTS.filter(bool))))
def test_plain_values_are_read_back(value: Any) -> None:
    assert config.parse([config.word("x.y", value)]) == {"x.y": value}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("key", ["root", "data_root"])
def test_a_folder_is_taken_as_it_is_typed_and_as_the_environment_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name != "''":  # quotes around all of it are taken off
        assert getattr(config.settings_only([f"{key}={name}"]), key) == tmp_path / name
    monkeypatch.setenv({"root": "DIFAIR_ROOT", "data_root": "DIFAIR_DATA"}[key], name)
    where = config.settings_only([])
    assert getattr(where, key) == tmp_path / name
    monkeypatch.delenv({"root": "DIFAIR_ROOT", "data_root": "DIFAIR_DATA"}[key])
    assert config.settings_only(where.as_words()) == where, "a job has another environment and another folder"


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("study=2024_11_28", "study", "2024_11_28"),
        ("cluster=1e3", "cluster", "1e3"),
        ("cluster.account=0123", "cluster.account", "0123"),
        ("cluster.partition=1e3", "cluster.partition", "1e3"),
        ("cluster.qos=true", "cluster.qos", "true"),
        ("cluster.partition=a,b", "cluster.partition", "a,b"),
        ("cluster.constraint=v100|rtx6000", "cluster.constraint", "v100|rtx6000"),
        ("cluster.constraint=[v100&ib]", "cluster.constraint", "[v100&ib]"),
        ("cluster.partition=null", "cluster.partition", None),
        ('cluster.partition="null"', "cluster.partition", "null"),
        ("cluster.sbatch.reservation=007", "cluster.sbatch.reservation", "007"),
        ("cluster.sbatch.mail-type=END,FAIL", "cluster.sbatch.mail-type", "END,FAIL"),
        ("cluster.sbatch.exclusive=true", "cluster.sbatch.exclusive", True),
        ("cluster.setup=[module load cuda, ulimit -n 4096]", "cluster.setup", ["module load cuda", "ulimit -n 4096"]),
        ("cluster.setup=['export A=1,2']", "cluster.setup", ["export A=1,2"]),
        ("tracking_uri=http://h:1/a?b=[c]", "tracking_uri", "http://h:1/a?b=[c]"),
        ("storage=postgresql://h/d?options=-c%20x", "storage", "postgresql://h/d?options=-c%20x"),
        ("benchmark=1e3", "benchmark", "1e3"),
        ("benchmark.name=true", "benchmark.name", "true"),
        ("method.variant=0x10", "method.variant", "0x10"),
        ("network.dropout=null", "network.dropout", "null"),
        ("execution.device=cuda:1", "execution.device", "cuda:1"),
        ("stages.final.benchmarks=[digits, 1e3]", "stages.final.benchmarks", ["digits", "1e3"]),
        ("stages.final.methods=[]", "stages.final.methods", []),
        ("stages.a.search=true", "stages.a.search", "true"),
        ("stages.a.choose.of=method.alpha", "stages.a.choose.of", "method.alpha"),
        ("stages.a.space.method=[cac,1e3]", "stages.a.space.method", ["cac", "1e3"]),
        ("stages.a.space.method={chosen_in: b}", "stages.a.space.method", {"chosen_in": "b"}),
        ("stages.a.base.network.dropout=on", "stages.a.base.network.dropout", "on"),
        ("method.alpha=1e-3", "method.alpha", 0.001),
        ("protocol.flip=true", "protocol.flip", True),
        ("+seed=3", "seed", 3),
    ],
)
def test_text_stays_text_where_the_key_is_text(word: str, key: str, value: object) -> None:
    assert config.parse([word]) == {key: value}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ('storage="postgresql://h/d"', "postgresql://h/d"),
        ('tracking_uri="sqlite:////a b/m.db"', "sqlite:////a b/m.db"),
        ("root=/u/run,2", "/u/run,2"),
        (r"root='it\'s'", "it's"),
    ],
)
def test_words_that_earlier_versions_have_written_are_read_as_they_were_meant(word: str, value: str) -> None:
    assert list(config.parse([word]).values()) == [value]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["root=/a", "b"], "If it belongs to the word before it, type 'root=/a b'."),
        (["cluster.setup=[a(b]"], """type "cluster.setup=['a(b']"."""),
        (["stages.final.seeds=0,1"], "a list in brackets. Type 'stages.final.seeds=[0,1]'."),
        (["seed=0,1,2"], "'stages.final.seeds=[0,1,2]'"),
        (["seed=[0,1]"], "'stages.final.seeds=[0,1]'"),
        (["split=choice(0,1)"], "'stages.final.splits=[0,1]'"),
        (["method.alpha=1,2"], "'stages.coarse.space.method.alpha=[1,2]'"),
        (["~seed"], "~stages.… or ~cluster.…"),
        (["~root=x"], "Any other key takes one value"),
    ],
)
def test_a_message_says_what_to_type(words: list[str], part: str) -> None:
    with pytest.raises(UserError) as caught:
        config.parse(words)
    assert part in str(caught.value)


def test_a_relative_file_of_mlflow_is_the_same_file_for_jobs_that_stand_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a?b%20"
    folder.mkdir()
    monkeypatch.chdir(folder)
    from sqlalchemy import make_url

    assert make_url(config.settings_only(["tracking_uri=sqlite:///m.db"]).tracking_uri).database == str(folder / "m.db")


@pytest.mark.parametrize(
    "address",
    ["htp://foo", "http://", "http:/there", "localhost:5000", "sqlite:x.db", "sqlite:////a?b/m.db", "https://h:x"],
)
def test_an_address_that_mlflow_could_not_use_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue, match="tracking_uri="):
        config.settings_only([f"tracking_uri={address}"])
