"""Optuna's side of a stage, on a real journal: numbers, proposals, and what is rebuilt after damage."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from difair_hpc.sweep.ledger import Trial
from difair_hpc.sweep.space import Parameters, grid
from difair_hpc.sweep.spec import Axis, StageSpec
from difair_hpc.sweep.study import Search

ALPHA = Axis(key="method.alpha", low=1.0, high=20.0, log=True)
COEFFICIENT = Axis(key="method.radius_coefficient", low=0.2, high=0.49)
FEATURES = Axis(key="method.features_per_class", values=(1, 2, 5))
BOTH = ("closed_set_accuracy", "occupancy")
GRID = (Axis(key="method.alpha", values=(2, 6.5)), Axis(key="method.radius", values=(1, 3)))

COARSE = StageSpec(name="coarse", search="grid", space=GRID)


def sampled(sampler: str = "tpe", objectives: tuple[str, ...] = BOTH) -> StageSpec:
    axes = (ALPHA, COEFFICIENT, FEATURES)
    return StageSpec(name="s", search="optuna", trials=9, space=axes, sampler=sampler, objectives=objectives)  # type: ignore[arg-type]


def opened(folder: Path, stage: StageSpec, trials: list[Trial] | None = None) -> Search:
    search = Search(journal=folder / "optuna.journal", name=f"study/{stage.name}", stage=stage, axes=stage.space)
    search.catch_up(trials or [])
    return search


def stored(folder: Path, stage: StageSpec) -> list[optuna.trial.FrozenTrial]:
    """Read with Optuna alone what the journal holds."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal")))
    return optuna.load_study(study_name=f"study/{stage.name}", storage=storage).trials


def recorded(search: Search, count: int, told: bool = True) -> list[Trial]:
    """Propose `count` trials and tell how well each did: a made-up landscape."""
    trials = []
    for _ in range(count):
        number, parameters = search.propose()
        trials.append(Trial(number=number, parameters=parameters, signature=f"run{number}"))
        if told:
            search.tell(number, landscape(parameters), signature=f"run{number}")
    return trials


def landscape(parameters: Parameters) -> dict[str, float | None]:
    accuracy = 1 - abs(parameters["method.alpha"] - 8) / 20
    return {"closed_set_accuracy": accuracy, "occupancy": 1 - parameters["method.radius_coefficient"], "auroc": None}


def test_grid_points_get_their_numbers(tmp_path: Path) -> None:
    search = opened(tmp_path, COARSE)
    points = grid(GRID)
    assert [search.propose(point) for point in points] == list(enumerate(points))
    assert search.told() == set()
    search.tell(2, {"closed_set_accuracy": 0.75, "occupancy": None}, signature="run2")
    held = stored(tmp_path, COARSE)
    assert [trial.params for trial in held] == points
    assert (held[2].values, held[2].user_attrs) == ([0.75], {"signature": "run2"})
    assert search.told() == {2}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_a_sampler_is_asked_and_told_with_two_objectives(tmp_path: Path, sampler: str) -> None:
    search = opened(tmp_path, sampled(sampler))
    trials = recorded(search, 12)  # TPE and GP draw at random until 10 trials have ended
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        assert 1 <= trial.parameters["method.alpha"] <= 20
        assert 0.2 <= trial.parameters["method.radius_coefficient"] <= 0.49
        assert trial.parameters["method.features_per_class"] in (1, 2, 5)
    assert len({trial.parameters["method.alpha"] for trial in trials}) == len(trials)
    first = stored(tmp_path, sampled(sampler))[0]
    assert first.values == [landscape(trials[0].parameters)[name] for name in BOTH]


@pytest.mark.parametrize("metrics", [None, {}, {"closed_set_accuracy": 0.5, "occupancy": None}])
def test_a_trial_without_its_metrics_fails(tmp_path: Path, metrics: dict[str, float | None] | None) -> None:
    search = opened(tmp_path, sampled("random"))
    recorded(search, 1, told=False)
    search.tell(0, metrics, signature="run0")
    assert stored(tmp_path, sampled())[0].state is optuna.trial.TrialState.FAIL
    assert search.told() == {0}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_proposals_depend_on_the_history_alone(tmp_path: Path, sampler: str) -> None:
    """One process without a break, and a process for each trial whose journal was lost each time, propose alike."""
    stage, count = sampled(sampler), 12
    (tmp_path / "whole").mkdir()
    expected = recorded(opened(tmp_path / "whole", stage), count)
    trials: list[Trial] = []
    for _ in range(count):
        search = opened(tmp_path, stage, trials)
        for trial in trials:
            if trial.number not in search.told():
                search.tell(trial.number, landscape(trial.parameters), signature=trial.signature)
        trials += recorded(search, 1)
        if len(trials) % 4 == 0:
            (tmp_path / "optuna.journal").unlink()
    assert trials == expected


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    trials = recorded(opened(tmp_path, sampled("random")), 3)
    again = opened(tmp_path, sampled("random"), trials)
    assert again.told() == {0, 1, 2}
    assert again.propose()[0] == 3
    assert not list(tmp_path.glob("*damaged*"))


