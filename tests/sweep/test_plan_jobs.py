"""Which jobs begin what waits: a job begins what it lists, and holds a slot while it has something to do."""

from difair_hpc.sweep.jobs import Job
from difair_hpc.sweep.plan import Limits, plan
from tests.sweep.test_plan import brief, planned, trial


def test_a_job_goes_on_with_the_runs_that_wait() -> None:
    waiting = [trial(number, "new") for number in range(4)]
    first, second = planned(*waiting, limits=Limits(parallel=2, runs_per_job=None))
    assert (first.signature, *first.more) == ("run0", "run1", "run2", "run3")
    assert (second.signature, *second.more) == ("run1", "run2", "run3", "run0")
    first, second = planned(*waiting, limits=Limits(parallel=2, runs_per_job=2))
    assert (first.more, second.more) == (("run1",), ("run2",))


def test_a_job_holds_one_slot_however_many_runs_it_lists() -> None:
    states = [trial(0, "running"), trial(1, "new"), trial(2, "new"), trial(3, "new")]
    # run3 came later than the job: the free slot is for it first
    assert brief(planned(*states, jobs=[Job(runs=("run0", "run1", "run2"))])) == [("submit", 3)]


def test_a_job_begins_nothing_that_it_does_not_list() -> None:
    """The last job of a stage ticks while jobs of that stage are listed; they are the end of it, not a beginning."""
    leaving = Job(runs=("run of the stage before",), state="RUNNING")
    assert brief(planned(trial(0, "new"), jobs=[leaving], limits=Limits(parallel=4))) == [("submit", 0)]
    # Nor does a job of this stage whose run another job executes.
    jobs = [Job(runs=("run0", "run1")), Job(runs=("run1",))]
    states = [trial(0, "done", told=True), trial(1, "running"), trial(2, "new")]
    assert brief(planned(*states, jobs=jobs, limits=Limits(parallel=4))) == [("submit", 2)]


def test_a_job_of_another_stage_holds_a_slot_until_its_runs_are_over() -> None:
    job, limits = Job(runs=("before1", "before2"), state="RUNNING"), Limits(parallel=1)
    for over, submitted in (([], []), (["before1"], []), (["before1", "before2"], [("submit", 0)])):
        actions = plan([trial(0, "new")], to_propose=0, jobs=[job], limits=limits, elsewhere=over)
        assert brief(actions) == submitted


def test_a_free_slot_helps_with_what_a_job_lists_and_has_not_begun() -> None:
    states = [trial(0, "running"), trial(1, "new"), trial(2, "new")]
    assert brief(planned(*states, jobs=[Job(runs=("run0", "run1", "run2"))])) == [("submit", 1)]
    # two jobs that have not begun anything are enough for two runs
    assert planned(*states[1:], jobs=[Job(runs=("run1", "run2")), Job(runs=("run2", "run1"))]) == []


def test_a_job_whose_runs_are_done_holds_no_slot_although_squeue_still_shows_it() -> None:
    states = [trial(0, "done", told=True), trial(1, "running"), trial(2, "new")]
    assert brief(planned(*states, jobs=["run0", "run1"])) == [("submit", 2)]
