"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: ci, dev (the default), thorough."""

import os

from hypothesis import HealthCheck, settings

_slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
for _name, _examples in {"ci": 8, "dev": 4, "thorough": 200}.items():
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, derandomize=_name == "ci",
        suppress_health_check=_slow,
    )  # fmt: skip
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
