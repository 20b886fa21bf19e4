"""The plan of a drill repeats from its seed, and leaves no kind out."""

from collections import Counter

from difair_hpc.drill.plan import MAX_PAUSE, drawn

WEIGHTS = {"kill": 4, "term": 4, "disk": 1}


def test_the_same_seed_draws_the_same_faults_and_another_seed_others() -> None:
    assert drawn(WEIGHTS, 50, seed=3) == drawn(WEIGHTS, 50, seed=3)
    assert drawn(WEIGHTS, 50, seed=3) != drawn(WEIGHTS, 50, seed=4)


def test_every_kind_comes_once_before_any_comes_twice() -> None:
    for seed in range(20):
        kinds = [fault.kind for fault in drawn(WEIGHTS, 12, seed)]
        assert sorted(kinds[:3]) == ["disk", "kill", "term"]


def test_kinds_come_as_often_as_their_weights_say() -> None:
    counts = Counter(fault.kind for fault in drawn(WEIGHTS, 3 + 9 * 10, seed=0))
    assert counts == {"kill": 41, "term": 41, "disk": 11}


def test_numbers_and_draws_are_in_their_ranges() -> None:
    faults = drawn(WEIGHTS, 200, seed=1)
    assert [fault.number for fault in faults] == list(range(1, 201))
    assert all(0 <= fault.target < 1 and 0 <= fault.place < 1 and 0 <= fault.pause <= MAX_PAUSE for fault in faults)
    assert 60 < sum(fault.live for fault in faults) < 140
