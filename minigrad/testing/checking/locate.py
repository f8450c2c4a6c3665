"""Which op's rule is wrong: the recorded graph in topological order, each rule tried alone.

At every op its operands become leaves holding the values they had,
and its own vjp is held against an oracle on its own NumPy function.
The first that disagrees is the fault.
A recurrence is entered: every interior tensor of its block is tried at the rows of its structure,
so that a fault is named with its gate and its step.
Afterwards the recurrence is tried as a whole, its vjp against its unfolding.
"""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autodiff import vjp
from ...graph import Tensor, constant, copied, placeholder, rebuild, toposort, where_recorded
from ...ops.table import TABLE
from ...recur import PROJ, RECUR, ROW, parts_of, proj
from ...run.evaluate import evaluate
from ...run.places import Place, place_of
from ...run.reference import run, run_nodes
from .compare import examine
from .directions import dyadic
from .oracles import complex_step, differences
from .recorded import Recorded
from .verdicts import Finding, Location, Mistake, Verdict, diagnose

ORDINALS = ("first", "second", "third", "fourth")
ALIKE = 48  # how many ops of one kind, attributes and shapes are tried


@dataclass
class _Use:
    """One op with the values of its operands; the recurrences it stands in, outermost first."""

    node: Tensor
    values: list[Any]
    places: tuple[Place, ...] = ()


def locate(
    outputs: Sequence[Tensor], leaves: Sequence[Tensor], rng: np.random.Generator,
    forward: bool = True,
) -> Location | None:  # fmt: skip
    """The first op between the leaves and the outputs whose own rule is wrong.

    None: they are all right.
    forward : if every vjp is right, try every jvp.
    """
    uses: list[_Use] = []
    tried: Counter = Counter()
    for use in _uses(outputs, set(leaves)):
        key = _signature(use.node)
        tried[key] += 1
        if tried[key] <= ALIKE:
            uses.append(use)
            finding = _whole(use, rng) if use.node.op is RECUR else _alone(use, rng, "rev")
            if finding is not None:
                return _located(use, finding)
    for use in (
        uses if forward else ()
    ):  # a jvp is the vjp of a vjp, so the fault may lie in an op that a rule uses
        finding = None if use.node.op is RECUR else _alone(use, rng, "fwd")
        if finding is not None:
            return _in_the_rule(use, rng) or _located(use, finding)
    return None


def _located(use: _Use, finding: Finding, rule: str = "") -> Location:
    t = use.node
    shapes = tuple(v.shape for v in use.values)
    return Location(t.op.name, t.name, shapes, where_recorded(t), finding, use.places, rule, t)


def _in_the_rule(use: _Use, rng: np.random.Generator) -> Location | None:
    """The op within the recorded rule of another that is at fault."""
    t = use.node
    inputs = [constant(v, i.dtype, i.name) for i, v in zip(t.inputs, use.values, strict=True)]
    node = copied(t, inputs)
    leaves = [i for i in inputs if i.dtype.kind == "f"]
    ct = constant(rng.normal(size=t.shape), t.dtype, "u")
    for inner in _uses(vjp([node], leaves, [ct]), {*leaves, ct}):
        finding = None if inner.node.op is t.op else _alone(inner, rng, "rev")
        if finding is not None:
            inner.places = (*use.places, *inner.places)
            return _located(inner, finding, t.op.name)
    return None


def _signature(t: Tensor) -> Any:
    try:
        attrs: Any = tuple(sorted((k, hash(v)) for k, v in t.attrs.items()))
    except TypeError:
        attrs = ()
    return t.op, attrs, tuple(i.shape for i in t.inputs), t.name


# -- one op ----------------------------------------------------------------------------------------


def _alone(use: _Use, rng: np.random.Generator, mode: str) -> Finding | None:
    """The op with its operands as leaves."""
    t = use.node
    if t.dtype.kind != "f" or t.op.name == "stop_gradient":
        return None
    inputs = [constant(v, i.dtype, i.name) for i, v in zip(t.inputs, use.values, strict=True)]
    node = copied(t, inputs)
    pairs = [(i, _operand(t, k)) for k, i in enumerate(inputs) if i.dtype.kind == "f"]
    if not pairs:
        return None
    leaves, names = [i for i, _ in pairs], [name for _, name in pairs]
    try:
        problem = Recorded([node], leaves, names, (mode,))
    except Exception as error:
        return _refused(node, error)
    found = examine(problem, problem.point(), (mode,), rng, cost=1, budget=4000)
    wrong = [f for f in found if f.verdict is Verdict.WRONG]
    if not all(np.isfinite(v).all() for v in use.values):  # what a rule owes to inf is not known
        wrong = [f for f in wrong if f.found is not None and np.isfinite(f.found)]
    elif not wrong and mode == "rev":
        wrong = _spills(problem)
    if not wrong:
        return None
    if not wrong[0].diagnosis and mode == "rev":
        wrong[0].diagnosis = _with_turned_operands(node, leaves, problem, rng)
    return wrong[0]


