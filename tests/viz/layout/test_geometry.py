"""Boxes and paths."""

import pytest

from viz.layout.geometry import Box, Path, around, rounded, straight


def test_paths_are_piecewise_cubics():
    with pytest.raises(ValueError, match="cubic"):
        Path(((0, 0), (1, 1)))
    bent = rounded([(0, 0), (10, 0), (10, 10)])
    assert bent.points[0] == (0, 0) and bent.points[-1] == (10, 10)
    assert len(straight((0, 0), (3, 3)).points) == 4
    assert around([Box(0, 0, 2, 2), Box(5, 5, 2, 2)]) == Box(2.5, 2.5, 7, 7)
