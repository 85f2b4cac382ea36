"""Settings of the whole test suite."""

from hypothesis import HealthCheck, Phase, settings

# Times vary with the load of the machine, so no example has a deadline.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=30, **_COMMON)
settings.register_profile("ci", max_examples=100, derandomize=True, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
# Of a mutant it is enough to know that a test fails: the failing example is not made smaller.
settings.register_profile(
    "mutation",
    max_examples=20,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    **_COMMON,
)
settings.load_profile("dev")
