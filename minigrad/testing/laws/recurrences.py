"""The laws that every recurrence obeys, each a function of a `Problem`, and all by name: `LAWS`.

What they hold against each other are different ways to one result:
the compiled kernels, the level-batched evaluator, the reference that runs node by node,
the unfolded graph, a plain Python loop.
Agreement is not correctness: that is `gradients_are_correct`,
which asks the oracles of `check_grads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import optree

from ...autodiff import grad, jvp, vjp
from ...io import tensors
from ...ops.arrays import asarray
from ...ops.movement import stack
from ...per_node import contributions
from ...rewrite.unfold import unfold
from ...run.evaluate import evaluate
from ...run.reference import reference
from ...structure import Structure
from ...tracing import recur
from ...transforms import hessian
from ..examples.problems import Problem
from .comparing import close, directions, dot, everything, floats, record, require, wrt_of

SMALL = 40  # elements of the largest parameter whose whole Hessian is formed


# -- law 1: three ways to run one graph ------------------------------------------------------------


def evaluate_is_reference(problem: Problem) -> None:
    """Level by level and node by node: values, gradients and a Hessian-vector product."""
    t, states, outputs, loss = record(problem)
    grads = grad(loss, wrt_of(t))
    second = grad(dot(grads, directions(wrt_of(t), 1)), wrt_of(t))
    results = (states, outputs, loss, grads, second)
    close(evaluate(results), reference(results), 1e-11, "evaluate against reference")


def compiled_is_reference(problem: Problem) -> None:
    """`mg.function` and the reference: values and gradients."""
    from ...compile.function import function

    wanted = reference(everything(problem, problem.tensors()))
    found = function(lambda a: everything(problem, a))(problem.arrays())
    close(found, wanted, 1e-9, "compiled against reference")


def checkpoints_change_nothing(problem: Problem) -> None:
    """The states of all levels kept, of every second and of every third: values, gradients, a
    Hessian-vector product and a jvp."""
    t = problem.tensors()
    wrt, move = wrt_of(t), directions(wrt_of(t), 2)

    def results(checkpoint: int | None) -> Any:
        states, outputs, loss, grads = everything(problem, t, checkpoint)
        second = grad(dot(grads, directions(wrt, 1)), wrt)
        return states, outputs, loss, grads, second, jvp(loss, wrt, move)

    wanted = reference(results(None))
    for every in (1, 2, 3):
        close(evaluate(results(every)), wanted, 1e-11, f"checkpoint={every}")


# -- law 2: a recurrence is a loop -----------------------------------------------------------------


def plain_loop(problem: Problem, t: Mapping[str, Any]) -> tuple[Any, Any]:
    """The recurrence without `recur`: the cell called in Python, row by row and edge by edge."""
    s = problem.structure
    edges = list(zip(s.src.tolist(), s.dst.tolist(), s.slot.tolist(), strict=True))
    first, spec = optree.tree_flatten(t["initial"])
    done: dict[int, list] = {}
    ys: dict[int, Any] = {}
    while len(done) < s.n:
        for n in range(s.n):
            if n in done or any(a not in done for a, b, _ in edges if b == n):
                continue
            carry = []
            for slot in range(s.slots):
                arriving = [done[a] for a, b, k in edges if b == n and k == slot]
                own = [leaf[int(s.component[n]) if len(leaf) > 1 else 0] for leaf in first]
                state = arriving[0] if arriving else own
                for other in arriving[1:]:
                    state = [x + y for x, y in zip(state, other, strict=True)]
                carry.append(optree.tree_unflatten(spec, state))
            x = optree.tree_map(lambda a, n=n: a[n], t["inputs"])
            new, y = problem.cell(t["shared"], tuple(carry) if s.slots > 1 else carry[0], x)
            done[n], ys[n] = optree.tree_leaves(new), optree.tree_map(asarray, y)
    rows = range(s.n)
    leaves = [stack([done[n][k] for n in rows]) for k in range(len(first))]
    states = optree.tree_unflatten(spec, leaves)
    outputs = optree.tree_map(lambda *parts: stack(list(parts)), *(ys[n] for n in rows))
    return states, outputs


def recur_is_a_loop(problem: Problem) -> str | None:
    """`recur`, both its unfoldings, and the cell called in a Python loop: values and gradients."""
    if not problem.structure.n:
        return "no nodes"
    t, states, outputs, loss = record(problem)
    wanted = evaluate((states, outputs, grad(loss, wrt_of(t))))
    variants = {
        "the plain loop": plain_loop(problem, t),
        "unfold": unfold((states, outputs)),
        "unfold(expand=True)": unfold((states, outputs), expand=True),
    }
    for name, (s, y) in variants.items():
        found = evaluate((s, y, grad(problem.loss(s, y), wrt_of(t))))
        close(found, wanted, 1e-10, f"{name} against recur")
    unfolded = unfold(grad(loss, wrt_of(t)), expand=True)
    close(evaluate(unfolded), wanted[2], 1e-10, "the gradient, unfolded")
    return None


# -- laws 3 and 4: rows, batches, padding ----------------------------------------------------------


def batched_is_one_by_one(problem: Problem) -> None:
    """Each component alone gives the rows it gives together; gradients of shared tensors add up."""
    s, wanted = problem.structure, evaluate(everything(problem, problem.tensors()))
    total = optree.tree_map(np.zeros_like, wanted[3])
    for part in range(s.components):
        rows = np.flatnonzero(s.component == part)
        if not len(rows):
            continue
        number = np.full(s.n, -1)
        number[rows] = np.arange(len(rows))
        mine = np.isin(s.src, rows)
        ends = number[s.src[mine]], number[s.dst[mine]], s.slot[mine]
        alone = Structure.edges(len(rows), *ends).with_slots(s.slots)
        u = problem.tensors()
        part_of = {
            "shared": u["shared"],
            "initial": optree.tree_map(
                lambda i, p=part: i[p : p + 1] if len(i) > 1 else i, u["initial"]
            ),
            "inputs": optree.tree_map(lambda i, r=rows: i[r], u["inputs"]),
        }
        one = Problem(alone, problem.cell, None, None, None, rows=rows)
        here = one.run(part_of)
        kept = optree.tree_map(lambda a, r=rows: a[r], wanted[:2])
        close(evaluate(here), kept, 1e-11, f"component {part} alone")
        grads = evaluate(grad(one.loss(*here), wrt_of(u)))
        total = optree.tree_map(np.add, total, grads)
    close(total, wanted[3], 1e-10, "gradients of the components added up")


def ragged_is_padded(problem: Problem) -> str | None:
    """Sequences of different lengths, and the same padded to one length.

    The padding's content never matters, nor does it have a gradient.
    """
    s = problem.structure
    if s.kind != "chain" or not s.n:
        return "not sequences"
    longest = int(s.level.max()) + 1
    place = s.component * longest + s.level  # rows of the padded batch, in the order states flow
    n = s.components * longest
    rows = np.full(n, -1)
    rows[place] = np.arange(s.n)
    padded = Structure.chain([longest] * s.components)
    wanted = evaluate(everything(problem, problem.tensors()))
    for filler in (0.0, 3.0):

        def pad(a: Any, filler: float = filler) -> np.ndarray:
            a = np.asarray(a)
            out = np.full((n, *a.shape[1:]), a[0] if a.dtype.kind != "f" else filler, a.dtype)
            out[place] = a
            return out

        u = tensors({**problem.arrays(), "inputs": optree.tree_map(pad, problem.inputs)})
        wide = Problem(padded, problem.cell, None, None, None, rows=rows)
        states, outputs = wide.run(u)
        found: Any = (states, outputs)
        inside = optree.tree_map(lambda a: a[place], found)
        what = f"padded with {filler:g} against ragged"
        close(evaluate(inside), wanted[:2], 1e-11, what)
        grads = evaluate(grad(wide.loss(states, outputs), wrt_of(u)))
        xs = grads["inputs"]
        own = {**grads, "inputs": [g[place] for g in xs]}
        close(own, wanted[3], 1e-10, f"gradients {what}")
        for g in xs:
            outside = g[rows < 0]
            close(outside, np.zeros_like(outside), 0.0, "gradient of the padding")
    return None


def row_numbers_do_not_matter(problem: Problem) -> str | None:
    """The rows numbered in another order: the same states, outputs and gradients, moved.

    (A reversed structure over reversed inputs is a case of it.)
    """
    s = problem.structure
    if s.n < 2:
        return "one node"
    wanted = evaluate(everything(problem, problem.tensors()))
    for order in (np.arange(s.n)[::-1], np.random.default_rng(3).permutation(s.n)):
        new = np.argsort(order)  # row order[k] becomes row k
        moved = Structure.edges(s.n, new[s.src], new[s.dst], s.slot).with_slots(s.slots)
        was = np.zeros(moved.components, np.int64)
        was[moved.component] = s.component[order]
        u = problem.tensors()
        other = Problem(moved, problem.cell, None, None, None, rows=order)
        states, outputs = other.run({
            "shared": u["shared"],
            "initial": optree.tree_map(lambda i, w=was: i[w] if len(i) > 1 else i, u["initial"]),
            "inputs": optree.tree_map(lambda i, o=order: i[o], u["inputs"]),
        })  # fmt: skip
        both: Any = (states, outputs)
        back = optree.tree_map(lambda a, n=new: a[n], both)
        grads = grad(other.loss(states, outputs), wrt_of(u))
        where = f"rows in the order {order.tolist()}"
        close(evaluate((back, grads)), (wanted[:2], wanted[3]), 1e-10, where)
    return None


# -- law 5: the ledger -----------------------------------------------------------------------------


def contributions_add_up(problem: Problem) -> str | None:
    """What each node adds to the gradient of a parameter sums to the gradient."""
    t, _, _, loss = record(problem)
    if not floats(t["shared"]):
        return "no parameters"
    for w in floats(t["shared"]):
        ledger, gradient = evaluate((contributions(loss, w), grad(loss, w)))
        require(ledger.shape[1:] == w.shape, f"contributions of {w.name}: {ledger.shape}")
        close(ledger.sum(axis=0), gradient, 1e-10, f"contributions of {w.name}")
        if ledger.shape[0]:
            require(ledger.shape[0] == problem.structure.n, f"{w.name}: a row per node")
    return None


def contributions_are_per_node(problem: Problem) -> str | None:
    """Row n of the ledger is the gradient of a copy of the parameters that only node n uses."""
    t, _, _, loss = record(problem)
    n, params = problem.structure.n, floats(t["shared"])
    if not params:
        return "no parameters"
    leaves, spec = optree.tree_flatten(t["shared"])
    place = [k for k, leaf in enumerate(leaves) if leaf.dtype.kind == "f"]
    copies = [asarray(np.repeat(leaves[k].numpy()[None], n, axis=0)) for k in place]

    def own_parameters(shared: Any, carry: Any, x: Any) -> Any:
        mine = list(optree.tree_leaves(shared))
        for k, copy in zip(place, x["copies"], strict=True):
            mine[k] = copy
        return problem.cell(optree.tree_unflatten(spec, mine), carry, x["x"])

    states, outputs = recur(
        own_parameters, problem.structure, initial=t["initial"], shared=t["shared"],
        inputs={"x": t["inputs"], "copies": copies},
    )  # fmt: skip
    per_node = evaluate(grad(problem.loss(states, outputs), copies))
    for w, wanted in zip(params, per_node, strict=True):
        found = evaluate(contributions(loss, w))
        if len(found):
            close(found, wanted, 1e-10, f"contributions of {w.name}, row by row")
        else:
            close(np.zeros_like(wanted), wanted, 0.0, f"contributions of {w.name}: none")
    return None


# -- law 6: derivatives agree with each other ------------------------------------------------------


def adjoint(problem: Problem) -> None:
    """<u, J v> == <J^T u, v>, for values and for gradients (second order)."""
    t, states, outputs, loss = record(problem)
    wrt = wrt_of(t)
    v = directions(wrt, 2)
    for out in (floats((states, outputs)), grad(loss, wrt)):
        u = directions(out, 3)
        left = dot(jvp(out, wrt, v), u)
        right = dot(vjp(out, wrt, u), v)
        a, b = evaluate((left, right))
        close(a, b, 1e-9, "<u, Jv> against <J^T u, v>")


def hessian_is_symmetric(problem: Problem) -> None:
    """<u, H v> == <v, H u> over everything; for a small parameter also its whole Hessian."""
    t, _, _, loss = record(problem)
    wrt = wrt_of(t)
    u, v = directions(wrt, 6), directions(wrt, 7)
    first = grad(loss, wrt)
    sides = [dot(grad(dot(first, a), wrt), b) for a, b in ((v, u), (u, v))]
    a, b = evaluate(sides)
    close(a, b, 1e-9, "<u, Hv> against <v, Hu>")
    for w in [w for w in floats(t["shared"]) if w.size <= SMALL][:2]:
        h = evaluate(hessian(loss, w)).reshape(w.size, w.size)
        close(h, h.T, 1e-9, f"Hessian of {w.name} against its transpose")


def second_orders_agree(problem: Problem) -> None:
    """Forward over reverse and reverse over reverse."""
    t, _, _, loss = record(problem)
    wrt = wrt_of(t)
    grads, v = grad(loss, wrt), directions(wrt, 4)
    reverse = grad(dot(grads, v), wrt)
    forward = jvp(grads, wrt, v)
    a, b = evaluate((forward, reverse))
    close(a, b, 1e-9, "forward over reverse against reverse over reverse")


# -- correctness -----------------------------------------------------------------------------------


def gradient_is_a_slope(problem: Problem) -> None:
    """The gradient along a random direction, against extrapolated differences of the loss."""
    t, _, _, loss = record(problem)
    v = directions(wrt_of(t), 5)
    slope = float(dot(grad(loss, wrt_of(t)), v))
    arrays: Any = problem.arrays()
    leaves, spec = optree.tree_flatten(arrays)

    def at(step: float) -> float:
        move = iter(optree.tree_leaves(v))
        moved = [a + step * next(move) if np.asarray(a).dtype.kind == "f" else a for a in leaves]
        u: Any = optree.tree_map(asarray, optree.tree_unflatten(spec, moved))
        return float(evaluate(problem.loss(*problem.run(u))))

    def difference(h: float) -> float:
        return (at(h) - at(-h)) / (2 * h)

    def extrapolated(h: float) -> float:  # Richardson, twice
        return (difference(2 * h) - 20 * difference(h) + 64 * difference(h / 2)) / 45

    scale = max(1.0, abs(slope), abs(float(loss)))
    found = []
    for h in (1e-3, 1e-4, 1e-5, 1e-6):  # steep losses need small steps, large ones large steps
        found.append(extrapolated(h))
        if abs(found[-1] - slope) <= 1e-6 * scale:
            return
    require(False, f"slope {slope}, differences say {found}")


def gradients_are_correct(problem: Problem) -> str | None:
    """`check_grads` of the loss by parameters, first states and inputs; both modes."""
    from ..checking.check import check_grads

    def loss(arrays: Any) -> Any:
        return problem.loss(*problem.run(arrays))

    report = check_grads(loss, problem.arrays())
    return None if report.conclusive else str(report.verdict)


# -- law 7: the same bits --------------------------------------------------------------------------


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compiled kernels on so many threads, however small the work."""
    from ...compile import runner
    from ...kernels import threads

    kept = threads.count, runner.SPLIT
    setattr(threads, "count", lambda: number)  # noqa: B010  # a function of that module
    runner.SPLIT = -1
    try:
        yield
    finally:
        setattr(threads, "count", kept[0])  # noqa: B010
        runner.SPLIT = kept[1]


