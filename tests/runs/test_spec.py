"""The identity of a run: what changes it, what does not, and what is refused as no run at all."""

import dataclasses
import json
import typing
from typing import Any

import pytest

from difair_hpc.data.spec import OPERATIONS
from difair_hpc.errors import DifairError, InvalidValue, UnknownKey
from difair_hpc.osr.spec import METHOD_SPECS, DifairSpec
from difair_hpc.runs.spec import ExecutionSpec, RunSpec, build, flat, plain, run_spec
from difair_hpc.train.spec import ProtocolSpec

DEFAULT = "72d6adead378"
"""Signature of the default run. If it changes, every run folder that was made before becomes another run: do that on
purpose only, with a new schema version and a line in the change log."""

WITHOUT_EFFECT = {"method.allow_overlap"}


def test_the_signature_of_the_default_run_stays() -> None:
    assert RunSpec().signature == DEFAULT


def other(hint: Any, value: Any) -> Any:
    """Return another allowed value of a field."""
    choices = [part for part in typing.get_args(hint) if isinstance(part, str)]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value * 1.01 or 0.5
    if isinstance(value, tuple):
        return ("Rotate",)
    return {"digits": "mnist", None: 3, 32: 40}.get(value, value + 1 if isinstance(value, int) else "")


def changed_by_one_field() -> list[tuple[str, RunSpec, RunSpec]]:
    """Return (key, run, the same run with another value of that key) for every field of every part."""
    found = []
    bases = [RunSpec(method=method()) for method in METHOD_SPECS.values()]
    for base in bases:
        for part_name in ("benchmark", "method", "network", "protocol"):
            part = getattr(base, part_name)
            hints = typing.get_type_hints(type(part))
            for field in dataclasses.fields(part):
                if field.name == "name" or (part_name != "method" and base is not bases[0]):
                    continue
                new = dataclasses.replace(part, **{field.name: other(hints[field.name], getattr(part, field.name))})
                found.append((f"{part_name}.{field.name}", base, dataclasses.replace(base, **{part_name: new})))
    default = RunSpec()
    mnist = dataclasses.replace(default.benchmark, name="mnist")
    return [
        *found,
        ("benchmark.name", default, dataclasses.replace(default, benchmark=mnist)),
        ("seed", default, dataclasses.replace(default, seed=1)),
    ]


CHANGES = changed_by_one_field()


def test_no_field_is_left_out_of_the_changes() -> None:
    fields = {key for method in METHOD_SPECS.values() for key in flat(RunSpec(method=method()).to_dict())}
    assert {key for key, _, _ in CHANGES} == fields - {"method.name"}


@pytest.mark.parametrize(("key", "one", "two"), CHANGES, ids=[f"{one.method.name}:{key}" for key, one, _ in CHANGES])
def test_every_field_that_matters_changes_the_signature(key: str, one: RunSpec, two: RunSpec) -> None:
    assert (one.signature == two.signature) == (key in WITHOUT_EFFECT)


def test_each_method_is_another_run() -> None:
    assert len({RunSpec(method=method()).signature for method in METHOD_SPECS.values()}) == len(METHOD_SPECS)


def test_equal_numbers_give_equal_runs_however_they_are_written() -> None:
    assert RunSpec(method=DifairSpec(alpha=10)).signature == RunSpec(method=DifairSpec(alpha=10.0)).signature
    assert run_spec({"method": {"alpha": 10}, "protocol": {"epochs": 600.0}}).signature == DEFAULT
    assert 0.1 + 0.2 != 0.3  # they differ in the last bit
    by_sum, written = (RunSpec(method=DifairSpec(radius_coefficient=c)) for c in (0.1 + 0.2, 0.3))
    assert by_sum.signature == written.signature
    # 12.649 / sqrt(2 * 5) / 10, worked out in two orders
    first, second = 12.649110640673518 / (10**0.5 * 10), 12.649110640673518 / 10**0.5 / 10
    signatures = {RunSpec(method=DifairSpec(radius_coefficient=c)).signature for c in (first, second, 0.4)}
    assert signatures == {DEFAULT}


def test_a_run_from_before_there_was_augmentation_keeps_its_signature() -> None:
    """As its spec.json says it; a later field at its first value is no part of what is hashed."""
    spec = RunSpec().to_dict()
    older = {key: value for key, value in spec["protocol"].items() if not key.startswith("augment")}
    assert len(older) == len(spec["protocol"]) - 4
    assert run_spec({**spec, "protocol": older}).signature == DEFAULT


