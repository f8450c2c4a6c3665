"""Hypothesis profiles of `minigrad.testing.plugin`, chosen by HYPOTHESIS_PROFILE: ci, dev (the
default), thorough."""

import os

from minigrad.testing.plugin import load_profile

load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
