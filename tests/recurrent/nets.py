"""The laws of a net, used by the tests of patterns and of seq2seq."""

import optree

import minigrad as mg

from ..laws import close


def graph_laws(run, args, tolerance=1e-9):
    """Laws 1 and 2 for `run(args) -> outputs`: values and all gradients, compiled, evaluated, and
    unfolded into calls and into ops, against the reference.  Returns the reference's values."""

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


def finite_gradient(run, args, leaf, at, step=1e-5):
    """d sum(square + sin) of run(args) by one number, by central differences."""
    leaves, spec = optree.tree_flatten(args)

    def loss(delta):
        moved = [x.copy() for x in leaves]
        moved[leaf][at] += delta
        outputs = mg.reference(run(optree.tree_unflatten(spec, moved)))
        return sum((x**2).sum() + mg.sin(x).numpy().sum() for x in optree.tree_leaves(outputs))

    return (loss(step) - loss(-step)) / (2 * step)
