"""Trees: subtrees do not overlap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from viz.layout.tidy_tree import tidy_tree


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_any_tree_is_laid_out_without_overlap(seed, n):
    rng = np.random.default_rng(seed)
    parent = [int(rng.integers(k)) for k in range(1, n)]
    children, depth = {}, [0] * n
    for k, p in enumerate(parent, 1):
        children.setdefault(str(p), []).append(str(k))
        depth[k] = depth[p] + 1
    deepest = max(depth)
    level = {str(k): deepest - d for k, d in enumerate(depth)}
    half = {str(k): tuple(rng.uniform(5, 30, 2)) for k in range(n)}
    x = tidy_tree(["0"], children, level, half, 4.0)
    for at in set(level.values()):
        row = sorted((x[k] - half[k][0], x[k] + half[k][1]) for k in x if level[k] == at)
        assert all(a[1] < b[0] for a, b in zip(row, row[1:], strict=False))