def test_a_spec_survives_json() -> None:
    for method in METHOD_SPECS.values():
        protocol = ProtocolSpec(evaluate_every=7, learning_rate=0.1 + 0.2, augment_exclude=("Rotate", "Cutout"))
        run = RunSpec(method=method(), protocol=protocol, seed=2**32 - 1)
        read = json.loads(json.dumps(run.to_dict()))
        assert read == run.to_dict()
        assert run_spec(read) == run


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"benchmrk": {}},
            "unknown key benchmrk; valid here: benchmark, method, network, protocol, seed. Did you mean",
        ),
        ({"benchmark": {"splt": 1}}, "unknown key benchmark.splt; .* Did you mean benchmark.split"),
        ({"method": {"alfa": 1.0}}, "unknown key method.alfa; valid here: allow_overlap, alpha.* mean method.alpha"),
        (
            {"method": {"name": "cross_entropy", "alpha": 1.0}},
            "unknown key method.alpha; valid here: label_smoothing, name",
        ),
        ({"network": {"droput": "element"}}, "unknown key network.droput; .* Did you mean network.dropout"),
        ({"protocol": {"epoch": 5}}, "unknown key protocol.epoch; .* Did you mean protocol.epochs"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownKey, match=message):
        run_spec(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": "one"}, "seed=one is not possible: allowed is a whole number"),
        ({"seed": True}, "seed=True .* a whole number"),
        ({"seed": -1}, "seed=-1 .* from 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296 .* from 0 to 4294967295"),
        ({"method": {"alpha": "ten"}}, "method.alpha=ten .* a number"),
        ({"method": {"alpha": True}}, "method.alpha=True .* a number"),
        ({"method": {"alpha": float("nan")}}, "method.alpha=nan .* a number"),
        ({"method": {"alpha": float("inf")}}, "method.alpha=inf .* a number"),
        ({"method": {"alpha": None}}, "method.alpha=None .* a number"),
        ({"method": {"features_per_class": 2.5}}, "method.features_per_class=2.5 .* a whole number"),
        ({"method": {"allow_overlap": 1}}, "method.allow_overlap=1 .* true or false"),
        ({"method": {"radius_coefficient": 0.5}}, "method.radius_coefficient=0.5 .* below 0.5 .*allow_overlap=true"),
        ({"method": {"name": "difar"}}, "method=difar .* one of cross_entropy, cac, difair, difair_std"),
        ({"method": {"name": "arpl_cs", "beta": -0.1}}, "method.beta=-0.1 .* at least 0"),
        ({"method": {"name": "arpl_cs", "margin_weight": -1}}, "method.margin_weight=-1.0 .* at least 0"),
        ({"method": {"name": "arpl_cs", "noise": 0}}, "method.noise=0 .* at least 1"),
        ({"method": {"name": "arpl_cs", "gan_learning_rate": 0}}, "method.gan_learning_rate=0.0 .* above 0"),
        (
            {"method": {"name": "arpl_cs"}, "benchmark": {"image_size": 24}},
            "image_size=24 .* a power of 2 with arpl_cs",
        ),
        ({"method": {"name": ["difair"]}}, "method=.*difair.* one of cross_entropy, cac"),
        ({"method": "difair"}, "method=difair .* a mapping of keys to values"),
        ({"network": 5}, "network=5 .* a mapping of keys to values"),
        ({"protocol": None}, "protocol=None .* a mapping of keys to values"),
        ({"benchmark": {"name": 3}}, "benchmark.name=3 .* text"),
        ({"benchmark": {"split": 5}}, "split=5 .* from 0 to 4"),
        ({"network": {"dropout": "pixel"}}, "network.dropout=pixel .* one of element, channel"),
        ({"network": {"dropout": None}}, "network.dropout=None .* one of element, channel"),
        ({"protocol": {"schedule_unit": 1}}, "protocol.schedule_unit=1 .* one of epoch, batch"),
        ({"protocol": {"epochs": [1, 2]}}, "protocol.epochs=.* a whole number"),
        ({"protocol": {"evaluate_every": "often"}}, "protocol.evaluate_every=often .* a whole number"),
        ({"protocol": {"flip": "no"}}, "protocol.flip=no .* true or false"),
        ({"protocol": {"augment": "mixup"}}, "protocol.augment=mixup .* none, contrast_brightness, randaugment, rand"),
        ({"protocol": {"augment_operations": 0}}, "protocol.augment_operations=0 .* at least 1"),
        ({"protocol": {"augment_magnitude": -1}}, "protocol.augment_magnitude=-1.0 .* 0 to 30"),
        ({"protocol": {"augment": "randaugment", "augment_magnitude": 21}}, "augment_magnitude=21.0 .* 0 to 20"),
        ({"protocol": {"augment": "randaugment_vaze", "augment_magnitude": 31}}, "augment_magnitude=31.0 .* 0 to 30"),
        ({"protocol": {"augment_exclude": "Rotate"}}, "protocol.augment_exclude=Rotate .* a list"),
        ({"protocol": {"augment_exclude": [3]}}, "protocol.augment_exclude=3 .* text"),
        ({"protocol": {"augment_exclude": ["rotate"]}}, "augment_exclude=rotate .* AutoContrast, .*, SolarizeAdd"),
        ({"protocol": {"augment_exclude": list(OPERATIONS)}}, "augment_exclude=all operations .* leaves at least one"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as caught:
        run_spec(values)
    assert caught.value.exit_code == 2


def test_whole_numbers_are_taken_for_numbers_and_null_where_it_means_something() -> None:
    run = run_spec({"method": {"alpha": 10}, "protocol": {"epochs": 30.0, "evaluate_every": None}})
    assert run.method == DifairSpec(alpha=10.0)
    assert run.protocol.epochs == 30
    assert isinstance(run.protocol.epochs, int)
    assert run.protocol.evaluate_every is None


def test_execution_is_no_part_of_a_run() -> None:
    assert not {field.name for field in dataclasses.fields(ExecutionSpec)} & set(flat(RunSpec().to_dict()))
    chosen = ExecutionSpec(device="cuda:1", threads=4, checkpoint_epochs=2)
    assert build(ExecutionSpec, json.loads(json.dumps(plain(chosen))), key="execution") == chosen


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threads": 0}, "execution.threads=0"),
        ({"checkpoint_epochs": 0}, "execution.checkpoint_epochs=0"),
        ({"threads": "all"}, "execution.threads=all .* a whole number"),
        ({"thread": 1}, "execution.thread; .* Did you mean execution.threads"),
    ],
)
def test_an_impossible_execution_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DifairError, match=message):
        build(ExecutionSpec, values, key="execution")
