"""Optuna's side of a stage, on a real journal and a real database: numbers, proposals, and what is rebuilt."""

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from difair_hpc.sweep.ledger import Trial
from difair_hpc.sweep.space import Parameters, grid
from difair_hpc.sweep.spec import Axis, StageSpec
from difair_hpc.sweep.study import Search
from tests.stores import Store

ALPHA = Axis(key="method.alpha", low=1.0, high=20.0, log=True)
COEFFICIENT = Axis(key="method.radius_coefficient", low=0.2, high=0.49)
FEATURES = Axis(key="method.features_per_class", values=(1, 2, 5))
BOTH = ("closed_set_accuracy", "occupancy")
GRID = (Axis(key="method.alpha", values=(2, 6.5)), Axis(key="method.radius", values=(1, 3)))

COARSE = StageSpec(name="coarse", search="grid", space=GRID)
POINTS = [Trial(number=number, parameters=point, signature=f"run{number}") for number, point in enumerate(grid(GRID))]


def sampled(sampler: str = "tpe", objectives: tuple[str, ...] = BOTH) -> StageSpec:
    axes = (ALPHA, COEFFICIENT, FEATURES)
    return StageSpec(name="s", search="optuna", trials=9, space=axes, sampler=sampler, objectives=objectives)  # type: ignore[arg-type]


def opened(store: Store, stage: StageSpec, trials: list[Trial] | None = None) -> Search:
    search = Search(storage=store.place, name=f"study/{stage.name}", stage=stage, axes=stage.space)
    search.catch_up(trials or [])
    return search


def stored(store: Store, stage: StageSpec) -> list[FrozenTrial]:
    """Read with Optuna alone what the storage holds."""
    return list(store.trials(f"study/{stage.name}"))


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