def _operand(t: Tensor, k: int) -> str:
    """An operand as its rule's author knows it: by the parameter's name, or by its position."""
    name, own = t.inputs[k].name, "its input"
    if len(t.inputs) > 1:
        own = f"its {ORDINALS[k]} input" if k < len(ORDINALS) else f"its input {k + 1}"
    f = t.op.numpy
    if inspect.isfunction(f) and (t.op.name not in TABLE or TABLE[t.op.name].numpy is not f):
        known = [p.name for p in inspect.signature(f).parameters.values() if p.kind in (0, 1)]
        own = f"its input {known[k]}" if k < len(known) else own
    if not name or own == f"its input {name}":
        return own
    return f"{own} {name}" if own == "its input" else f"{own} ({name})"


def _spills(problem: Any) -> list[Finding]:
    """A cotangent of exactly 0 (from `where`, say) stays 0, also where the slope is infinite."""
    found = problem.pull(np.zeros(sum(t.size for t in problem.outputs)), None)
    return [
        Finding(
            name, "rev", 1, Verdict.WRONG, "a cotangent of 0",
            diagnosis="a cotangent of 0 becomes NaN: 0 * inf, where mg.absorb gives 0",
        )
        for name, g in zip(problem.names, found, strict=True) if np.isnan(g).any()
    ]  # fmt: skip


def _refused(node: Tensor, error: Exception) -> Finding | None:
    """A rule whose result cannot be recorded: most often a cotangent of another shape."""
    assert node.op.vjp is not None
    seed = placeholder(node.shape, node.dtype, "u")
    words, name = str(error), "all its inputs"
    try:
        given = node.op.vjp(seed, node, [True] * len(node.inputs))
        for k, (g, x) in enumerate(zip(given, node.inputs, strict=True)):
            if isinstance(g, Tensor) and g.shape != x.shape:
                name = _operand(node, k)
                words = diagnose(Mistake(np.empty(g.shape), np.empty(x.shape)))
                break
    except Exception as again:
        words = f"the rule raises {type(again).__name__}: {again}"
    return Finding(name, "rev", 1, Verdict.WRONG, "recording the gradient", diagnosis=words)


def _with_turned_operands(
    node: Tensor, leaves: Sequence[Tensor], problem: Any, rng: np.random.Generator
) -> str:
    """Whether the wrong rule is the right one with a square operand, or the cotangent, turned."""
    def turned(x: Any) -> Any:
        return np.swapaxes(x, -1, -2) if x.ndim >= 2 and x.shape[-1] == x.shape[-2] else None

    u = dyadic(rng, node.size)
    found = problem.pull(u, None)
    for k, x in enumerate(node.inputs):
        if turned(x._value) is None:
            continue
        inputs = [constant(turned(i._value) if i is x else i._value, i.dtype) for i in node.inputs]
        swap = dict(zip(node.inputs, inputs, strict=True))
        other = copied(node, inputs)
        true = _true(Recorded([other], [swap[i] for i in leaves], problem.names, ()), u)
        for name, a, b in zip(problem.names, found, true, strict=True):
            if a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-9):
                return f"{_operand(node, k)} is transposed in the rule for {name}"
    turned_u = turned(u.reshape(node.shape))
    if turned_u is not None:
        for name, a, b in zip(
            problem.names, found, _true(problem, turned_u.reshape(-1)), strict=True
        ):
            if np.allclose(a, b, rtol=1e-6, atol=1e-9):
                return f"the cotangent is transposed in the rule for {name}"
    return ""


def _true(problem: Any, u: Any) -> list[Any]:
    """The gradients of <u, f> by the oracle, element by element."""
    p = problem.point()
    moves = []
    for j, x in enumerate(p.xs):
        for k in range(x.size):
            d = np.zeros(x.size)
            d[k] = 1
            moves.append([d.reshape(x.shape) if i == j else None for i in range(len(p.xs))])
    slopes = (complex_step if p.analytic and not p.ties else differences)(p, moves)
    flat = (slopes.plus @ u).astype(float)
    ends = np.cumsum([x.size for x in p.xs])[:-1]
    return [part.reshape(x.shape) for part, x in zip(np.split(flat, ends), p.xs, strict=True)]


