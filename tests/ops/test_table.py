"""Errors name the function that the user called, not one that it is made of."""

import inspect
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops

WITH_AXIS = [n for n in ops.__all__ if "axis" in inspect.signature(getattr(mg, n)).parameters]
X = np.arange(1.0, 7.0).reshape(2, 3)
MORE = {  # what is called with more than one array
    "concat": ([X, X],), "stack": ([X, X],), "split": (X, 1), "take": (X, [0]),
    "take_along_axis": (X, np.zeros((2, 1), int)), "roll": (X, 1), "repeat": (X, 2),
    "vecdot": (X, X), "cross": (X, X),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_AXIS)
def test_an_axis_that_is_none_is_said_by_the_function_called(name):
    """Regression: `stack` said expand_dims, `mean` said sum."""
    for axis, kind in ((9, (ValueError, IndexError)), ("a", TypeError)):
        with pytest.raises(kind, match=rf"^{name}: ") as caught:
            getattr(mg, name)(*MORE.get(name, (X,)), axis=axis)
        assert str(axis) in str(caught.value)


def test_a_composite_names_itself_and_the_primitive():
    with pytest.raises(TypeError, match=r"^log_sigmoid: negative\(bool\[\]\): booleans are not"):
        mg.log_sigmoid(True)
    with pytest.raises(ValueError, match=r"^clip: shapes \(2, 3\) and \(4,\)"):
        mg.clip(X, np.ones(4))
    with pytest.raises(ValueError, match=r"^add: shapes"):
        mg.asarray(X) + np.ones(4)


def test_the_functions_stay_functions():
    for name in ops.__all__:
        f = getattr(mg, name)
        assert pickle.loads(pickle.dumps(f)) is f
        assert f.__name__ == name and f.__doc__ and inspect.signature(f).parameters
