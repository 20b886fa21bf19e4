"""What a study would do: its runs as far as they are known, what they cost, and the question before a costly one."""

import sys

from rich.console import Console

from difair_hpc import config
from difair_hpc.errors import UserError
from difair_hpc.runs.folder import run_folder
from difair_hpc.runs.shown import run_count, run_label
from difair_hpc.sweep.cost import StageCost, gpu_hours, planned_runs, relative_time
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.profile import Profile
from difair_hpc.sweep.rungs import in_words
from difair_hpc.sweep.space import certain_trials, foreseen, run_of, searched_methods, takers
from difair_hpc.sweep.spec import StageSpec, StudySpec
from difair_hpc.words import counted


def preview(study: StudySpec, profile: Profile, where: config.Settings, screen: Console) -> None:
    """Print the runs of each stage as far as they are known, and the GPU-hours of all."""
    total = 0
    place = ledger(where.root, study.name).path
    screen.print(f"study {study.name} in {place}, cluster={profile.name}", soft_wrap=True)
    for stage, cost in zip(study.stages, stage_costs(study), strict=True):
        waits = stage.search == "optuna" or stage.chosen_in or any(axis.chosen_in for axis in stage.space)
        wanted = [] if waits else certain_trials(stage, {}, [])
        most = "at most " if stage.prune else ""
        screen.print(
            f"stage {stage.name} ({stage.search}): {run_count(cost.runs)} of {most}{counted(cost.epochs, 'epoch')}"
        )
        if stage.prune:
            screen.print(f"  {_pruning(stage, profile)}", soft_wrap=True)
        listed: set[str] = set()
        for parameters in wanted:
            spec = run_of(stage, parameters, config.build_run)
            done = run_folder(where.root, spec.signature).state().status
            own = f"{counted(spec.protocol.epochs, 'epoch')}  {done}"
            rest = "the same training" if spec.signature in listed else own
            screen.print(f"  {spec.signature}  {run_label(parameters)}  {rest}")
            listed.add(spec.signature)
        if waits and stage.search != "optuna":
            screen.print("  follows from what an earlier stage chooses")
            if stage.search == "final" and stage.chosen_in:
                screen.print(f"  {_taken(study, stage)}", soft_wrap=True)
        total += len(listed)
    if profile.has_gpus:
        hours = study_gpu_hours(study, profile)
        most = "at most " if any(stage.prune for stage in study.stages) else ""
        screen.print(
            f"{most}about {counted(hours, 'GPU-hour', form='.0f')} if nothing were done yet, {_rate(profile)}",
            soft_wrap=True,
        )
        if hours > profile.ask_above_gpu_hours:
            limit = f"ask_above_gpu_hours={profile.ask_above_gpu_hours:g}"
            screen.print(f"more than {limit}: it asks before it begins, and -y answers yes", soft_wrap=True)
    screen.print(f"{run_count(total, 'are')} certain from the start; nothing was started")


def confirm(study: StudySpec, profile: Profile, screen: Console) -> bool:
    """Ask before a study that may need many GPU-hours; return whether to begin it.

    Raises:
        UserError: there is nobody to ask.
    """
    hours = study_gpu_hours(study, profile)
    if not profile.has_gpus or hours <= profile.ask_above_gpu_hours:
        return True
    text = f"study {study.name} may need {counted(hours, 'GPU-hour', form='.0f')} ({_rate(profile)})"
    if not sys.stdin.isatty():
        limit = f"ask_above_gpu_hours={profile.ask_above_gpu_hours:g}"
        raise UserError(f"{text}, more than {limit} of profile {profile.name}; repeat with -y to begin it.")
    screen.print(f"{text}. Begin? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def stage_costs(study: StudySpec) -> list[StageCost]:
    """Return runs and epochs of each stage."""
    costs: list[StageCost] = []
    before: dict[str, StageSpec] = {}
    for stage in study.stages:
        epochs = config.build_run(stage.base, foreseen(stage)[0]).protocol.epochs
        runs = planned_runs(stage, before)
        costs.append(StageCost(stage=stage.name, runs=runs, epochs=epochs, weight=relative_time(stage)))
        before[stage.name] = stage
    return costs


def study_gpu_hours(study: StudySpec, profile: Profile) -> float:
    """Return the GPU-hours of a whole study by the profile's own rate."""
    rate = profile.gpu_hours_per_600_epochs
    return gpu_hours(stage_costs(study), per_600_epochs=rate, runs_per_gpu=profile.runs_per_gpu)


def _taken(study: StudySpec, stage: StageSpec) -> str:
    """Say which methods of a final stage take the choice, and which do not."""
    able = takers(searched_methods(study, stage.chosen_in))
    taking, others = ([one for one in stage.methods if (one in able) is yes] for yes in (True, False))
    kept = f"; their own settings keep {', '.join(others)}" if others else ""
    return f"what stage {stage.chosen_in} chooses is for {', '.join(taking) or 'none of these methods'}{kept}"


def _pruning(stage: StageSpec, profile: Profile) -> str:
    protocol = config.build_run(stage.base, foreseen(stage)[0]).protocol
    alike = stage.choose.tolerance if stage.choose is not None else 0.0
    looks = " while this command attends the study, or cron ticks it" if profile.executor == "slurm" else ""
    return (
        f"prune: {stage.prune}: after epoch {in_words(protocol)} runs in the worse half of those that have come so far "
        f"are stopped{looks}, unless their {stage.rung_metric} is within {alike:g} of the best"
    )


def _rate(profile: Profile) -> str:
    return f"at gpu_hours_per_600_epochs={profile.gpu_hours_per_600_epochs:g}"
