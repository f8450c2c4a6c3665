"""Bad input: every message says what was wrong, where, and what to do.

Trees, sequences, cells and files have theirs in their own tests.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.structure import Structure

A = mg.asarray(np.ones((2, 3)), name="a")
B = mg.asarray(np.ones(4), name="b")
I = mg.asarray([1, 2])  # noqa: E741
M = A > 0
R4 = mg.asarray(np.ones((2, 2, 3))), mg.asarray(np.ones((3, 3, 2)))

CASES = {
    # shapes
    "add": (
        lambda: A + B,
        ValueError,
        [r"add: shapes \(2, 3\) and \(4,\) do not broadcast", "test_errors.py:"],
    ),
    "add an array": (lambda: np.ones(5) * A, ValueError, [r"multiply: shapes \(5,\) and \(2, 3\)"]),
    "where": (lambda: mg.where(M, B, B), ValueError, [r"where: shapes \(2, 3\) and \(4,\)"]),
    "matmul": (
        lambda: A @ A,
        ValueError,
        [r"matmul: the inner lengths of \(2, 3\) @ \(2, 3\) differ", "test_errors.py:"],
    ),
    "matmul batch": (
        lambda: R4[0] @ R4[1],
        ValueError,
        [r"matmul: batch axes of \(2, 2, 3\) @ \(3, 3, 2\)"],
    ),
    "matmul scalar": (lambda: A @ 2.0, ValueError, ["matmul: operands need at least one axis"]),
    "einsum": (
        lambda: mg.einsum("ij,jk->ik", A, A),
        ValueError,
        ["einsum", "'j' is 3 long", "and 2 in operand 1", "a: float64"],
    ),
    "einsum axes": (
        lambda: mg.einsum("ij,jk", A, B),
        ValueError,
        ["operand 1 has 1 axes", "'jk' name 2"],
    ),
    "einsum count": (lambda: mg.einsum("ij,jk", A), ValueError, ["names 2 operands, 1 were given"]),
    "einsum dots": (lambda: mg.einsum("...i->i", A), ValueError, ["no place for '...'"]),
    "einsum output": (
        lambda: mg.einsum("ij->ik", A),
        ValueError,
        ["each output letter of 'ij->ik'"],
    ),
    "tensordot": (lambda: mg.tensordot(A, A, axes=1), ValueError, ["tensordot: axes", r"\(2, 3\)"]),
    "tensordot many": (lambda: mg.tensordot(A, A, axes=5), ValueError, ["tensordot: 5 axes"]),
    "outer": (
        lambda: mg.outer(A, B),
        ValueError,
        [r"outer: needs two vectors; got shapes \(2, 3\) and \(4,\)"],
    ),
    "reshape": (
        lambda: mg.reshape(A, (4, 2)),
        ValueError,
        ["reshape", r"a: float64\[2, 3\]", r"do not fill shape \(4, 2\)", "test_errors"],
    ),
    "reshape -1": (
        lambda: mg.reshape(A, (-1, 4)),
        ValueError,
        [r"reshape: 6 elements of shape \(2, 3\)"],
    ),
    "reshape -1 -1": (lambda: mg.reshape(A, (-1, -1)), ValueError, ["may hold one -1"]),
    "broadcast_to": (
        lambda: mg.broadcast_to(A, (3, 3)),
        ValueError,
        ["broadcast_to", r"\(2, 3\) does not broadcast to \(3, 3\)"],
    ),
    "concat": (
        lambda: mg.concat([A, B]),
        ValueError,
        ["concat", r"operand 1 of shape \(4,\) does not join \(2, 3\)"],
    ),
    "concat nothing": (lambda: mg.concat([]), ValueError, ["concat: needs at least one array"]),
    "stack": (
        lambda: mg.stack([A, B]),
        ValueError,
        [r"stack: operand 1 has shape \(4,\), operand 0 has \(2, 3\)"],
    ),
    "max of nothing": (
        lambda: mg.max(mg.zeros((0, 3)), axis=0),
        ValueError,
        ["max", "of no elements"],
    ),
    "squeeze": (
        lambda: mg.squeeze(A, axis=0),
        ValueError,
        ["squeeze: an axis of 0 is not 1 long in shape"],
    ),
    "mT": (lambda: B.mT, ValueError, ["matrix_transpose: needs at least two axes"]),
    "labels": (lambda: mg.cross_entropy(A, [5, 0]), ValueError, [r"labels must lie in 0\.\.2"]),
    "label dtype": (
        lambda: mg.cross_entropy(A, [0.0, 1.0]),
        ValueError,
        ["labels must be integers of shape", "float64"],
    ),
    # axes
    "sum axis": (
        lambda: mg.sum(A, axis=2),
        ValueError,
        [r"sum: axis 2 is out of range for shape \(2, 3\)"],
    ),
    "axis twice": (lambda: mg.sum(A, axis=(0, -2)), ValueError, ["sum: an axis is given twice"]),
    "axis float": (lambda: mg.sum(A, axis=0.5), TypeError, ["sum: an axis is an integer; got 0.5"]),
    "softmax axis": (lambda: mg.softmax(A, axis=5), ValueError, ["softmax: axis 5"]),
    "logsumexp axis": (lambda: mg.logsumexp(A, axis=5), ValueError, ["logsumexp: axis 5"]),
    "moveaxis": (lambda: mg.moveaxis(A, 5, 0), ValueError, ["moveaxis: axis 5"]),
    "permute_dims": (
        lambda: mg.permute_dims(A, (0, 0)),
        ValueError,
        ["permute_dims", "not a permutation"],
    ),
    "expand_dims": (lambda: mg.expand_dims(A, axis=7), IndexError, ["expand_dims: axis 7"]),
    "flip axis": (lambda: mg.flip(A, axis=4), ValueError, ["flip: axis 4"]),
    "take axis": (lambda: mg.take(A, [0], axis=3), ValueError, ["take: axis 3"]),
    # indices
    "index": (lambda: A[5], IndexError, [r"index 5 is out of range for axis 0 of shape \(2, 3\)"]),
    "too many": (lambda: A[0, 0, 0], IndexError, [r"too many indices for shape \(2, 3\)"]),
    "float index": (lambda: A[1.5], TypeError, ["an index of a Tensor is an integer", "got 1.5"]),
    "text index": (lambda: A["x"], TypeError, ["an index of a Tensor is an integer"]),
    "float array": (
        lambda: A[np.array([0.5])],
        TypeError,
        ["an index of a Tensor is an integer", r"for shape \(2, 3\)"],
    ),
    "row": (lambda: mg.take(A, [5]), IndexError, ["take: row 5 of a table with 2 rows"]),
    "scatter row": (
        lambda: mg.scatter(A, [0, 9], 3),
        IndexError,
        ["scatter: row 9 of a table with 3 rows"],
    ),
    "Tensor mask": (lambda: A[M], TypeError, ["a Tensor mask", "mg.where"]),
    "mask shape": (
        lambda: A[np.ones((3, 3), bool)],
        IndexError,
        [r"mask of shape \(3, 3\) does not fit shape \(2, 3\)"],
    ),
    # dtypes
    "text": (lambda: mg.asarray("abc"), TypeError, ["floats, integers or booleans", "'abc'"]),
    "complex": (lambda: mg.asarray(1j), TypeError, ["complex128"]),
    "astype complex": (lambda: mg.astype(A, complex), TypeError, ["astype", "complex128"]),
    "object": (lambda: mg.tanh(None), TypeError, ["floats, integers or booleans"]),
    "longdouble": (lambda: mg.asarray(np.longdouble(1)), TypeError, ["float128|longdouble"]),
    "add None": (lambda: A + None, TypeError, ["unsupported operand"]),
    "and floats": (lambda: A & A, TypeError, ["bitwise_and", "integers and booleans", "t > 0"]),
    "not floats": (lambda: ~A, TypeError, ["bitwise_invert", "integers and booleans"]),
    "minus booleans": (lambda: -M, TypeError, ["negative", "booleans are not"]),
    "difference of booleans": (lambda: M - M, TypeError, ["subtract", "booleans are not", "!="]),
    "overflow": (lambda: mg.asarray(np.uint8(1)) + 300, OverflowError, ["add: ", "300"]),
    # manners
    "t[i] = v": (lambda: A.__setitem__(0, 1), TypeError, [r"t\[i\] = v", "mg.where", "mg.concat"]),
    "attribute": (lambda: setattr(A, "name", "z"), AttributeError, ["immutable", "named"]),
    "float of many": (lambda: float(A), ValueError, [r"one element; this one has shape \(2, 3\)"]),
    "bool of many": (lambda: bool(M), ValueError, ["ambiguous"]),
    "float as index": (
        lambda: [1][mg.asarray(0.0)],
        TypeError,
        ["only an integer Tensor is an index"],
    ),
    "len of a scalar": (lambda: len(mg.asarray(1.0)), TypeError, ["0-d Tensor has no len"]),
    "iter of a scalar": (
        lambda: iter(mg.asarray(1.0)),
        TypeError,
        ["0-d Tensor cannot be iterated"],
    ),
    # derivatives
    "grad of a vector": (
        lambda: mg.grad(A, A),
        ValueError,
        [r"scalar; it has shape \(2, 3\)", "mg.sum", "mg.vjp", "mg.jacobian"],
    ),
    "grad by an array": (
        lambda: mg.grad(mg.sum(A), np.ones(3)),
        TypeError,
        ["grad: wrt is a NumPy array", "mg.tensors"],
    ),
    "grad by a leaf": (
        lambda: mg.grad(mg.sum(A), {"w": [A, np.ones(3)]}),
        TypeError,
        [r"wrt\['w'\]\[1\] is a NumPy array", "mg.tensors"],
    ),
    "grad by a number": (
        lambda: mg.grad(mg.sum(A), 3.0),
        TypeError,
        ["wrt is a float", "mg.tensors"],
    ),
    "grad by integers": (
        lambda: mg.grad(mg.sum(A), {"n": I}),
        TypeError,
        [r"wrt\['n'\] is int64", "floating-point"],
    ),
    "grad of integers": (
        lambda: mg.grad(mg.sum(I), A),
        TypeError,
        ["grad: output must be floating-point", "int64"],
    ),
    "grad of a number": (
        lambda: mg.grad(1.0, A),
        TypeError,
        ["output must be a Tensor, not float"],
    ),
    "vjp shape": (
        lambda: mg.vjp(A, A, np.ones(3)),
        ValueError,
        [r"cotangents 0 has shape \(3,\); its Tensor has \(2, 3\)"],
    ),
    "vjp count": (
        lambda: mg.vjp((A, A), A, [np.ones((2, 3))]),
        ValueError,
        ["1 cotangents were given for 2"],
    ),
    "jvp shape": (lambda: mg.jvp(A, A, np.ones(3)), ValueError, ["tangents 0 has shape"]),
    "jacobian": (
        lambda: mg.jacobian(A, np.ones(3)),
        TypeError,
        ["jacobian: input is a NumPy array"],
    ),
    "hessian": (lambda: mg.hessian(A, A), ValueError, ["must be a scalar"]),
    "hvp": (lambda: mg.hvp(A, A, A), ValueError, ["hvp: output must be a scalar"]),
    "hvp shape": (lambda: mg.hvp(mg.sum(A), A, [1.0]), ValueError, ["hvp: vectors 0 has shape"]),
    "contributions": (
        lambda: mg.contributions(A, A),
        ValueError,
        ["contributions: output must be a scalar"],
    ),
    "state_gradients": (
        lambda: mg.state_gradients(mg.sum(A), A),
        ValueError,
        ["not the states of one recurrence", "mg.recur"],
    ),
    # structures
    "cycle": (
        lambda: Structure.edges(5, [0, 1, 2, 3], [1, 2, 0, 4]),
        ValueError,
        ["cycle: 0 -> 1 -> 2 -> 0"],
    ),
    "cycle with a tail": (
        lambda: Structure.edges(6, [5, 0, 0, 1, 2, 3], [0, 1, 2, 3, 3, 0]),
        ValueError,
        ["cycle: 0 -> [12] -> 3 -> 0"],
    ),
    "loop": (
        lambda: Structure.edges(2, [1], [1]),
        ValueError,
        ["node 1 takes its state from itself"],
    ),
    "cycle of a forest": (
        lambda: Structure.forest([[1], [0]]),
        ValueError,
        ["forest", "cycle: 0 -> 1 -> 0"],
    ),
    "two parents": (
        lambda: Structure.forest([[], [0], [0]]),
        ValueError,
        ["node 0 has 2 parents", "Structure.edges"],
    ),
    "no such row": (
        lambda: Structure.edges(2, [0], [2]),
        ValueError,
        ["target row 2 does not exist", "0 to 1"],
    ),
    "no such child": (lambda: Structure.forest([[3]]), ValueError, ["row 3 does not exist"]),
    "float rows": (
        lambda: Structure.edges(2, [0.5], [1]),
        TypeError,
        ["edges: source must be integers"],
    ),
    "float lengths": (
        lambda: Structure.chain(2.5),
        TypeError,
        ["chain: lengths must be integers; got '2.5'"],
    ),
    "negative length": (
        lambda: Structure.chain([2, -1]),
        ValueError,
        ["a length is negative", "-1"],
    ),
    "ends": (lambda: Structure.edges(3, [0, 1], [1]), ValueError, ["2 sources but 1 targets"]),
    "slots": (lambda: Structure.edges(3, [0, 1], [1, 2], [0]), ValueError, ["1 slots for 2 edges"]),
    "negative slot": (
        lambda: Structure.edges(2, [0], [1], -1),
        ValueError,
        ["slot -1 is negative"],
    ),
    "nodes": (lambda: Structure.edges(-1, [], []), ValueError, ["number of nodes", "-1"]),
    "grid": (lambda: Structure.grid((2, -1)), ValueError, ["grid: shape"]),
    "flat children": (
        lambda: Structure.forest([1, 2]),
        TypeError,
        [r"children\[0\] must list rows; got 1"],
    ),
    "few slots": (
        lambda: Structure.forest([[], [], [0, 1]], slots=1),
        ValueError,
        ["2 children but slots=1"],
    ),
    "fewer slots": (
        lambda: Structure.grid((2, 2)).with_slots(1),
        ValueError,
        ["need 2 slots; got 1"],
    ),
    "keep": (
        lambda: Structure.chain(3).truncated([True]),
        ValueError,
        [r"keep has shape \(1,\); there are 2 edges"],
    ),
    # vmap
    "vmap axes": (
        lambda: mg.vmap(lambda a, b: a, in_axes=(0,))(A, B),
        ValueError,
        ["in_axes has 1 entries for 2"],
    ),
    "vmap lengths": (
        lambda: mg.vmap(lambda a, b: a)(A, B),
        ValueError,
        ["mapped axes must agree", "2", "4"],
    ),
    "vmap axis": (
        lambda: mg.vmap(lambda a: a, in_axes=3)(A),
        ValueError,
        ["argument 0", "no axis 3"],
    ),
    "vmap nothing": (
        lambda: mg.vmap(lambda a: a, in_axes=None)(A),
        ValueError,
        ["mapped axes must agree"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(case):
    call, kind, parts = CASES[case]
    import re

    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for part in parts:
        assert re.search(part, str(caught.value)), f"{part!r} is not in {caught.value}"


# -- while a function is traced --------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        bool,
        float,
        int,
        str,
        print,
        np.asarray,
        lambda t: t.item(),
        lambda t: t.numpy(),
        lambda t: f"{t:.2f}",
        lambda t: t.tolist(),
        lambda t: 1 if t > 0 else 2,
        lambda t: max(t, 0.0),
        lambda t: 3.0 in mg.reshape(t, (1,)),
        mg.evaluate,
        mg.reference,
    ],
)
def test_reading_while_tracing_names_the_way_out(read):
    def looks(a):
        read(a)
        return a

    with pytest.raises(TypeError) as caught:
        mg.block(looks)(mg.asarray(1.0, name="a"))
    text = str(caught.value)
    assert "'looks' is traced" in text and "mg.where" in text
    found = mg.block(lambda a: a * 2)(mg.asarray(1.0))
    assert found.item() == 2.0  # the trace was left: nothing is broken afterwards


def test_repr_while_tracing_is_fine():
    seen = []
    mg.block(lambda a: seen.append(repr(a * 2)) or a)(mg.asarray(1.0))
    assert seen == ["Tensor(multiply, shape=(), float64)"]


def test_captured_tensors_are_refused_with_a_hint():
    outside = mg.asarray([1.0, 2.0], name="outside")
    with pytest.raises(TypeError) as caught:
        mg.block(lambda a: a * outside)(mg.asarray([1.0, 2.0]))
    text = str(caught.value)
    assert "outside" in text and "test_errors.py" in text and "pass it as an argument" in text
    derived = outside * 2
    with pytest.raises(TypeError, match="made outside of it"):
        mg.vmap(lambda a: a + derived)(mg.asarray([[1.0, 2.0]]))

    def cell(p, h, x):
        return h * outside[0], h

    with pytest.raises(
        TypeError, match="cell uses the Tensor outside.*`shared`, `inputs` or `initial`"
    ):
        mg.recur(cell, Structure.chain(2), initial=np.zeros(1), inputs=np.zeros(2))


# -- cells and recur -------------------------------------------------------------------------------


def run(cell, structure=None, **more):
    given = {"initial": np.zeros((1, 2)), "inputs": np.ones((3, 2)), **more}
    return mg.recur(cell, structure or Structure.chain(3), **given)


def good(p, h, x):
    return mg.tanh(h + x), h


RECURS = {
    "not a pair": (
        lambda: run(lambda p, h, x: h),
        TypeError,
        [r"must return \(carry, y\); it returned Tensor"],
    ),
    "carry structure": (
        lambda: run(lambda p, h, x: ((h, h), h)),
        TypeError,
        ["the carry leaves as", "but entered as"],
    ),
    "carry shape": (
        lambda: run(lambda p, h, x: (h[:1], h)),
        ValueError,
        [r"enters as float64\[2\] and leaves as float64\[1\]"],
    ),
    "carry dtype": (
        lambda: run(good, initial=np.zeros((1, 2), np.float32)),
        ValueError,
        [r"enters as float32\[2\] and leaves as float64\[2\]", "mg.astype"],
    ),
    "rows": (
        lambda: run(good, inputs=np.ones((4, 2))),
        ValueError,
        [r"inputs has shape \(4, 2\)", "the structure has 3 nodes"],
    ),
    "rows of a leaf": (
        lambda: run(good, inputs={"x": np.ones((4, 2))}),
        ValueError,
        [r"inputs\['x'\]"],
    ),
    "initial rows": (
        lambda: run(good, initial=np.zeros((2, 2))),
        ValueError,
        [r"initial has shape \(2, 2\)", "one row per component"],
    ),
    "structure": (lambda: run(good, [3]), TypeError, ["must be a mg.Structure, not list"]),
    "inside": (
        lambda: run(lambda p, h, x: (h @ np.ones((3, 2)), h)),
        ValueError,
        [r"matmul: the inner lengths of \(2,\) @ \(3, 2\)", "test_errors"],
    ),
    "Indexed rows": (
        lambda: mg.Indexed(np.ones((3, 2)), [0, 3]),
        ValueError,
        ["from -1 to 2; got 0 to 3"],
    ),
    "Indexed floats": (
        lambda: mg.Indexed(np.ones((3, 2)), [0.5]),
        ValueError,
        ["rows must be one integer per node"],
    ),
}


@pytest.mark.parametrize("case", RECURS)
def test_recur_message(case):
    call, kind, parts = RECURS[case]
    import re

    with pytest.raises(kind) as caught:
        call()
    for part in parts:
        assert re.search(part, str(caught.value)), f"{part!r} is not in {caught.value}"


def test_a_wrong_vjp_rule_is_named():
    from minigrad.graph import bind

    op = mg.Primitive(
        "careless",
        "elementwise",
        lambda x: (x.shape, x.dtype),
        lambda x: x,
        lambda ct, node, wanted: [mg.sum(ct)],
    )
    a = mg.asarray([1.0, 2.0])
    with pytest.raises(ValueError, match=r"the vjp of careless returned a cotangent of shape \(\)"):
        mg.grad(mg.sum(bind(op, a)), a)
