"""An op of many rows at once is what it is of each row: under `vmap`, on the loop of a recurrence,
in a compiled function; values, gradients and second derivatives."""

import numpy as np

import minigrad as mg
from minigrad.testing.laws import close


def weighed(y, seed=0):
    """A scalar in which every element of y counts differently, and not linearly."""
    if y.dtype.kind != "f":
        return mg.asarray(0.0)
    w = np.random.default_rng(seed).standard_normal(y.shape)
    return mg.sum(mg.sin(y) * w)


def derivatives(f, tensors):
    """The value of f, the gradients of a scalar of it and a second derivative."""
    y = f(*tensors)
    first = mg.grad(weighed(y), tuple(tensors))
    pulled = mg.asarray(0.0)
    for k, g in enumerate(first):
        pulled = pulled + weighed(g, k + 1)
    return y, first, mg.grad(pulled, tuple(tensors))


def each_row(f, *arrays, tol=1e-10):
    """f of the rows of `arrays` (floats; one leading axis) in every way rows are run at once."""
    n = len(arrays[0])
    alone = [mg.evaluate(f(*(mg.asarray(a[k]) for a in arrays))) for k in range(n)]
    tensors = [mg.asarray(a) for a in arrays]
    close(mg.evaluate(mg.vmap(f)(*tensors)), np.stack(alone), tol, "vmap")
    stacked = derivatives(lambda *xs: mg.stack([f(*(x[k] for x in xs)) for k in range(n)]), tensors)
    wanted = mg.evaluate(stacked)
    close(mg.evaluate(derivatives(mg.vmap(f), tensors)), wanted, tol, "vmap, derivatives")
    _constant_cotangents(f, tensors, tol)
    _one_operand_shared(f, arrays, tol)
    _on_a_loop(f, arrays, tol)


def _constant_cotangents(f, tensors, tol):
    """The gradient of a plain sum, whose cotangents have no rows."""

    def slope(*xs):
        y = f(*xs)
        return mg.grad(mg.sum(y), xs) if y.dtype.kind == "f" else xs

    many = mg.vmap(slope)(*tensors)
    each = [slope(*(t[k] for t in tensors)) for k in range(len(tensors[0]))]
    alone = tuple(mg.stack(list(gs)) for gs in zip(*each, strict=True))
    close(mg.evaluate(tuple(many)), mg.evaluate(alone), tol, "vmap of the gradient of a sum")


def _one_operand_shared(f, arrays, tol):
    """Only the first operand has rows, then only the last."""
    if len(arrays) < 2:
        return
    n = len(arrays[0])
    for keep in (0, len(arrays) - 1):
        axes = tuple(0 if k == keep else None for k in range(len(arrays)))
        tensors = [mg.asarray(a if k == keep else a[0]) for k, a in enumerate(arrays)]
        many = [
            lambda *xs, k=k, at=keep: f(*(x[k] if j == at else x for j, x in enumerate(xs)))
            for k in range(n)
        ]
        stacked = derivatives(lambda *xs, m=many: mg.stack([g(*xs) for g in m]), tensors)
        found = derivatives(mg.vmap(f, in_axes=axes), tensors)
        close(mg.evaluate(found), mg.evaluate(stacked), tol, f"vmap over operand {keep}")


def _on_a_loop(f, arrays, tol):
    """f reads a state that depends on its last result, in two chains of unequal length."""
    n = len(arrays[0])

    def cell(shared, carry, xs):
        y = f(*(x + 0.0 * carry for x in xs))
        felt = mg.sum(y) if y.dtype.kind == "f" else mg.sum(mg.astype(y, float))
        return mg.tanh(carry + 0.1 * felt), y

    def program(first, xs):
        chains = mg.Structure.chain([n - 1, 1])
        states, ys = mg.recur(cell, chains, initial=first, inputs=xs)
        loss = weighed(ys) + mg.sum(states)
        grads = mg.grad(loss, (first, xs))
        return ys, states, grads, mg.grad(mg.sum(grads[0]), xs)

    first, xs = mg.asarray(np.zeros(1)), tuple(mg.asarray(a) for a in arrays)
    wanted = mg.reference(program(first, xs))
    close(mg.evaluate(program(first, xs)), wanted, tol, "evaluate against reference")
    compiled = mg.function(program)(np.zeros(1), tuple(arrays))
    close(compiled, wanted, tol, "function against reference")
