"""What a finished stage chooses, and why, in words. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from difair_hpc.sweep.space import Parameters
from difair_hpc.sweep.spec import ChoiceRule


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One configuration of a finished stage and what it reached."""

    signature: str
    parameters: Parameters
    """Searched keys, as the stage's grid or sampler gave them."""
    keys: Mapping[str, Any]
    """All keys of the run, flat; method.radius_coefficient decides what is eligible."""
    metrics: Mapping[str, float | None]
    """closed_set_accuracy and occupancy; None where the run diverged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a stage chose."""

    chosen: tuple[Parameters, ...]
    """The chosen configurations, or one axis' values, best first; empty if nothing was eligible."""
    reasons: tuple[str, ...]
    """One sentence for each step of the rule."""


def choose(rule: ChoiceRule, candidates: Sequence[Candidate]) -> Choice:
    """Apply the rule of a stage to its finished configurations."""
    eligible = [c for c in candidates if is_eligible(rule, c.keys) and _value(c, rule.metric) is not None]
    reasons = [
        f"{len(eligible)} of {len(candidates)} configurations are eligible: "
        f"radius coefficient below {rule.below_coefficient:g}, training did not diverge."
    ]
    if not eligible:
        return Choice(chosen=(), reasons=(*reasons, "Nothing can be chosen."))
    best = max(eligible, key=lambda candidate: _number(candidate, rule.metric))
    limit = _number(best, rule.metric) - rule.tolerance
    good = [candidate for candidate in eligible if _number(candidate, rule.metric) >= limit]
    reasons.append(
        f"The best {rule.metric} is {_number(best, rule.metric):.4f} ({describe(best.parameters)}); "
        f"{len(good)} within {rule.tolerance:g} of it count as equally good."
    )
    ranked = _ranked(good, rule)
    if rule.prefer:
        reasons.append("Among these the order is: " + ", then ".join(rule.prefer) + ".")
    chosen = _distinct(ranked, rule)
    reasons.append("Chosen: " + "; ".join(map(describe, chosen)) + ".")
    return Choice(chosen=chosen, reasons=tuple(reasons))


def is_eligible(rule: ChoiceRule, keys: Mapping[str, Any]) -> bool:
    """Whether the rule may choose a run with these flat keys, as far as they tell."""
    return float(keys.get("method.radius_coefficient", 0.0)) < rule.below_coefficient


def describe(parameters: Mapping[str, Any]) -> str:
    """Return parameters as one readable phrase."""
    return ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in parameters.items()
    )


_Rank = tuple[bool, float]
"""Whether a value has no size, which comes last, and the size with its sign: smaller is better."""


def _ranked(good: Sequence[Candidate], rule: ChoiceRule) -> list[Candidate]:
    keys = [_preference(text) for text in rule.prefer]
    last: list[Callable[[Candidate], _Rank]] = [lambda candidate: (False, -_number(candidate, rule.metric))]
    return sorted(good, key=lambda candidate: [key(candidate) for key in [*keys, *last]])


def _preference(text: str) -> Callable[[Candidate], _Rank]:
    """Return a sort key, smaller is better, for one preference of the sweep file."""
    word, name, *rest = text.split()
    if word == "highest":
        return lambda candidate: (False, -(_value(candidate, name) or 0.0))
    if word == "nearest":
        return lambda candidate: _rank(candidate, name, lambda size: round(abs(size - float(rest[0])), 9))
    sign = -1.0 if word == "largest" else 1.0
    return lambda candidate: _rank(candidate, name, lambda size: sign * size)


def _rank(candidate: Candidate, key: str, badness: Callable[[float], float]) -> _Rank:
    """Rank by a key; null and text come last (`rules.check_rules` refuses such rules in new studies)."""
    value = candidate.keys.get(key)
    return (False, badness(float(value))) if isinstance(value, int | float) else (True, 0.0)


def _distinct(ranked: Sequence[Candidate], rule: ChoiceRule) -> tuple[Parameters, ...]:
    chosen: list[Parameters] = []
    for candidate in ranked:
        choice = candidate.parameters if rule.of is None else {rule.of: candidate.keys[rule.of]}
        if choice not in chosen:
            chosen.append(dict(choice))
    return tuple(chosen[: rule.keep])


def _value(candidate: Candidate, metric: str) -> float | None:
    return candidate.metrics.get(metric)


def _number(candidate: Candidate, metric: str) -> float:
    value = _value(candidate, metric)
    assert value is not None, "only candidates with a value are ranked"
    return value
