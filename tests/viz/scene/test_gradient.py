"""Norms of gradients."""

import numpy as np
import pytest

from viz.scene.gradient import norm, row_norms, together


def test_norms_do_not_underflow():
    assert row_norms(np.full((1, 4), 1e-200))[0] == pytest.approx(2e-200)


def test_parts_join_to_the_norm_of_the_whole():
    parts = np.random.default_rng(0).normal(size=(2, 5, 3))
    whole = together([row_norms(part) for part in parts])
    np.testing.assert_allclose(whole, np.linalg.norm(parts, axis=(0, 2)))
    assert norm(parts) == pytest.approx(np.linalg.norm(parts)) and together([]) is None
    assert row_norms(np.array([[np.inf, 1.0]]))[0] == np.inf and np.isnan(norm(np.array([np.nan])))
