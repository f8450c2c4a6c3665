"""Layers: nothing overlaps, edges run to the right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viz.layout.layered import layered

from .test_place import overlaps


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_any_dag_is_laid_out_without_overlap(seed, n):
    rng = np.random.default_rng(seed)
    sizes = {str(k): tuple(rng.uniform(10, 60, 2)) for k in range(n)}
    pairs = [(str(a), str(b)) for b in range(n) for a in range(b) if rng.random() < 0.15]
    placed = layered(sizes, pairs)
    boxes = list(placed.boxes.values())
    for k, a in enumerate(boxes):
        assert not any(overlaps(a, b) for b in boxes[k + 1 :])
    assert all(placed.boxes[a].right < placed.boxes[b].left for a, b in pairs)


def test_a_cycle_has_no_layers():
    with pytest.raises(ValueError, match="cycle"):
        layered({"a": (1, 1), "b": (1, 1)}, [("a", "b"), ("b", "a")])
