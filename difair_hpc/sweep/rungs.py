"""Asynchronous successive halving with the ends of cosine cycles as rungs: where they are, and who goes on.

The learning rate has come down at the end of a cycle (section A.2: epochs 200 and 400 of 600), so that models are
converged there and can be compared. Optuna's pruner decides, with finished cycles as its steps. From r = 1 and a
reduction factor of 2 it makes rungs after 1, 2, 4 … cycles: the ends of the first and second of three, each at twice
the epochs of the one before. With a factor of 3 the second rung would be the end of training.
"""

from collections.abc import Sequence
from dataclasses import replace

from difair_hpc.errors import InvalidValue
from difair_hpc.sweep.ledger import Rung
from difair_hpc.sweep.spec import StageSpec
from difair_hpc.train.spec import ProtocolSpec

FACTOR = 2
"""Of the runs at a rung, one in so many goes on."""


def rung_epochs(protocol: ProtocolSpec) -> dict[int, int]:
    """Return finished cycles to finished epochs of every rung."""
    cycles = (FACTOR**number for number in range(protocol.cycles.bit_length()))
    return {cycle: cycle * protocol.epochs // protocol.cycles for cycle in cycles if cycle < protocol.cycles}


def check_rungs(stage: StageSpec, protocols: Sequence[ProtocolSpec]) -> None:
    """Refuse a stage whose runs cannot be compared at the ends of their cycles.

    Args:
        stage: The stage.
        protocols: Of its runs, as far as they are known.

    Raises:
        InvalidValue: there is no cycle to end at, none that ends with an evaluation, or not the same for all runs.
    """
    if stage.prune is None:
        return
    because = f"where stages.{stage.name} has prune={stage.prune}"
    for protocol in protocols:
        cycle = protocol.epochs / protocol.cycles
        if protocol.cycles < 2:
            raise InvalidValue("protocol.cycles", protocol.cycles, f"2 or more {because}: the ends are compared")
        if protocol.epochs % protocol.cycles:
            allowed = f"a multiple of protocol.cycles={protocol.cycles} {because}"
            raise InvalidValue("protocol.epochs", protocol.epochs, allowed)
        if cycle % protocol.evaluation_epochs:
            every = "null" if protocol.evaluate_every is None else protocol.evaluate_every
            given = f"{every} (every {protocol.evaluation_epochs} epochs)"
            allowed = f"a divisor of {cycle:.0f}, the length of a cycle in epochs, {because}"
            raise InvalidValue("protocol.evaluate_every", given, allowed)
        if rung_epochs(protocol) != rung_epochs(protocols[0]):
            allowed = f"the same for all runs {because}"
            raise InvalidValue("protocol.epochs", protocol.epochs, allowed)


def in_words(protocol: ProtocolSpec) -> str:
    """Return the rungs as a phrase."""
    return " and ".join(str(epoch) for epoch in rung_epochs(protocol).values())


def verdict(before: Sequence[Rung], rung: Rung, stage: StageSpec, *, done: bool) -> Rung:
    """Say whether a run goes on.

    It does if Optuna's pruner lets it, or if by `choose.tolerance` it counts as good as the best. The first at a rung
    always does.

    Args:
        before: The verdicts of the stage so far, in their order.
        rung: The run where it has come to, without a verdict.
        stage: A stage that prunes.
        done: Whether the run was trained to its end already: nothing is left to stop then.
    """
    assert stage.choose is not None, "StageSpec refuses to prune without a choice"
    history = [*(old for old in before if old.eligible or old.run == rung.run), rung]
    values = sorted((old.value for old in history if old.cycle == rung.cycle), reverse=True)
    alike = values[0] - stage.choose.tolerance
    needed = min(values[max(1, len(values) // FACTOR) - 1], alike)
    pruned = not done and rung.value < alike and _pruner_stops(history)
    return replace(rung, reached=len(values), needed=needed, pruned=pruned)


def _pruner_stops(history: Sequence[Rung]) -> bool:
    """Ask Optuna's pruner about the last of these, after the others came to it in their order.

    A study in memory is asked: the pruner notes in a trial that it was asked, and answers a second question otherwise.
    """
    import optuna
    from optuna.pruners import SuccessiveHalvingPruner
    from optuna.samplers import RandomSampler

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # bootstrap_count=0: with n, Optuna prunes the first n at a rung whatever they reached.
    pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR, bootstrap_count=0)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=RandomSampler(seed=0))
    trials: dict[str, optuna.Trial] = {}
    stops = False
    for rung in history:
        if rung.run not in trials:
            trials[rung.run] = study.ask()
        trials[rung.run].report(rung.value, rung.cycle)
        stops = trials[rung.run].should_prune()
    return stops