def lost_use(problem: Any, rng: np.random.Generator) -> str:
    """Whether a wrong gradient is the true one without the contribution of one use of an input."""
    if sum(x.size for x in problem.xs) * problem.cost > 20_000:
        return ""
    u = dyadic(rng, sum(t.size for t in problem.outputs))
    order = toposort(problem.outputs)
    pairs = zip(
        problem.leaves, problem.names, problem.pull(u, None), _true(problem, u), strict=True
    )
    for x, name, found, true in pairs:
        readers = [t for t in order if any(i is x for i in t.inputs) and t.op is not RECUR]
        if np.allclose(found, true, rtol=1e-6) or len(readers) < 2:
            continue
        for reader in readers:
            copy = constant(x._value, x.dtype)
            new = copied(reader, [copy if i is x else i for i in reader.inputs])
            alone = Recorded(rebuild(problem.outputs, {reader: new}), [copy], [name], ())
            if np.allclose(found + _true(alone, u)[0], true, rtol=1e-6):
                at = where_recorded(reader)
                words = f"missing term: the gradient by {name} lacks its use by {reader.op.name}"
                return words + (f", recorded at {at}" if at else "")
    return ""


# -- every op of a graph ---------------------------------------------------------------------------


def _active(order: Sequence[Tensor], sources: set[Tensor]) -> set[Tensor]:
    found = set(sources)
    for t in order:
        if any(i in found for i in t.inputs):
            found.add(t)
    return found


def _uses(outputs: Sequence[Tensor], leaves: set[Tensor]) -> Iterator[_Use]:
    """Ops in topological order with their operands' values; a recurrence after its interior."""
    order = toposort(outputs)
    active = _active(order, leaves)
    wanted = [t for t in order if t.op is not RECUR]
    env = dict(zip(wanted, evaluate(wanted), strict=True))
    for t in order:
        if not t.inputs or t.op is PROJ or not any(i in active for i in t.inputs):
            continue
        values = [env[i] for i in t.inputs]
        if t.op is RECUR:
            asked = [p for p in order if p.op is PROJ and p.inputs[0] is t]
            yield from _inside(_Use(_fixed(t, values), values), [p.attrs["ref"] for p in asked])
            yield _Use(_with_projections(t, values, asked), values)
        else:
            yield _Use(t, values)


def _fixed(r: Tensor, values: Sequence[Any]) -> Tensor:
    """The recurrence on constants."""
    pairs = zip(r.inputs, values, strict=True)
    return copied(r, [constant(v, i.dtype, i.name) for i, v in pairs])


def _with_projections(r: Tensor, values: Sequence[Any], asked: Sequence[Tensor]) -> Tensor:
    """As `_fixed`, with the projections that are asked for (kept in the attributes)."""
    new = _fixed(r, values)
    new.attrs["asked"] = [proj(new, p.attrs["ref"], p.attrs["via"]) for p in asked]
    return new


def _inside(first: _Use, refs: Sequence[Tensor]) -> Iterator[_Use]:
    """The interior of a recurrence, op by op and for each op row by row.

    Recurrences inside it follow, at one row each.
    """
    queue: deque[tuple[Tensor, list[Tensor], tuple[Place, ...]]]
    queue = deque([(first.node, list(refs), ())])
    while queue:
        r, refs, outer = queue.popleft()
        block, structure, _ = parts_of(r)
        order = block.live(tuple(dict.fromkeys(refs)), structure.wires)
        number = {t: k for k, t in enumerate(block.inputs)}
        plain = [t for t in order if t.op is not RECUR and t not in number]
        read = [proj(r, t, ROW) for t in plain]
        env = run(read, run_nodes) if read else {}
        table = {t: env[p] for t, p in zip(plain, read, strict=True)}
        rows = [int(n) for level in structure.levels for n in level][:ALIKE]

        def value(t: Tensor, n: int, known: Any = (r, table, number)) -> Any:
            at, found, number = known
            if t in found:
                return found[t][n]
            k = number[t]
            return parts_of(at).vias[k].enter(at.inputs[k]._value, n)

        for t in order:
            if not t.inputs or t.op is PROJ:
                continue
            for n in rows if t.op is not RECUR else rows[:1]:
                values = [value(i, n) for i in t.inputs]
                places = (*outer, place_of(r, t, n))
                if t.op is RECUR:
                    inner = [p.attrs["ref"] for p in order if p.op is PROJ and p.inputs[0] is t]
                    queue.append((_fixed(t, values), inner, places))
                else:
                    yield _Use(t, values, places)


def _whole(use: _Use, rng: np.random.Generator) -> Finding | None:
    """The recurrence's own vjp against its unfolding."""
    r = use.node
    outputs = [p for p in r.attrs["asked"] if p.dtype.kind == "f"]
    leaves = [a for a in r.inputs if a.dtype.kind == "f"]
    if not outputs or not leaves:
        return None
    names = [a.name or f"argument {k}" for k, a in enumerate(leaves)]
    problem = Recorded(outputs, leaves, names, ("rev",))
    found = examine(problem, problem.point(), ("rev",), rng, cost=problem.cost, budget=20_000)
    return next((f for f in found if f.verdict is Verdict.WRONG), None)
