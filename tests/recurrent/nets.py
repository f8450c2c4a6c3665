"""The laws of a net, used by the tests of patterns and of seq2seq."""

import optree

import minigrad as mg
from minigrad.testing.laws import close, directions, dot


def graph_laws(run, args, tolerance=1e-9):
    """Laws 1 and 2 for `run(args) -> outputs`: values and all gradients.

    Compiled, evaluated, and unfolded into calls and into ops, against the reference.
    Returns the reference's values.
    """

    def step(args):
        outputs = run(args)
        floats = [t for t in optree.tree_leaves(outputs) if t.dtype.kind == "f"]
        loss = sum(mg.sum(mg.square(t) + mg.sin(t)) for t in floats)
        return outputs, loss, mg.grad(loss, args)

    t = mg.tensors(args)
    recorded = step(t)
    wanted = mg.reference(recorded)
    close(mg.evaluate(step(mg.tensors(args))), wanted, tolerance, "evaluate")
    close(mg.function(step)(args), wanted, tolerance, "compiled")
    close(mg.evaluate(mg.unfold(recorded)), wanted, tolerance, "unfold")
    close(mg.evaluate(mg.unfold(recorded, expand=True)), wanted, tolerance, "unfold(expand=True)")
    return wanted


def tangents_and_cotangents_agree(run, args, seed=0, tolerance=1e-9):
    """Law 6 for `run(args) -> Tensor`: <u, J v> == <J^T u, v>, and <u, H v> == <H u, v>."""
    t = mg.tensors(args)
    out = run(t)
    u, v, w = directions(out, seed), directions(t, seed + 1), directions(t, seed + 2)
    forward = dot(mg.jvp(out, t, v), u)
    close(mg.evaluate(forward), mg.evaluate(dot(mg.vjp(out, t, u), v)), tolerance, "<u, Jv>")
    g = mg.grad(dot(mg.square(out), u), t)
    sides = [dot(mg.grad(dot(g, a), t), b) for a, b in ((v, w), (w, v))]
    close(*mg.evaluate(sides), tolerance, "<u, Hv>")
