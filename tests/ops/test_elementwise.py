"""Elementwise ops over every dtype: refused when recorded, or computed in the dtype recorded."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.graph import toposort

DTYPES = ("?", "i1", "u1", "i4", "i8", "u8", "f4", "f8")


def nodes(name, *arrays):
    """What the call records, or nothing where it is refused."""
    try:
        result = getattr(mg, name)(*map(mg.asarray, arrays))
    except (TypeError, ValueError, IndexError):
        return []
    found = result if isinstance(result, (tuple, list)) else [result]
    return toposort(t for t in found if isinstance(t, mg.Tensor))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_recorded_has_the_dtype_it_says(dtype):
    """NumPy's own result, before anything is cast: a cast would hide lost digits."""
    for name in sorted(ops.__all__):
        for arity in (1, 2):
            for t in nodes(name, *[np.ones(3, dtype)] * arity):
                if t.inputs and t.op.kind == "elementwise":
                    values = [mg.reference(i) for i in t.inputs]
                    with np.errstate(all="ignore"):
                        found = np.asarray(t.op.numpy(*values, **t.attrs)).dtype
                    assert found == t.dtype, f"{name} of {arity} {dtype} records {t.op.name}"


def test_large_integers_keep_their_digits_when_rounded():
    n = np.array(2**60 + 1)
    for f in (mg.round, mg.floor, mg.ceil, mg.trunc):
        assert f(mg.asarray(n)).item() == mg.function(f)(n) == 2**60 + 1


@pytest.mark.parametrize("name", ["sign", "square", "relu", "round", "negative", "subtract"])
def test_booleans_are_refused_where_numbers_are_meant(name):
    x = mg.asarray([True, False])
    with pytest.raises(TypeError, match=f"{name}.*booleans are not numbers"):
        getattr(mg, name)(*[x] * (2 if name == "subtract" else 1))


@pytest.mark.parametrize("f", [mg.bitwise_left_shift, mg.bitwise_right_shift])
def test_booleans_are_not_shifted(f):
    with pytest.raises(TypeError, match="bits are shifted in integers; got bool"):
        f(mg.asarray([True]), mg.asarray([True]))