def threads_and_calls_agree(problem: Problem) -> None:
    """One thread, two, three, and every call again: the same bits."""
    from ...compile.function import function

    step = function(lambda a: everything(problem, a))
    results: list[list[np.ndarray]] = []
    for number in (1, 2, 3):
        with _threads(number):
            for _ in range(2):
                results.append([np.array(a) for a in optree.tree_leaves(step(problem.arrays()))])
    for k, (one, other) in enumerate(pairwise(results)):
        for a, b in zip(one, other, strict=True):
            if a.tobytes() != b.tobytes():
                what = "the same call twice" if k % 2 == 0 else f"{k // 2 + 1} threads and one more"
                close(b, a, 0.0, what)
                raise AssertionError(f"{what}: zeros or NaN differ in their bits")


LAWS: dict[str, Callable[[Problem], str | None]] = {
    f.__name__: f
    for f in (
        evaluate_is_reference, compiled_is_reference, checkpoints_change_nothing, recur_is_a_loop,
        batched_is_one_by_one, ragged_is_padded, row_numbers_do_not_matter, contributions_add_up,
        contributions_are_per_node, adjoint, hessian_is_symmetric, second_orders_agree,
        gradient_is_a_slope, gradients_are_correct, threads_and_calls_agree,
    )
}  # type: ignore[misc]  # fmt: skip
