"""Indexing against NumPy: random keys, gathers along an axis, and the same inside a recurrence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing.laws import close

X = np.random.default_rng(0).standard_normal((3, 4, 2))


MADE = {
    "array": np.int16,
    "list": np.ndarray.tolist,
    "Tensor": mg.asarray,
    "late": lambda numbers: mg.asarray(numbers) * 1,  # known only when computed
}


@st.composite
def keys(draw, shape):
    """An index of an array of this shape: basic and advanced entries mixed, most of them valid."""
    common = draw(st.sampled_from([(2,), (1, 3), (2, 2), (0,)]))
    entries, axis, dots = [], 0, False
    for _ in range(draw(st.integers(0, len(shape) + 2))):
        n = shape[axis] if axis < len(shape) else None
        kinds = ["None", "flag"] + ["..."] * (not dots)
        if n is not None:
            kinds += ["slice", "mask"]
        if n or n == 0 and common == (0,):
            kinds += ["array", "array", "list", "Tensor", "late"] + ["int", "0-d"] * (n > 0)
        kind = draw(st.sampled_from(kinds))
        if kind == "None":
            entries.append(None)
        elif kind == "...":
            entries.append(Ellipsis)
            dots = True
            axis += draw(st.integers(0, len(shape) - axis))
        elif kind == "flag":
            entries.append(draw(st.sampled_from([True, False, np.True_, np.array(False)])))
        elif kind == "slice":
            bound = st.none() | st.integers(-n - 1, n + 1)
            step = draw(st.sampled_from([None, 1, 2, -1, -2]))
            entries.append(slice(draw(bound), draw(bound), step))
        elif kind == "mask":
            width = draw(st.integers(1, min(2, len(shape) - axis)))
            size = shape[axis : axis + width]
            count = int(np.prod(size))
            bits = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            entries.append(np.array(bits, bool).reshape(size))
            axis += width - 1
        else:
            row = st.integers(-n, n - 1) if n else st.just(0)
            if kind == "int":
                entries.append(draw(row))
            elif kind == "0-d":
                entries.append(mg.asarray(draw(row)))
            else:
                part = common[draw(st.integers(0, len(common) if n else 0)) :]
                part = tuple(draw(st.sampled_from([m, 1])) if n else m for m in part)
                count = int(np.prod(part))
                numbers = np.array(draw(st.lists(row, min_size=count, max_size=count)), int)
                numbers = numbers.reshape(part)
                entries.append(MADE[kind](numbers))
        axis += kind not in ("None", "...", "flag")
    return entries[0] if len(entries) == 1 else tuple(entries)


def plain(key):
    """The same key for NumPy."""
    if isinstance(key, tuple):
        return tuple(plain(k) for k in key)
    if isinstance(key, list):
        return np.array(key, None if np.size(key) else int)
    return key.numpy() if isinstance(key, mg.Tensor) else key


def agrees(x, key):
    """Value, gradient (a scatter-add) and second derivative of t[key], against NumPy."""
    t = mg.asarray(x)
    known = plain(key)
    try:
        wanted = x[known]
    except IndexError:
        with pytest.raises(IndexError):
            t[key].numpy()
        return
    y = t[key]
    assert y.shape == wanted.shape
    np.testing.assert_array_equal(y.numpy(), wanted)
    w = np.random.default_rng(1).standard_normal(wanted.shape)
    added = np.zeros_like(x)
    np.add.at(added, known, w)
    first = mg.grad(mg.sum(y * w), t)
    close(first.numpy(), added, 1e-14)
    curved = mg.grad(mg.sum(mg.grad(mg.sum(w * y * y), t) * x), t)  # d/dt (2 w t . x) = 2 w x
    added = np.zeros_like(x)
    np.add.at(added, known, 2 * w * wanted)
    close(curved.numpy(), added, 1e-13)


@given(st.data())
def test_random_keys(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
    x = np.random.default_rng(len(shape)).standard_normal(shape)
    agrees(x, data.draw(keys(shape)))


ROWS, COLS = np.array([0, 2]), np.array([[1], [-1]])


@pytest.mark.parametrize(
    "key",
    [
        (ROWS, slice(None), ROWS[:1]),  # not side by side: their axes go first
        (0, slice(None), ROWS[:1] * 0),
        (slice(None), ROWS, None, ROWS[:1]),
        (slice(None), 0, None, ROWS[:1]),
        (ROWS, 0),
        (0, ROWS),
        (slice(None), 0, ROWS[:1]),
        (ROWS, None, ROWS),
        (ROWS, ..., np.array([0, 1])),
        (ROWS, COLS),
        (None, ROWS, COLS, None),
        (slice(None), COLS, ROWS[:1]),
        (ROWS, slice(1, 3), [1, 0]),
        (X[:, :, 0] > 0, 1),
        (X[:, 0, 0] > -9, slice(None), [0, 1, 1]),
        (True, 0),
        (slice(None), False),
        (ROWS, True, slice(None), [0, 1]),
        mg.asarray(X[:, 0, 0] > 0),
        (slice(None), mg.asarray(-1), slice(None, None, -1)),
        ([[0, 1], [1, 2]], COLS[:, :, None] * 0),
        [[]],
        np.zeros((0, 3), np.uint8),
        ([True, False, True],),
        np.uint64(1),
        np.array(2),
    ],
    ids=str,
)
def test_chosen_keys(key):
    agrees(X, key)


def test_a_small_integer_dtype_does_not_overflow():
    x = np.arange(300.0).reshape(3, 100)
    t, k = mg.asarray(x), np.array([2, -1], np.int8)
    np.testing.assert_array_equal(t[k, k].numpy(), x[k, k])
    np.testing.assert_array_equal(t[mg.asarray(k), k].numpy(), x[k, k])
    np.testing.assert_array_equal(mg.take_along_axis(t.T, k[None] % 3).numpy(), x.T[:, k % 3])


def test_a_list_of_tensors_is_an_index():
    t = mg.asarray(X)
    late = mg.argmax(mg.asarray([0.0, 9.0]))
    np.testing.assert_array_equal(t[[late, 0]].numpy(), X[[1, 0]])


@pytest.mark.parametrize("view", [X[::-1], X[:, ::2], X.T, np.broadcast_to(X[0], (2, 4, 2))])
def test_any_layout(view):
    agrees(view, (slice(None), [1, 0, 1]))
    frozen = view.copy()
    frozen.flags.writeable = False
    agrees(frozen, ([0, 1], slice(None), [1, 0]))


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [
        ((slice(None), [0, 4]), IndexError, r"row 4 of a table with 4 rows.*"),
        (([0, 5], [0, 1]), IndexError, r"\[0, 5\].*\(3, 4, 2\).*row 5"),
        (([0, 1], [0, 1, 2]), IndexError, r"\[0, 1, 2\].*\(3, 4, 2\).*\(2,\) and \(3,\)"),
        ((..., 0, ...), IndexError, r"may stand once.*\(3, 4, 2\)"),
        ((0, 0, 0, [0]), IndexError, r"too many indices for shape \(3, 4, 2\): 4"),
        (np.ones((3, 3), bool), IndexError, r"mask of shape \(3, 3\).*\(3, 4, 2\)"),
        ((0, np.ones(3, bool)), IndexError, r"mask of shape \(3,\).*from axis 1"),
        (slice(0, 1.5), TypeError, r"bounds of a slice"),
        (np.array([0.5]), TypeError, r"0\.5.*\(3, 4, 2\)"),
        ([[0], [1, 2]], TypeError, r"got \[\[0\], \[1, 2\]\] for shape \(3, 4, 2\)"),
        (
            [mg.asarray(0), mg.asarray([1])],
            TypeError,
            r"integer or boolean array; got .*\(3, 4, 2\)",
        ),
        (mg.asarray([1.0]) * 1, TypeError, r"integer or boolean array.*\(3, 4, 2\)"),
        (mg.asarray(X) > 0, TypeError, r"a Tensor mask.*mg.where"),
    ],
    ids=str,
)
def test_errors_name_the_key_and_the_shape(key, kind, words):
    with pytest.raises(kind, match=words):
        mg.asarray(X)[key]


# -- gathers along an axis -------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", [1, [0, 1, 0], [[0, -1], [1, 1]], np.zeros((0, 2), int)], ids=str)
def test_take_is_numpys(axis, index):
    t = mg.asarray(X)
    y = mg.take(t, index, axis=axis)
    wanted = np.take(X, index, axis=axis)
    assert y.shape == wanted.shape
    np.testing.assert_array_equal(y.numpy(), wanted)
    w = np.random.default_rng(2).standard_normal(wanted.shape)
    full = np.zeros_like(X)
    where = [slice(None)] * 3
    where[axis] = np.asarray(index)
    np.add.at(full, tuple(where), w)
    close(mg.grad(mg.sum(y * w), t).numpy(), full, 1e-14)


@pytest.mark.parametrize("late", [False, True], ids=["array", "computed"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("size", ["same", "longer", "one", "none", "broadcast"])
def test_take_along_axis_is_numpys(axis, size, late):
    shape = list(X.shape)
    shape[axis] = {"same": shape[axis], "longer": 6, "one": 1, "none": 0, "broadcast": 3}[size]
    if size == "broadcast":
        shape[axis - 1] = 1
    n = X.shape[axis]
    index = np.random.default_rng(3).integers(-n, n, shape)
    t = mg.asarray(X)
    y = mg.take_along_axis(t, mg.asarray(index) * 1 if late else index, axis=axis)
    wanted = np.take_along_axis(X, index, axis)
    assert y.shape == wanted.shape
    np.testing.assert_array_equal(y.numpy(), wanted)
    w = np.random.default_rng(4).standard_normal(wanted.shape)
    here = np.take_along_axis(np.arange(X.size).reshape(X.shape), index, axis)
    full = np.zeros(X.size)
    np.add.at(full, here, w)
    close(mg.grad(mg.sum(y * w), t).numpy(), full.reshape(X.shape), 1e-14)


def test_take_along_axis_reads_a_sorting_order():
    t = mg.asarray(X)
    y = mg.take_along_axis(t, np.argsort(X, axis=1), axis=1)
    np.testing.assert_array_equal(y.numpy(), np.sort(X, axis=1))
    g = mg.grad(mg.sum(y[:, -1] ** 2), t).numpy()
    np.testing.assert_array_equal(g, np.where(X == X.max(1, keepdims=True), 2 * X, 0))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda t: mg.take(t, [9], axis=1), IndexError, r"take: row 9.*\(3, 4, 2\), axis 1"),
        (lambda t: mg.take(t, [0.5]), TypeError, "row numbers must be integers"),
        (lambda t: mg.take_along_axis(t, [[[9]]]), IndexError, r"row 9.*\(3, 4, 2\)"),
        (lambda t: mg.take_along_axis(t, [0]), ValueError, r"indices of shape \(1,\).*\(3, 4, 2\)"),
        (lambda t: mg.take_along_axis(t, np.zeros((2, 4, 1), int)), ValueError, r"except.*axis -1"),
        (lambda t: mg.take_along_axis(t, [[[0.0]]]), TypeError, "must be integers; got float64"),
        (lambda t: mg.take_along_axis(t, [[[0]]], axis=3), ValueError, "axis 3 is out of range"),
    ],
)
def test_errors_of_gathers(call, kind, words):
    with pytest.raises(kind, match=words):
        call(mg.asarray(X))


def test_a_computed_row_out_of_range_is_refused_not_wrapped():
    t, late = mg.asarray(X), mg.asarray([[[2]]]) * 1  # axis -1 has two rows
    for y in (mg.take_along_axis(t, late), t[late * 0, late]):
        assert y.shape
    with pytest.raises(IndexError):
        mg.take_along_axis(t, late).numpy()


# -- with a row axis: inside a recurrence, vmap and a compiled function ----------------------------

TABLE = np.random.default_rng(5).standard_normal((3, 4))
PICK = np.array([[0, 3], [2, 1], [1, 1], [0, 0], [3, 2]])  # one pair of columns for each node
CELLS = {
    "x[k]": lambda w, h, x, k: h[k] * x[k],
    "w[k]": lambda w, h, x, k: mg.sum(w[:, k], axis=0) * h[:2],
    "w[k, k]": lambda w, h, x, k: w[k % 3, k] * x[[1, 0]],
    "w[k, :, None, k]": lambda w, h, x, k: mg.sum((w[:, None] * x)[k % 3, :, k], axis=1),
    "w[k[0]]": lambda w, h, x, k: w[k[0] % 3, [0, 2]] * h[k],
    "mask": lambda w, h, x, k: w[1, np.array([True, False, False, True])] * h[k],
    "take": lambda w, h, x, k: mg.take(mg.take(w, k, axis=1), 1) + x[1:3],
    "along x": lambda w, h, x, k: mg.take_along_axis(x, k) * h[:2],
    "along w": lambda w, h, x, k: mg.sum(mg.take_along_axis(w * x, k[None, :]), axis=0),
}


@pytest.mark.parametrize("name", CELLS)
def test_inside_a_recurrence(name):
    rng = np.random.default_rng(6)
    w, h0 = mg.asarray(TABLE), mg.asarray(rng.standard_normal((1, 4)))
    xs = mg.asarray(rng.standard_normal((5, 4)))
    structure = mg.Structure.chain(5)

    def cell(shared, carry, x):
        y = mg.tanh(CELLS[name](shared, carry, x[0], x[1]))
        return mg.concat([y, carry[:2]]), y

    def loss(w, h0, xs):
        _, ys = mg.recur(cell, structure, initial=h0, shared=w, inputs=(xs, mg.asarray(PICK)))
        return mg.sum(ys**2)

    def by_hand(w, h0, xs):
        h, total = h0[0], 0.0
        for n in range(5):
            h, y = cell(w, h, (xs[n], mg.asarray(PICK[n])))
            total = total + mg.sum(y**2)
        return total

    results = []
    for f in (loss, by_hand):
        value = f(w, h0, xs)
        first = mg.grad(value, (w, h0, xs))
        second = mg.grad(mg.sum(first[0] * TABLE) + mg.sum(first[2] * TABLE[0]), (w, h0, xs))
        results.append((value, first, second))
    found, wanted = mg.evaluate(results[0]), mg.evaluate(results[1])
    close(found, wanted, 1e-12)
    close(mg.reference(results[0]), wanted, 1e-12)
    run = mg.function(lambda w, h0, xs: (loss(w, h0, xs), mg.grad(loss(w, h0, xs), (w, h0, xs))))
    close(run(TABLE, h0.numpy(), xs.numpy()), wanted[:2], 1e-12)


@given(st.data())
def test_random_keys_mapped_over_rows(data):
    """Rows of x, of the index arrays, or of both: vmap against one row at a time."""
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    key = plain(data.draw(keys(shape)))
    entries = list(key) if isinstance(key, tuple) else [key]
    places = [n for n, k in enumerate(entries) if isinstance(k, np.ndarray) and k.dtype.kind == "i"]
    x = np.random.default_rng(8).standard_normal((3, *shape))
    rows = [np.stack([np.roll(entries[n], r) for r in range(3)]) for n in places]
    turns = data.draw(st.sampled_from([(0, 0), (0, None), (None, 0)]))

    def whole(*parts):
        new = list(entries)
        for n, k in zip(places, parts, strict=True):
            new[n] = k
        return tuple(new)

    wanted = []
    try:
        for r in range(3):
            at = [k[r if turns[1] == 0 else 0] for k in rows]
            wanted.append(x[r if turns[0] == 0 else 0][whole(*at)])
    except IndexError:
        return
    given_x = mg.asarray(x if turns[0] == 0 else x[0])
    given_k = [mg.asarray(k if turns[1] == 0 else k[0]) for k in rows]
    mapped = mg.vmap(lambda x, *k: x[whole(*k)] * 1, (turns[0], *[turns[1]] * len(places)))
    if turns[0] is None and not (places and turns[1] == 0):
        return
    y = mapped(given_x, *given_k)
    close(y.numpy(), np.stack(wanted), 0.0)
    close(mg.reference(y), np.stack(wanted), 0.0)
    w = np.random.default_rng(9).standard_normal(y.shape)
    full = np.zeros_like(given_x.numpy())
    for r in range(3):
        at = whole(*[k[r if turns[1] == 0 else 0] for k in rows])
        np.add.at(full[r, ...] if turns[0] == 0 else full, at, w[r])
    first = mg.grad(mg.sum(w * y), given_x)
    close(first.numpy(), full, 1e-13)
    close(mg.reference(first), full, 1e-13)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_scatter_mapped_over_rows(axes):
    v, k = np.random.default_rng(11).standard_normal((5, 2, 3)), PICK - 4 * (PICK % 2)
    shared = [a if axis == 0 else a[0] for a, axis in zip((v, k), axes, strict=True)]
    y = mg.vmap(lambda v, k: mg.scatter(v, k, 4), axes)(*map(mg.asarray, shared))
    wanted = np.zeros((5, 4, 3))
    for r in range(5):
        row = [a[r] if axis == 0 else a for a, axis in zip(shared, axes, strict=True)]
        np.add.at(wanted[r], row[1], row[0])
    close(y.numpy(), wanted, 1e-15)
    close(mg.reference(y), wanted, 1e-15)


def test_mapped_inside_a_recurrence():
    """Two row axes, one inside the other."""

    def cell(w, h, x):
        x, k = x
        a = mg.vmap(lambda row, k, h: row[k] + h[k], in_axes=(0, None, None))(w, k, h)
        b = mg.vmap(lambda k, w, x: w[k % 3, 1] * mg.take_along_axis(x, k[None]), (0, None, None))
        c = mg.vmap(lambda column, k: mg.roll(column, 1)[k % 3], in_axes=(1, None))(w * h, k)
        h = mg.tanh(mg.concat([mg.sum(a, axis=0) + b(k, w, x)[:, 0] + c[0], x[:2]]))
        return h, h

    w, picks = mg.asarray(TABLE), mg.asarray(PICK)
    xs = mg.asarray(np.random.default_rng(10).standard_normal((5, 4)))
    start = mg.zeros((1, 4))
    _, ys = mg.recur(cell, mg.Structure.chain(5), initial=start, shared=w, inputs=(xs, picks))
    h, steps = start[0], []
    for n in range(5):
        h, _ = cell(w, h, (xs[n], picks[n]))
        steps.append(h)
    found, wanted = ((y, mg.grad(mg.sum(y**2), (w, xs))) for y in (ys, mg.stack(steps)))
    wanted = mg.evaluate(wanted)
    close(mg.evaluate(found), wanted, 1e-12)
    close(mg.reference(found), wanted, 1e-12)


def test_float32_stays():
    t = mg.asarray(X.astype(np.float32))
    for y in (t[ROWS, :, [0, 1]], mg.take_along_axis(t, [[[1]]]), t[X > 0]):
        first = mg.grad(mg.sum(y * y), t)
        second = mg.grad(mg.sum(first), t)
        assert {v.dtype for v in mg.evaluate((y, first, second))} == {np.dtype(np.float32)}


def test_mapped_over_rows():
    xs, ks = np.random.default_rng(7).standard_normal((5, 4)), mg.asarray(PICK)
    y = mg.vmap(lambda x, k: x[k] + mg.take_along_axis(x, k))(mg.asarray(xs), ks)
    close(y.numpy(), 2 * np.take_along_axis(xs, PICK, 1), 1e-15)
    t = mg.asarray(TABLE)
    y = mg.vmap(lambda k, w: w[k % 3, k], in_axes=(0, None))(ks, t)
    close(y.numpy(), TABLE[PICK % 3, PICK], 1e-15)


# -- integers that are data, known when the value is -----------------------------------------------


def in_a_cell(f):
    """`f` at every node of a recurrence, whose integers are inputs."""

    def run(z, k):
        cell = lambda p, h, x: (h + 1, f(p, x))  # noqa: E731
        start = np.zeros((1, 1))
        return mg.recur(cell, mg.Structure.chain(3), initial=start, shared=z, inputs=k)[1]

    return run


CROSS = lambda z, k: mg.cross_entropy(mg.broadcast_to(z[0], (*k.shape, 4)), k)  # noqa: E731
USES = {  # (a use of integers as data, what it says, whether negative numbers count from the end)
    "label": (CROSS, ValueError, r"labels must lie in 0\.\.3", False),
    "label in a cell": (in_a_cell(CROSS), ValueError, r"labels must lie in 0\.\.3", False),
    "checked": (
        lambda z, k: mg.checked(k, 0, 4, what="tokens"), ValueError, r"tokens must lie in", False,
    ),
    "take": (lambda z, k: mg.take(z, k, axis=1), IndexError, "of a table with 4 rows", True),
    "take in a cell": (in_a_cell(lambda z, k: mg.take(z.T, k)), IndexError, "with 4 rows", True),
    "scatter": (lambda z, k: mg.scatter(z, k, 4), IndexError, "of a table with 4 rows", True),
    "index": (lambda z, k: z[:, k], IndexError, "of a table with 4 rows", True),
    "indices": (lambda z, k: z[np.arange(3), k], IndexError, r"lie in -4\.\.3; got", True),
    "along": (
        lambda z, k: mg.take_along_axis(z, k[:, None], axis=1), IndexError, r"in -4\.\.3; ", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_integers_that_do_not_fit_are_refused_by_every_evaluator(use):
    """Regression: in a traced function a label that is none gave 0 in silence."""
    f, kind, words, wraps = USES[use]
    z = np.random.default_rng(0).normal(size=(3, 4))
    late = lambda k: mg.asarray(np.asarray(k)) * 1  # noqa: E731  # known only when computed
    compiled = mg.function(f)
    paths = (
        lambda k: mg.evaluate(f(mg.asarray(z), late(k))),
        lambda k: mg.reference(f(mg.asarray(z), late(k))),
        lambda k: compiled(z, np.asarray(k)),
    )
    for good in ([0, 3, 1], [-1, 0, -4]) if wraps else ([0, 3, 1],):
        first, *others = (run(good) for run in paths)
        for other in others:
            close(other, first, 1e-15)
    for bad in ([0, 4, 1], [0, -100, 1], *([] if wraps else [[-1, 0, 0]])):
        for run in paths:
            with pytest.raises(kind, match=words):
                run(bad)
    first, again = (paths[2]([0, 3, 1]) for _ in range(2))  # a refused call leaves nothing behind
    close(first, again, 0.0)


def test_known_integers_are_checked_at_once():
    for bad in (4, -1):
        with pytest.raises(ValueError, match=r"cross_entropy: labels must lie in 0\.\.3; got"):
            mg.cross_entropy(np.zeros((1, 4)), np.array([bad]))
    k = mg.asarray(np.array([1, 2], np.uint8))
    assert mg.checked(k, 0, 3) is k
    with pytest.raises(TypeError, match="integers have a range"):
        mg.checked(np.ones(2), 0, 3)


def test_a_row_that_no_node_reads_is_not_looked_at():
    """A table's row is computed once for all its readers; what nobody reads need not be valid."""
    table = mg.asarray(np.array([1, -100, 2])) * 1
    cell = lambda p, h, x: (h + mg.cross_entropy(p, x), h)  # noqa: E731
    for rows, fits in (([0, 2, -1], True), ([0, 1, 2], False)):
        states, _ = mg.recur(
            cell, mg.Structure.chain(3), initial=np.zeros(1), shared=np.zeros(3),
            inputs=mg.Indexed(table, rows),
        )  # fmt: skip
        if fits:
            close(mg.evaluate(states), mg.reference(states), 1e-15)
            continue
        for run in (mg.evaluate, mg.reference):
            with pytest.raises(ValueError, match=r"got \[-100\]"):
                run(states)