class TestSearch:
    """The same behaviour over both storages."""

    def test_grid_points_get_their_numbers(self, store: Store) -> None:
        search = opened(store, COARSE, POINTS)
        assert search.told() == set()
        search.tell(2, {"closed_set_accuracy": 0.75, "occupancy": None}, signature="run2")
        held = stored(store, COARSE)
        assert [(trial.number, trial.params) for trial in held] == [
            (point.number, point.parameters) for point in POINTS
        ]
        assert (held[2].values, held[2].user_attrs) == ([0.75], {"signature": "run2"})
        assert {trial.number for trial in held if trial.state is TrialState.RUNNING} == {0, 1, 3}
        assert search.told() == {2}

    @pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
    def test_a_sampler_is_asked_and_told_with_two_objectives(self, store: Store, sampler: str) -> None:
        search = opened(store, sampled(sampler))
        trials = recorded(search, 12)  # TPE and GP draw at random until 10 trials have ended
        assert [trial.number for trial in trials] == list(range(len(trials)))
        for trial in trials:
            assert 1 <= trial.parameters["method.alpha"] <= 20
            assert 0.2 <= trial.parameters["method.radius_coefficient"] <= 0.49
            assert trial.parameters["method.features_per_class"] in (1, 2, 5)
        assert len({trial.parameters["method.alpha"] for trial in trials}) == len(trials)
        first = stored(store, sampled(sampler))[0]
        assert first.values == [landscape(trials[0].parameters)[name] for name in BOTH]

    @pytest.mark.parametrize("metrics", [None, {}, {"closed_set_accuracy": 0.5, "occupancy": None}])
    def test_a_trial_without_its_metrics_fails(self, store: Store, metrics: dict[str, float | None] | None) -> None:
        search = opened(store, sampled("random"))
        recorded(search, 1, told=False)
        search.tell(0, metrics, signature="run0")
        assert stored(store, sampled())[0].state is TrialState.FAIL
        assert search.told() == {0}

    @pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
    def test_proposals_depend_on_the_history_alone(self, store: Store, sampler: str) -> None:
        """One process without a break, and one for each trial whose storage was lost each time, propose alike."""
        stage, count = sampled(sampler), 12
        expected = recorded(opened(store, stage), count)
        store.lose()
        trials: list[Trial] = []
        for _ in range(count):
            search = opened(store, stage, trials)
            for trial in trials:
                if trial.number not in search.told():
                    search.tell(trial.number, landscape(trial.parameters), signature=trial.signature)
            trials += recorded(search, 1)
            if len(trials) % 4 == 0:
                store.lose()
        assert trials == expected

    def test_a_restart_goes_on_where_it_was(self, store: Store) -> None:
        trials = recorded(opened(store, sampled("random")), 3)
        again = opened(store, sampled("random"), trials)
        assert again.told() == {0, 1, 2}
        assert again.propose()[0] == 3

    def test_a_storage_that_was_lost_is_rebuilt_from_the_ledger(self, store: Store) -> None:
        trials = recorded(opened(store, sampled("random")), 4)
        before = stored(store, sampled())
        store.lose()
        again = opened(store, sampled("random"), trials)
        assert again.told() == set()
        for trial in trials:
            again.tell(trial.number, landscape(trial.parameters), signature=trial.signature)
        for old, new in zip(before, stored(store, sampled()), strict=True):
            assert new.params == old.params
            assert [type(value) for value in new.params.values()] == [type(value) for value in old.params.values()]
            assert new.distributions == old.distributions
            assert (new.number, new.state, new.values) == (old.number, old.state, old.values)
            assert new.user_attrs == old.user_attrs
        assert again.propose()[0] == 4

    @pytest.mark.parametrize("half", ["waiting", "empty", "without its last key", "other values", "one too many"])
    def test_what_a_dead_writer_left_is_made_anew(self, store: Store, half: str) -> None:
        stage = sampled("random")
        search = opened(store, stage)
        trials = recorded(search, 2)
        study, point = search._study, trials[0].parameters
        if half == "waiting":
            study.enqueue_trial(point)
        elif half == "empty":
            study.ask()
        elif half == "without its last key":
            study.ask(dict(list(search._distributions.items())[:-1]))
        else:
            study.add_trial(create_trial(state=TrialState.RUNNING, params=point, distributions=search._distributions))
        if half != "one too many":  # the ledger had the trial already
            other = {**point, "method.alpha": 3.0}
            trials.append(Trial(number=2, parameters=other, signature="run2"))
        again = opened(store, stage, trials)
        held = stored(store, stage)
        assert [trial.params for trial in held] == [trial.parameters for trial in trials]
        assert {trial.state for trial in held} == {TrialState.RUNNING}
        assert again.propose()[0] == len(trials)

    def test_catching_up_with_what_is_held_writes_nothing(self, store: Store) -> None:
        opened(store, COARSE, POINTS).tell(1, {"closed_set_accuracy": 0.5}, signature="run1")
        before = stored(store, COARSE)
        again = opened(store, COARSE, POINTS)
        again.catch_up(POINTS)
        assert stored(store, COARSE) == before
        assert again.told() == {1}

    def test_trials_are_added_while_others_have_ended(self, store: Store) -> None:
        search = opened(store, COARSE, POINTS[:2])
        search.tell(0, {"closed_set_accuracy": 0.5}, signature="run0")
        search.catch_up(POINTS)
        assert search.told() == {0}
        assert [trial.state for trial in stored(store, COARSE)] == [TrialState.COMPLETE, *[TrialState.RUNNING] * 3]

    def test_two_stages_share_a_storage(self, store: Store) -> None:
        opened(store, COARSE, POINTS[:1])
        trials = recorded(opened(store, sampled("random")), 2)
        opened(store, COARSE, POINTS[:2])
        assert [trial.params for trial in stored(store, COARSE)] == [point.parameters for point in POINTS[:2]]
        assert [trial.params for trial in stored(store, sampled())] == [trial.parameters for trial in trials]

    def test_a_whole_number_axis_gives_whole_numbers(self, store: Store) -> None:
        axis = Axis(key="method.features_per_class", low=1, high=4, whole=True)
        stage = StageSpec(name="n", search="optuna", trials=3, sampler="random", space=(axis,))
        search = opened(store, stage)
        found = [search.propose()[1]["method.features_per_class"] for _ in range(6)]
        assert all(isinstance(value, int) and 1 <= value <= 4 for value in found)
        trials = [Trial(number=n, parameters={axis.key: value}, signature="") for n, value in enumerate(found)]
        assert opened(store, stage, trials).propose()[0] == 6

    @pytest.mark.parametrize("search", ["grid", "optuna"])
    @pytest.mark.parametrize(
        "values",
        [(None, 0.5), ("sgd", "adam"), (True, False), (1, 2.5, "auto", None), (["Rotate"], ["Rotate", "Shear"], [])],
        ids=["null", "text", "truth", "mixed", "lists"],
    )
    def test_an_axis_of_any_plain_values_is_kept_and_proposed(
        self, store: Store, search: str, values: tuple[object, ...]
    ) -> None:
        axis = Axis(key="protocol.any", values=values)
        stage = StageSpec(name="n", search=search, trials=3, sampler="random", space=(axis,))  # type: ignore[arg-type]
        points = [Trial(number=n, parameters=point, signature="") for n, point in enumerate(grid((axis,)))]
        again = opened(store, stage, points)
        assert opened(store, stage, points).told() == again.told() == set()
        assert len(stored(store, stage)) == len(values)
        proposed = [again.propose()[1]["protocol.any"] for _ in range(8)]
        assert {repr(value) for value in proposed} <= {repr(value) for value in values}
