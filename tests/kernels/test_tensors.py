"""The kernels for tensors per node against NumPy: any einsum of two operands, any axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.compile.tensors import nest
from minigrad.kernels import tensors
from minigrad.kernels.glue import address

LETTERS = "abcd"


def run(kernel, a, b, out, loops):
    """Every row of a and b (of one row: shared) to the row of out."""
    loops = np.array(loops, np.int64)
    given = (
        (address(t), t.strides[0] if len(t) > 1 or len(out) == 1 else 0) for t in (a, b, out)
    )
    tensors.kernel(str(out.dtype), kernel)(
        *(n for pair in given for n in pair), address(loops), 0, len(out)
    )


@st.composite
def einsums(draw):
    sizes = {c: draw(st.sampled_from([1, 2, 3, 8, 17])) for c in LETTERS}
    subs = [draw(st.text(LETTERS, min_size=0, max_size=3)) for _ in range(draw(st.integers(1, 2)))]
    letters = sorted(set("".join(subs)))
    out = draw(st.permutations(letters)) if letters else []
    return subs, "".join(out[: draw(st.integers(0, len(out)))]), sizes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(einsums(), st.integers(0, 2**32 - 1))
def test_nests_are_einsums(dtype, case, seed):
    subs, out, sizes = case
    rng, rows = np.random.default_rng(seed), 3
    shapes = [tuple(sizes[c] for c in s) for s in subs]
    operands = [rng.standard_normal((rows, *shape)).astype(dtype) for shape in shapes]
    how = nest("sum", subs, out, shapes)
    if how is None:  # too many loops
        return
    wanted = np.einsum(
        ",".join("N" + s for s in subs) + "->N" + out, *(t.astype(np.float64) for t in operands)
    )
    found = np.full(wanted.shape, np.nan, dtype).reshape(rows, -1)
    flat = [np.ascontiguousarray(t.reshape(rows, -1)) for t in operands]
    a, b = [*flat, np.ones((1, 1), dtype)][:2]
    run(how.kernel, *((b, a) if how.swap else (a, b)), found, how.loops)
    size = np.einsum(
        ",".join("N" + s for s in subs) + "->N" + out, *(abs(t.astype(float)) for t in operands)
    )
    eps = np.finfo(dtype).eps
    assert (abs(found - wanted.reshape(rows, -1)) <= 40 * eps * size.reshape(rows, -1)).all()


@pytest.mark.parametrize("how", ["max", "prod", "sum"])
@given(st.data())
def test_folds_along_axes(how, data):
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 5, 9]), min_size=1, max_size=3)))
    gone = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    x = np.random.default_rng(len(shape)).standard_normal((2, *shape))
    x.flat[0] = np.nan
    x.flat[-1] = np.inf
    letters = LETTERS[: len(shape)]
    out = "".join(c for k, c in enumerate(letters) if k not in gone)
    nested = nest(how, [letters], out, [shape])
    wanted = getattr(np, how)(x, axis=tuple(k + 1 for k in gone))
    found = np.zeros((2, max(wanted[0].size, 1)))
    run(nested.kernel, x.reshape(2, -1), np.ones((1, 1)), found, nested.loops)
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-13)


def test_moves_take_steps_stand_still_and_add():
    x = np.arange(12.0).reshape(2, 6)
    out = np.full((2, 9), -1.0)
    runs = np.array([[5, -2, 0, 3, 0], [1, 0, 3, 4, 0], [0, 1, 2, 2, 1]], np.int64)
    tensors.kernel("float64", "move")(
        address(x), x.strides[0], address(out), out.strides[0], address(runs), len(runs), 0, 2
    )
    first = [5, 3, 1 + 0, 1 + 1, 1, 1, 1, -1, -1]
    np.testing.assert_array_equal(out, [first, [11, 9, 7 + 6, 7 + 7, 7, 7, 7, -1, -1]])


@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums_and_products(reverse):
    a, b = np.random.default_rng(0).standard_normal((2, 2, 3 * 4))
    step, begin = (-4, 8) if reverse else (4, 0)
    loops = [4, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 3, *[step] * 3, *[begin] * 3]
    found = {}
    for how in ("sum", "prod"):
        found[how] = np.zeros((2, 12))
        run(f"running_{how}", a, b, found[how], loops)
    order = [2, 1, 0] if reverse else [0, 1, 2]
    state, product, x, y = 0.0, 1.0, a.reshape(2, 3, 4), b.reshape(2, 3, 4)
    for t in order:
        state, product = x[:, t] * state + y[:, t], product * x[:, t]
        np.testing.assert_allclose(found["sum"].reshape(2, 3, 4)[:, t], state, rtol=1e-13)
        np.testing.assert_allclose(found["prod"].reshape(2, 3, 4)[:, t], product, rtol=1e-13)
