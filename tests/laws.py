"""The laws of DESIGN.md section 7 as functions that raise AssertionError when one is broken.

`test_laws` runs them on random problems; `test_planted` breaks the engine on purpose and demands
that they fail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import optree

import minigrad as mg
import recurrent as rc

from .strategies import Problem


def close(found: Any, wanted: Any, tol: float = 1e-10, what: str = "") -> None:
    """Two pytrees of arrays agree to rounding (relative to the largest number), NaN and inf in
    the same places."""
    paths, a, spec = optree.tree_flatten_with_path(found)
    b, other = optree.tree_flatten(wanted)
    assert spec == other, f"{what}: {spec} is not {other}"
    for path, x, y in zip(paths, a, b, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape, f"{what} {path}: shape {x.shape} is not {y.shape}"
        assert x.dtype.kind == y.dtype.kind, f"{what} {path}: {x.dtype} is not {y.dtype}"
        if x.dtype.kind == "b":
            np.testing.assert_array_equal(x, y, err_msg=f"{what} {path}")
            continue
        finite = np.isfinite(y)
        scale = max(1.0, float(np.abs(y[finite]).max(initial=0.0)))
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=f"{what} {path}")
        np.testing.assert_array_equal(x[~finite], y[~finite], err_msg=f"{what} {path}")
        error = float(np.abs(x[finite] - y[finite]).max(initial=0.0)) / scale
        assert error <= tol, f"{what} {path}: off by {error:.2e} (relative)"


def directions(like: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return optree.tree_map(lambda t: rng.standard_normal(t.shape), like)


def dot(a: Any, b: Any) -> Any:
    """The inner product of two pytrees, recorded."""
    total: Any = 0.0
    for x, y in zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True):
        total = total + mg.sum(x * y)
    return total


def record(problem: Problem) -> tuple[dict, Any, Any, mg.Tensor]:
    t = problem.tensors()
    states, outputs = problem.run(t)
    return t, states, outputs, problem.loss(states, outputs)


# -- law 1, the part without a compiler ------------------------------------------------------------


def evaluate_is_reference(problem: Problem) -> None:
    """Values, gradients and a Hessian-vector product, level by level and node by node."""
    t, states, outputs, loss = record(problem)
    grads = mg.grad(loss, t)
    second = mg.grad(dot(grads, directions(t, 1)), t)
    everything = (states, outputs, loss, grads, second)
    close(mg.evaluate(everything), mg.reference(everything), 1e-11, "evaluate against reference")


# -- law 2 -----------------------------------------------------------------------------------------


def plain_loop(problem: Problem, t: dict) -> tuple[Any, Any]:
    """The recurrence without `recur`: the cell called in Python on each row, the edges walked one
    by one."""
    s, cell = problem.structure, problem.cell
    edges = list(zip(s.src.tolist(), s.dst.tolist(), s.slot.tolist(), strict=True))
    initial = t["initial"] if isinstance(t["initial"], tuple) else (t["initial"],)
    done: dict[int, tuple] = {}
    ys: dict[int, dict] = {}
    while len(done) < s.n:
        for n in range(s.n):
            if n in done or any(a not in done for a, b, _ in edges if b == n):
                continue
            carry = []
            for slot in range(s.slots):
                arriving = [done[a] for a, b, k in edges if b == n and k == slot]
                leaves = []
                for leaf, first in enumerate(initial):
                    if arriving:
                        total = arriving[0][leaf]
                        for state in arriving[1:]:
                            total = total + state[leaf]
                    else:
                        total = first[int(s.component[n]) if len(first) > 1 else 0]
                    leaves.append(total)
                carry.append(tuple(leaves) if len(leaves) > 1 else leaves[0])
            state, ys[n] = cell(
                t["shared"], tuple(carry) if s.slots > 1 else carry[0], t["inputs"][n]
            )
            done[n] = state if isinstance(state, tuple) else (state,)
    rows = range(s.n)
    states = tuple(mg.stack([done[n][k] for n in rows]) for k in range(len(initial)))
    outputs = {key: mg.stack([ys[n][key] for n in rows]) for key in ys[0]}
    return (states if len(states) > 1 else states[0]), outputs


def recur_is_a_loop(problem: Problem) -> None:
    """Values and gradients of `recur`, of both its unfoldings and of the plain loop."""
    t, states, outputs, loss = record(problem)
    wanted = mg.evaluate((states, outputs, mg.grad(loss, t)))
    loop = plain_loop(problem, t)
    variants = {
        "the plain loop": loop,
        "unfold": mg.unfold((states, outputs)),
        "unfold(expand=True)": mg.unfold((states, outputs), expand=True),
    }
    for name, (s, y) in variants.items():
        close(
            mg.evaluate((s, y, mg.grad(problem.loss(s, y), t))),
            wanted,
            1e-10,
            f"recur against {name}",
        )
    unfolded_grads = mg.unfold(mg.grad(loss, t), expand=True)
    close(mg.evaluate(unfolded_grads), wanted[2], 1e-10, "the gradient, unfolded")


# -- law 3 -----------------------------------------------------------------------------------------


def batched_is_one_by_one(problem: Problem) -> None:
    """Each component alone gives the rows it gives together; gradients of shared tensors add up."""
    t, states, outputs, loss = record(problem)
    wanted = mg.evaluate((states, outputs, mg.grad(loss, t)))
    total = optree.tree_map(np.zeros_like, wanted[2])
    s = problem.structure
    for part in range(s.components):
        rows = np.flatnonzero(s.component == part)
        if not len(rows):
            continue
        number = np.full(s.n, -1)
        number[rows] = np.arange(len(rows))
        mine = np.isin(s.src, rows)
        alone = mg.Structure.edges(
            len(rows), number[s.src[mine]], number[s.dst[mine]], s.slot[mine]
        )
        u = problem.tensors()
        first = optree.tree_map(lambda i, p=part: i[p : p + 1] if len(i) > 1 else i, u["initial"])
        one = Problem(
            alone.with_slots(s.slots), problem.cell, problem.shared, None, problem.inputs[rows],
            problem.weights[:, rows], problem.seed,
        )  # fmt: skip
        here = one.run({"shared": u["shared"], "initial": first, "inputs": u["inputs"][rows]})
        close(
            mg.evaluate(here),
            optree.tree_map(lambda a, r=rows: a[r], wanted[:2]),
            1e-11,
            "one by one",
        )
        grads = mg.evaluate(mg.grad(one.loss(*here), u))
        total = optree.tree_map(np.add, total, grads)
    close(total, wanted[2], 1e-10, "gradients of the parts added up")


# -- law 5, the ledger -----------------------------------------------------------------------------


def contributions_add_up(problem: Problem) -> None:
    t, _, _, loss = record(problem)
    for name, w in t["shared"].items():
        ledger, gradient = mg.evaluate((mg.contributions(loss, w), mg.grad(loss, w)))
        assert ledger.shape[1:] == w.shape
        close(ledger.sum(axis=0), gradient, 1e-10, f"contributions of {name}")
        if ledger.shape[0]:
            assert ledger.shape[0] == problem.structure.n, f"{name}: a row per node"


def contributions_are_per_node(problem: Problem) -> None:
    """Row n of the ledger is the gradient of a copy of the parameter that only node n uses."""
    t, _, _, loss = record(problem)
    n = problem.structure.n
    copies = mg.asarray(np.repeat(problem.shared["W"][None], n, axis=0))
    xs = {"x": t["inputs"], "W": copies}

    def own_weight(shared: Any, carry: Any, x: Any) -> Any:
        return problem.cell({**shared, "W": x["W"]}, carry, x["x"])

    states, outputs = mg.recur(
        own_weight, problem.structure, initial=t["initial"], shared=t["shared"], inputs=xs
    )
    per_node = mg.grad(problem.loss(states, outputs), copies)
    close(
        *mg.evaluate((mg.contributions(loss, t["shared"]["W"]), per_node)),
        1e-10,
        "ledger row by row",
    )


# -- law 6 -----------------------------------------------------------------------------------------


def adjoint(problem: Problem) -> None:
    """<u, J v> == <J^T u, v>, for values and for gradients (second order)."""
    t, states, outputs, loss = record(problem)
    v = directions(t, 2)
    for out in ((states, outputs), mg.grad(loss, t)):
        u = directions(out, 3)
        left = dot(mg.jvp(out, t, v), u)
        right = dot(mg.vjp(out, t, u), v)
        close(*mg.evaluate((left, right)), 1e-9, "<u, Jv> against <J^T u, v>")


def hessian_is_symmetric(problem: Problem) -> None:
    t, _, _, loss = record(problem)
    w = t["shared"]["W"]
    h = mg.evaluate(mg.hessian(loss, w)).reshape(w.size, w.size)
    close(h, h.T, 1e-9, "Hessian against its transpose")


def second_orders_agree(problem: Problem) -> None:
    """Forward over reverse, reverse over reverse, and differences of the gradient."""
    t, _, _, loss = record(problem)
    grads = mg.grad(loss, t)
    v = directions(t, 4)
    reverse = mg.grad(dot(grads, v), t)
    forward = mg.jvp(grads, t, v)
    a, b = mg.evaluate((forward, reverse))
    close(a, b, 1e-9, "forward over reverse against reverse over reverse")


def gradient_is_a_slope(problem: Problem) -> None:
    """The gradient along a random direction against extrapolated differences of the loss:
    correctness."""
    t, _, _, loss = record(problem)
    v = directions(t, 5)
    slope = float(dot(mg.grad(loss, t), v))
    arrays = {"shared": problem.shared, "initial": problem.initial, "inputs": problem.inputs}

    def at(step: float) -> float:
        moved = optree.tree_map(lambda a, d: mg.asarray(a + step * d), arrays, v)
        return float(mg.evaluate(problem.loss(*problem.run(moved))))

    def difference(h: float) -> float:
        return (at(h) - at(-h)) / (2 * h)

    def extrapolated(h: float) -> float:  # Richardson, twice
        return (difference(2 * h) - 20 * difference(h) + 64 * difference(h / 2)) / 45

    scale = max(1.0, abs(slope), abs(float(loss)))
    found = [extrapolated(h) for h in (1e-3, 1e-4, 1e-5)]  # steep losses need the small step
    assert min(abs(f - slope) for f in found) <= 1e-6 * scale, (
        f"slope {slope}, differences say {found}"
    )


LAWS = {
    f.__name__: f
    for f in (
        evaluate_is_reference, recur_is_a_loop, batched_is_one_by_one, contributions_add_up,
        contributions_are_per_node, adjoint, hessian_is_symmetric, second_orders_agree,
        gradient_is_a_slope,
    )
}  # fmt: skip


# -- law 4, for trees ------------------------------------------------------------------------------


def fold_is_a_recursion(cell: Any, trees: list, seed: int = 0) -> None:
    """`rc.fold` against the cell called in a plain recursion over the trees: values and
    gradients."""
    rng = np.random.default_rng(seed)
    words = sum(len(t.words()) for t in trees)
    params = {k: rng.standard_normal(v.shape) for k, v in cell.init(seed).items()}
    t = mg.tensors({"p": params, "x": rng.standard_normal((words, cell.input_size))})
    states, ys = rc.fold(cell, t["p"], trees, t["x"])

    place = iter(range(words))
    zero = optree.tree_map(lambda a: mg.asarray(a[0]), cell.zero_state())
    rows: list[tuple[Any, Any]] = []

    def visit(tree: Any) -> Any:
        children = [visit(c) for c in tree.children]
        x = t["x"][next(place)] if tree.word is not None else mg.zeros(cell.input_size)
        carry = (*children, *[zero] * (cell.arity - len(children)))
        rows.append(cell(t["p"], carry if cell.arity > 1 else carry[0], x))
        return rows[-1][0]

    for tree in trees:
        visit(tree)
    spec = optree.tree_structure(states)
    leaves = zip(*(optree.tree_leaves(state) for state, _ in rows), strict=True)
    wanted_states = optree.tree_unflatten(spec, [mg.stack(leaf) for leaf in leaves])
    wanted = mg.stack([y for _, y in rows])

    def everything(s: Any, y: Any) -> Any:
        weights = rng_weights(y.shape, seed)
        loss = mg.sum(y * weights) + dot(s, s)
        return s, y, mg.grad(loss, t)

    close(
        mg.evaluate(everything(states, ys)), mg.evaluate(everything(wanted_states, wanted)), 1e-11
    )


def rng_weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).standard_normal(shape)