def _tear(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-5])


def _garbage(journal: Path) -> None:
    journal.write_bytes(b"\x00\xff garbage\n" + journal.read_bytes())


def _foreign(journal: Path) -> None:
    journal.write_text('{"hello": 1}\n[2]\n')


def _hole(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[1:]))


@pytest.mark.parametrize("damage", [_tear, _garbage, _foreign, _hole, Path.unlink], ids=lambda damage: damage.__name__)
def test_a_damaged_or_deleted_journal_is_rebuilt_from_the_ledger(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    trials = recorded(opened(tmp_path, sampled("random")), 4)
    damage(tmp_path / "optuna.journal")
    again = opened(tmp_path, sampled("random"), trials)
    assert [trial.params for trial in stored(tmp_path, sampled())] == [trial.parameters for trial in trials]
    for number in {0, 1, 2, 3} - again.told():
        again.tell(number, landscape(trials[number].parameters), signature=f"run{number}")
    assert again.propose()[0] == 4
    kept = list(tmp_path.glob("optuna.journal.damaged-*"))
    assert len(kept) == (damage in (_tear, _garbage, _foreign)), "what cannot be read is moved aside, not deleted"


def test_a_writer_that_dies_at_any_line_of_the_journal_leaves_no_wrong_trial(tmp_path: Path) -> None:
    """The journal ends after each of its lines in turn, while the ledger has all trials but the last, or all."""
    stage = sampled("random")
    trials = recorded(opened(tmp_path, stage), 2)
    search = opened(tmp_path, stage, trials)
    points = [{"method.alpha": 3.0, "method.radius_coefficient": 0.3, "method.features_per_class": 2}]
    number, parameters = search.propose(points[0])
    trials.append(Trial(number=number, parameters=parameters, signature="run2"))
    lines = (tmp_path / "optuna.journal").read_bytes().splitlines(keepends=True)
    assert len(lines) > 12
    for count in range(1, len(lines) + 1):
        for known in (trials[:2], trials):
            place = tmp_path / f"{count}-{len(known)}"
            place.mkdir()
            (place / "optuna.journal").write_bytes(b"".join(lines[:count]))
            again = opened(place, stage, known)
            held = stored(place, stage)
            assert [trial.params for trial in held] == [trial.parameters for trial in known]
            assert all(trial.state is not optuna.trial.TrialState.WAITING for trial in held)
            assert again.propose(points[0]) == (len(known), points[0])


def test_catching_up_with_what_is_held_writes_nothing(tmp_path: Path) -> None:
    search = opened(tmp_path, COARSE)
    trials = [Trial(number=n, parameters=search.propose(p)[1], signature=str(n)) for n, p in enumerate(grid(GRID))]
    before = (tmp_path / "optuna.journal").read_bytes()
    search.catch_up(trials)
    assert (tmp_path / "optuna.journal").read_bytes() == before


def test_two_stages_share_a_journal(tmp_path: Path) -> None:
    opened(tmp_path, COARSE).propose(grid(GRID)[0])
    trials = recorded(opened(tmp_path, sampled("random")), 2)
    assert len(stored(tmp_path, COARSE)) == 1
    assert [trial.params for trial in stored(tmp_path, sampled())] == [trial.parameters for trial in trials]


@pytest.mark.timeout(20)  # Optuna itself would wait 30 seconds for a lock that nobody holds
def test_a_lock_that_a_dead_writer_left_behind_does_not_hang(tmp_path: Path) -> None:
    trials = recorded(opened(tmp_path, sampled("random")), 1)
    journal = tmp_path / "optuna.journal"
    journal.with_name(f"{journal.name}.lock").symlink_to(journal)
    (tmp_path / "optuna.journal.lock.rename").write_text("")
    assert opened(tmp_path, sampled("random"), trials).propose()[0] == 1


def test_a_whole_number_axis_gives_whole_numbers(tmp_path: Path) -> None:
    axis = Axis(key="method.features_per_class", low=1, high=4, whole=True)
    stage = StageSpec(name="n", search="optuna", trials=3, sampler="random", space=(axis,))
    found = [trial.parameters["method.features_per_class"] for trial in recorded_one(opened(tmp_path, stage), 6)]
    assert all(isinstance(value, int) and 1 <= value <= 4 for value in found)


def recorded_one(search: Search, count: int) -> list[Trial]:
    return [Trial(number=n, parameters=p, signature="") for n, p in (search.propose() for _ in range(count))]
