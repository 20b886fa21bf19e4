"""What a sweep file may ask of a stage: the keys of its kind of search, and rules that its runs can answer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from difair_hpc.errors import InvalidValue, UnknownKey, UserError
from difair_hpc.osr.spec import measured
from difair_hpc.runs.spec import RunSpec, flat
from difair_hpc.sweep.rungs import check_rungs
from difair_hpc.sweep.space import SET_BY_FINAL
from difair_hpc.sweep.spec import ChoiceRule, StageSpec, StudySpec

_SEARCHES = ("base", "space", "prune", "choose")
KEYS: dict[str, tuple[str, ...]] = {
    "grid": _SEARCHES,
    "optuna": (*_SEARCHES, "trials", "sampler", "objectives"),
    "final": ("base", "chosen_in", "benchmarks", "methods", "splits", "seeds"),
}
"""Keys of a stage beside `search`, by its kind of search."""

_ONE = "A search has one value under base ({0}: VALUE) or compares several under space ({0}: [VALUE, VALUE])."
_INSTEAD = {
    "benchmarks": _ONE.format("benchmark"),
    "methods": _ONE.format("method"),
    "splits": _ONE.format("split"),
    "seeds": _ONE.format("seed"),
    "chosen_in": "A searched key takes what an earlier stage chose: space: {KEY: {chosen_in: STAGE}}.",
    "choose": "What a final stage trains is compared in the report; a search stage before it chooses.",
    "prune": "Pruning serves a choice, and a final stage chooses nothing.",
    "space": "A final stage takes searched values by chosen_in: STAGE; fixed ones stand under base.",
    "trials": "Only a sampler makes a number of proposals (search: optuna); a grid tries every combination.",
    "sampler": "Only search: optuna has a sampler; a grid tries every combination.",
    "objectives": "Only search: optuna has objectives; what a grid chooses by is choose.metric.",
}
_INTERVAL = ("low", "high", "log", "whole")
_DEFAULTS: dict[str, list[int]] = {"splits": [0, 1, 2, 3, 4], "seeds": [0]}
_SAME = {"benchmark.name": "benchmark", "method.name": "method", "benchmark.split": "split"}


def check_keys(name: str, content: Mapping[str, Any], everywhere: Mapping[str, Any]) -> None:
    """Refuse what the stage `name` would pass over in silence. Keys that no stage has are left to others.

    Args:
        name: Of the stage.
        content: The stage as the sweep file has it; null says as much as no key.
        everywhere: Keys of a run that hold for every stage, from the command line.

    Raises:
        UserError: names the key, its value, and where it belongs.
    """
    search = content.get("search")
    allowed = KEYS.get(search, ()) if isinstance(search, str) else ()
    for key, instead in _INSTEAD.items():
        if allowed and content.get(key) is not None and key not in allowed:
            said = f"stages.{name}.{key}={content[key]} has no effect in a stage with search: {search}"
            raise UserError(f"{said}, which has {', '.join(sorted(allowed))}. {instead}")
    if search == "final":
        _check_final(name, content, everywhere)
    elif isinstance(space := content.get("space"), Mapping):
        _check_space(name, space, everywhere)


def _check_final(name: str, content: Mapping[str, Any], everywhere: Mapping[str, Any]) -> None:
    """Refuse keys that the four lists of a final stage set, unless they say the same: a base may be shared."""
    base = content.get("base")
    own: Mapping[str, Any] = base if isinstance(base, Mapping) else {}
    given = [
        (f"stages.{name}.base.{key}", key, value)
        for key, value in own.items()
        if value not in (content.get(SET_BY_FINAL.get(key, "")) or ())
    ]
    for where, key, value in [*given, *((key, key, value) for key, value in everywhere.items())]:
        instead = SET_BY_FINAL.get(key)
        if instead is not None and content.get(instead, _DEFAULTS.get(instead)) != [value]:
            write = f"stages.{name}.{instead}=[{value}]"
            raise UserError(f"{where}={value} has no effect in the final stage {name}; write {write} instead.")


def _check_space(name: str, space: Mapping[str, Any], everywhere: Mapping[str, Any]) -> None:
    """Refuse words for a key that the stage searches, and an axis that is two things at once."""
    words = {_SAME.get(key, key): (key, value) for key, value in everywhere.items()}
    for key, axis in space.items():
        where = f"stages.{name}.space.{key}"
        if isinstance(axis, Mapping):
            first, known = ("chosen_in", ("chosen_in",)) if "chosen_in" in axis else ("low", _INTERVAL)
            for more in (part for part in (*_INTERVAL, "chosen_in", "values", "key") if part in axis):
                if more not in known:
                    raise UserError(f"{where}.{more}={axis[more]} has no effect beside {where}.{first}.")
        if (same := words.get(_SAME.get(key, key))) is not None and axis != [same[1]]:
            said = f"{same[0]}={same[1]} has no effect in stage {name}, which searches {key}"
            raise UserError(f"{said}; write '{where}=[{same[1]}]' instead.")


def check_rules(study: StudySpec, runs: Mapping[str, Sequence[RunSpec]]) -> None:
    """Refuse objectives and rules that the runs of their stage cannot answer.

    Args:
        study: The study.
        runs: Of each stage, as far as they are known before it begins (`space.foreseen`).

    Raises:
        UnknownKey: a rule speaks of a key that a run lacks.
        InvalidValue: a rule asks for the size of what has none, or for what a method does not measure; no rungs.
    """
    known = {name: [flat(run.to_dict()) for run in own] for name, own in runs.items()}
    for stage in study.stages:
        _check_measured(study, stage, known)
        for keys in known[stage.name]:
            _check_spoken(stage, keys)
        _check_sizes(study, stage, known)
        check_rungs(stage, [run.protocol for run in runs[stage.name]])


_Known = Mapping[str, Sequence[Mapping[str, Any]]]


def _check_measured(study: StudySpec, stage: StageSpec, known: _Known) -> None:
    if stage.search == "final":
        return
    axes = [axis.key for axis in stage.space]
    key = "method" if "method" in axes else "method.name"
    methods = [str(value) for value in possible(study, stage, key, known)]
    asked = {f"stages.{stage.name}.objectives": stage.objectives if stage.search == "optuna" else ()}
    if stage.choose is not None:
        highest = [text for text in stage.choose.prefer if text.startswith("highest ")]
        asked[f"stages.{stage.name}.choose.metric"] = (stage.choose.metric,)
        asked[f"stages.{stage.name}.choose.prefer"] = tuple(highest)
    for where, metrics in asked.items():
        for metric in metrics:
            for method in methods:
                if metric.split()[-1] not in (own := measured(method)):
                    lacks = f"what method={method} measures in a search: {', '.join(own)}"
                    raise InvalidValue(where, metric, lacks)


def _check_spoken(stage: StageSpec, keys: Mapping[str, Any]) -> None:
    """Refuse a rule that speaks of a key that a run of its stage does not have."""
    rule = stage.choose or ChoiceRule()
    for key in [*(spoken for _, spoken in _sizes(rule)), *([rule.of] if rule.of else [])]:
        if key not in keys:
            raise UnknownKey(key, keys, where=f"stages.{stage.name}.choose")


def _check_sizes(study: StudySpec, stage: StageSpec, known: _Known) -> None:
    for preference, key in _sizes(stage.choose or ChoiceRule()):
        values = possible(study, stage, key, known)
        if sizeless := [value for value in values if not isinstance(value, int | float)]:
            shown = ", ".join(dict.fromkeys("null" if value is None else str(value) for value in values))
            said = f"a rule on numbers, which alone have an order; {key} is {shown} in stage {stage.name}"
            more = f"take {'null' if sizeless[0] is None else sizeless[0]} from the axis or the rule from the stage"
            advice = f"Correct the sweep file ({more}); what has been trained already is not trained again."
            raise InvalidValue(f"stages.{stage.name}.choose.prefer", preference, said, advice=advice)


def _sizes(rule: ChoiceRule) -> list[tuple[str, str]]:
    """Return the preferences that compare the values of a key, each with that key."""
    return [(text, text.split()[1]) for text in rule.prefer if not text.startswith("highest ")]


def possible(study: StudySpec, stage: StageSpec, key: str, known: _Known) -> list[Any]:
    """Return the values that a key may have in the runs of a stage, those that an earlier stage may choose included.

    Args:
        study: The study.
        stage: One of its stages.
        key: Of a run, or of an axis.
        known: The runs of each stage as far as they are known, flat.
    """
    axis = next((one for one in stage.space if one.key == key), None)
    if axis is None:
        return [keys[key] for keys in known[stage.name] if key in keys]
    if axis.chosen_in is not None:
        source = next(one for one in study.stages if one.name == axis.chosen_in)
        return possible(study, source, key, known)
    return list(axis.values) or [axis.low, axis.high]
