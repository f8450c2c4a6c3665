"""`close`: what two results differ in, by leaf and number."""

import numpy as np
import pytest

from minigrad.testing.laws import close


def test_close_names_the_leaf_and_the_numbers():
    good = {"a": np.array([1.0, 2.0]), "b": np.array([np.nan, np.inf])}
    close(good, good, 0.0)
    with pytest.raises(AssertionError, match=r"here a: off by 2.50e-01 .* at \[1\]: 2.5 where 2.0"):
        close({**good, "a": np.array([1.0, 2.5])}, good, 1e-3, "here")
    for other in ([np.nan, 1.0], [1.0, np.inf], [np.nan, -np.inf]):
        with pytest.raises(AssertionError, match="here b"):
            close({**good, "b": np.array(other)}, good, 1.0, "here")
    for other in (np.ones(3), np.ones(2, int), np.ones((2, 1))):
        with pytest.raises(AssertionError):
            close({**good, "a": other}, good, 1.0)
