"""How many examples Hypothesis tries: few and always the same, times `DIFAIR_TEST_SCALE` and then by chance."""

from hypothesis import HealthCheck, settings

from tests.fuzz.cases import SCALE


def tries(examples: int, *, steps: int = 50) -> settings:
    """Return settings for so many examples, of at most so many steps; all of them use the folders of one test."""
    return settings(
        max_examples=examples * SCALE,
        derandomize=SCALE == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        stateful_step_count=steps,
    )
