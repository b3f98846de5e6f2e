"""The hypothesis profile of a mutant's tests: the same examples each time, no shrinking."""

from hypothesis import Phase, settings

settings.register_profile(
    "mutants", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
