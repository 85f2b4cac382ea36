"""How many programs the property tests draw."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """`count` examples, the same in each run; a fifth of them while mutants are tested.

    A mutation test runs every property hundreds of times, so it takes what kills most mutants in
    little time.
    """
    if settings.get_current_profile_name() == "mutation":
        count = max(3, count // 5)
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
