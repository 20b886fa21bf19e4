"""Where the rungs are, who goes on from them, and what Optuna's pruner says: worked by hand."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.ledger import Rung
from difair_hpc.sweep.rungs import check_rungs, rung_epochs, verdict
from difair_hpc.sweep.spec import ChoiceRule, StageSpec
from difair_hpc.train.spec import ProtocolSpec
from tests.sweep.studies import COARSE

STAGE = dataclasses.replace(COARSE, prune="restarts", choose=ChoiceRule())
PAPER = ProtocolSpec(epochs=600, cycles=3, evaluate_every=20)


def at(run: str, value: float, *, cycle: int = 1, eligible: bool = True) -> Rung:
    """Return a run that has come to a rung."""
    metric = "closed_set_accuracy"
    return Rung(run=run, cycle=cycle, epoch=200 * cycle, metric=metric, value=value, eligible=eligible)


def come(values: Sequence[float], *, stage: StageSpec = STAGE, done: bool = False) -> list[Rung]:
    """Let runs come to the first rung one after another."""
    rungs: list[Rung] = []
    for number, value in enumerate(values):
        rungs.append(verdict(rungs, at(f"run{number}", value), stage, done=done))
    return rungs


def stopped(rungs: Sequence[Rung]) -> list[int]:
    return [number for number, rung in enumerate(rungs) if rung.pruned]


@pytest.mark.parametrize(
    ("epochs", "cycles", "expected"),
    [
        (600, 3, {1: 200, 2: 400}),
        (30, 3, {1: 10, 2: 20}),
        (600, 2, {1: 300}),
        (600, 1, {}),
        (40, 4, {1: 10, 2: 20}),
        (50, 5, {1: 10, 2: 20, 4: 40}),
    ],
)
def test_rungs_are_ends_of_cycles_each_at_twice_the_epochs(epochs: int, cycles: int, expected: dict[int, int]) -> None:
    assert rung_epochs(ProtocolSpec(epochs=epochs, cycles=cycles, warmup_epochs=None)) == expected


def test_the_first_at_a_rung_goes_on_and_others_when_they_are_in_the_better_half() -> None:
    # One goes on of 1, 2 and 3; two of 4 and 5; three of 6.
    rungs = come([0.5, 0.4, 0.6, 0.55, 0.54, 0.55])
    assert stopped(rungs) == [1, 4]
    assert [(rung.reached, rung.needed) for rung in rungs] == [
        (1, 0.5), (2, 0.5), (3, 0.6), (4, 0.55), (5, 0.55), (6, 0.55),
    ]  # fmt: skip
    assert str(rungs[1]) == (
        "closed_set_accuracy 0.4000 at epoch 200; 0.5000 was needed among the 2 runs that had come so far"
    )


def test_the_second_rung_compares_those_that_came_there() -> None:
    first = come([0.5, 0.6, 0.7])
    assert stopped(first) == []
    rungs = [*first, verdict(first, at("run2", 0.8, cycle=2), STAGE, done=False)]
    third = verdict(rungs, at("run0", 0.79, cycle=2), STAGE, done=False)
    assert (rungs[-1].pruned, third.pruned, third.reached, third.needed) == (False, True, 2, 0.8)


def test_as_good_as_the_best_by_the_choice_rule_is_never_stopped() -> None:
    even = dataclasses.replace(STAGE, choose=ChoiceRule(tolerance=0.05))
    rungs = come([0.90, 0.95, 0.96, 0.94, 0.92, 0.85], stage=even)
    assert stopped(rungs) == [5]
    assert stopped(come([0.90, 0.95, 0.96, 0.94, 0.92, 0.85])) == [3, 4, 5]


def test_what_cannot_be_chosen_pushes_nobody_out_but_may_be_stopped() -> None:
    before = [dataclasses.replace(rung, eligible=False) for rung in come([0.99, 0.98])]
    good = verdict(before, at("new", 0.5), STAGE, done=False)
    assert (good.pruned, good.reached) == (False, 1)
    worse = verdict([*before, good], at("other", 0.4, eligible=False), STAGE, done=False)
    assert (worse.pruned, worse.reached) == (True, 2)


def test_a_run_that_is_done_is_compared_with_and_not_stopped() -> None:
    assert stopped(come([0.5, 0.4, 0.3], done=True)) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=9))
def test_what_is_said_to_be_needed_is_what_optuna_asks_for(values: list[float]) -> None:
    assert all(rung.pruned == (rung.value < rung.needed) for rung in come(values))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluate_every": None},
            r"protocol.evaluate_every=null \(every 60 epochs\) is not possible: allowed is a divisor of 200, the "
            "length of a cycle in epochs, where stages.coarse has prune=restarts",
        ),
        ({"epochs": 500}, "protocol.epochs=500 is not possible: allowed is a multiple of protocol.cycles=3 where"),
        ({"cycles": 1}, "protocol.cycles=1 is not possible: allowed is 2 or more where"),
    ],
)
def test_cycles_that_cannot_be_compared_are_refused(changes: dict[str, int | None], message: str) -> None:
    check_rungs(STAGE, [PAPER, PAPER])
    wrong = dataclasses.replace(PAPER, **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=message):
        check_rungs(STAGE, [wrong])
    check_rungs(COARSE, [wrong])


def test_a_searched_number_of_epochs_is_refused() -> None:
    with pytest.raises(InvalidValue, match="protocol.epochs=300 is not possible: allowed is the same for all runs"):
        check_rungs(STAGE, [PAPER, dataclasses.replace(PAPER, epochs=300)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choose": None}, "stages.coarse.prune=restarts .*null where nothing is chosen"),
        (
            {"search": "optuna", "trials": 3, "objectives": ("closed_set_accuracy", "occupancy")},
            "stages.coarse.prune=restarts .*null with 2 objectives",
        ),
    ],
)
def test_stages_that_cannot_be_pruned_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        dataclasses.replace(STAGE, **changes)  # type: ignore[arg-type]
