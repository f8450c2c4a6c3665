"""Values, node by node: the loop over the graph, and `reference`.

`reference` runs every recurrence one structure node at a time, with nothing clever in it:
it is the oracle that every faster way of running a graph is held against.
The loop itself (`run`) is shared: it is given the way of a recurrence as a `Runner`.
Nothing here compiles anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import pytrees
from ..chunks import cut, same_chunks
from ..graph import INPUT, Tensor, rebuild, toposort, where_recorded
from ..recur import PROJ, RECUR, ROW, parts_of
from ..symbols import exchanged

Env = dict[Tensor, Any]
# (recur node, argument values, projections, those that need not be held: `unheld`) -> their values
Runner = Callable[[Tensor, list, list[Tensor], Collection[Tensor]], list]


def reference(tree: Any, values: Mapping[Tensor, Any] | None = None) -> Any:
    """The values of all Tensors in a pytree, like `evaluate`: the oracle.

    One structure node at a time, from the leaves, keeping nothing.
    values : of nodes that are given theirs, as `evaluate` takes them.
    Raises what `evaluate` raises.
    """
    leaves, spec = with_values("reference", tree, values)
    tensors = [t for t in leaves if isinstance(t, Tensor)]
    env = run(tensors, run_nodes)
    return pytrees.tree_unflatten(
        spec, [frozen(env[t], t) if isinstance(t, Tensor) else t for t in leaves]
    )


def with_values(
    who: str, tree: Any, values: Mapping[Tensor, Any] | None
) -> tuple[list[Any], Any]:
    """(leaves, form) of a pytree whose Tensors are computed from `values` in some nodes' places."""
    leaves, spec = pytrees.tree_flatten(tree)
    if values is not None:
        tensors = [t for t in leaves if isinstance(t, Tensor)]
        new = iter(rebuild(tensors, exchanged(who, tensors, values, spare=True)))
        leaves = [next(new) if isinstance(t, Tensor) else t for t in leaves]
    return leaves, spec


def frozen(value: Any, t: Tensor) -> np.ndarray:
    """A computed value as a read-only array of the dtype that was recorded."""
    array = np.asarray(value, dtype=t.dtype)
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def run(
    outputs: Sequence[Tensor], runner: Runner, remember: bool = False,
    given: Mapping[Tensor, Any] = MappingProxyType({}),
) -> Env:  # fmt: skip
    """The values of `outputs`.

    With `remember` also those of all projections alive of each recurrence that ran.
    given: values of some nodes, such as the placeholders of a trace.
    """
    has = _has_value if remember else _is_constant

    def known(t: Tensor) -> bool:
        return t in given or has(t)

    order = toposort(outputs, stop=known)
    needed, demands = demand(order, outputs, remember)
    last: dict[Tensor, Tensor] = {}  # the last reader of each value, after which it is dropped
    for t in order:
        if t in needed:
            last.update(dict.fromkeys(t.inputs, t))
    keep = set(outputs)
    if remember:
        keep.update(*(ps for r, ps in demands.items() if not cut(parts_of(r).structure)))
    loose = unheld([t for t in order if t in needed], keep)
    env: Env = {}
    with np.errstate(all="ignore"):
        for t in order:
            if t not in needed:
                continue
            if known(t):
                env[t] = given[t] if t in given else t._value
            elif t.op is RECUR:
                values = runner(t, [env.get(i) for i in t.inputs], demands[t], loose)
                env.update(zip(demands[t], values, strict=True))
            elif t.op is not PROJ:
                env[t] = compute(t, env)
            for i in t.inputs:
                if last[i] is t and i not in keep:
                    env.pop(i, None)
    return {t: env[t] for t in keep}


def _has_value(t: Tensor) -> bool:
    return t._value is not None


def _is_constant(t: Tensor) -> bool:
    """A leaf: the only value that was not computed, so the only one the reference takes."""
    return t._value is not None and not t.inputs


def demand(
    order: Sequence[Tensor], outputs: Sequence[Tensor], alive: bool = False
) -> tuple[set[Tensor], dict[Tensor, list[Tensor]]]:
    """Which nodes of a topological order must run, and which projections of each recurrence.

    A recurrence's argument that the projections asked for do not read is not computed at all.
    """
    needed: set[Tensor] = set(outputs)
    demands: dict[Tensor, list[Tensor]] = {}
    unknown = _without_value(order) if alive else set()
    known = _has_value if alive else _is_constant
    for t in reversed(order):
        if t not in needed or known(t):
            continue
        if t.op is PROJ:
            demands.setdefault(t.inputs[0], []).append(t)
        if t.op is RECUR:
            asked = demands[t]
            if alive and not cut(parts_of(t).structure):
                those = set(asked)
                asked += [
                    p
                    for p in t.attrs["projections"].values()
                    if p not in those
                    and p._value is None
                    and unknown.isdisjoint(arguments_read(t, [p]))
                ]
            needed.update(arguments_read(t, asked))
        else:
            needed.update(t.inputs)
    return needed, demands


def unheld(order: Sequence[Tensor], outputs: Collection[Tensor]) -> set[Tensor]:
    """Of what must run: the rows that only recurrences cut into the same chunks read, by row.

    Such rows can be computed again, chunk by chunk, when they are read.
    """
    found: set[Tensor] = set()
    whole: set[Tensor] = set(outputs)
    for t in order:
        for k, x in enumerate(t.inputs):
            if x.op is not PROJ or x.attrs["via"] is not ROW:
                continue
            mine, by_row = parts_of(x.inputs[0]).structure, False
            if t.op is RECUR:
                _, structure, vias = parts_of(t)
                by_row = vias[k] is ROW and same_chunks(mine, structure)
            (found if by_row else whole).add(x)
    return found - whole


def arguments_read(r: Tensor, projections: Sequence[Tensor]) -> list[Tensor]:
    """The arguments of the recurrence `r` that these projections depend on."""
    block, structure, _ = parts_of(r)
    refs = tuple(dict.fromkeys(p.attrs["ref"] for p in projections))
    live = set(block.live(refs, structure.wires))
    return [i for i, ph in zip(r.inputs, block.inputs, strict=True) if ph in live]


def _without_value(order: Sequence[Tensor]) -> set[Tensor]:
    """What depends on a placeholder: a jvp leaves projections alive that read its seeds."""
    found: set[Tensor] = {t for t in order if t.op is INPUT}
    for t in order if found else ():
        if t._value is not None or t.op is RECUR:
            continue
        reads = arguments_read(t.inputs[0], [t]) if t.op is PROJ else t.inputs
        if any(i in found for i in reads):
            found.add(t)
    return found


def compute(t: Tensor, env: Env) -> Any:
    """One ordinary node."""
    if t.op is INPUT:
        raise _no_value(t)
    with noted(t):
        value = t.op.numpy(*[env[i] for i in t.inputs], **t.attrs)
        if np.shape(value) != t.shape:
            raise ValueError(
                f"{t.op.name} computed an array of shape {np.shape(value)} where its shape rule "
                f"says {t.shape}"
            )
        return value


def _no_value(ph: Tensor) -> TypeError:
    """The error for reading a value that does not exist while a function is traced."""
    trace = ph.attrs["trace"]
    if "symbol" in ph.attrs:
        return TypeError(
            f"{ph.name} (shape {ph.shape}) is a symbol: it has no value until one is given, as in "
            f"mg.evaluate(y, {{{ph.name}: ...}}); mg.expr(y) shows what is computed from it"
        )
    return TypeError(
        f"the value of {ph.name or 'an input'} (shape {ph.shape}) is not known while "
        f"{'a function' if trace is None else repr(trace.name)} is traced: "
        "a traced function is run once with symbols, "
        "so it cannot print, branch on or convert a Tensor. "
        "Use mg.where for a choice, mg.maximum/mg.clip for bounds, and return what you want to see"
    )


@contextmanager
def noted(t: Tensor) -> Iterator[None]:
    """An error says which node was computed, and where it was recorded."""
    try:
        yield
    except Exception as error:
        at = where_recorded(t)
        error.add_note(f"while {t.op.name} was computed{f', recorded at {at}' if at else ''}")
        raise


# -- a recurrence, one node at a time --------------------------------------------------------------


def run_nodes(
    r: Tensor, args: list, projections: list[Tensor], loose: Collection[Tensor] = ()
) -> list:
    """The reference: the block at every node of the structure in turn, as its definition says.

    It holds everything, `loose` or not.
    """
    block, structure, vias = parts_of(r)
    refs = tuple(dict.fromkeys(p.attrs["ref"] for p in projections))
    order = block.live(refs, structure.wires)
    live = set(order)
    sent = [t for t in block.ports.values() if t in live]
    needed, demands = demand(order, [*refs, *sent])
    arrivals: list[list[int]] = [[] for _ in range(structure.n)]
    for e, row in enumerate(structure.dst.tolist()):
        arrivals[row].append(e)
    at: list[Env] = [{}] * structure.n
    for rows in structure.levels:
        for n in rows.tolist():
            env: Env = {}
            for ph, via, arg in zip(block.inputs, vias, args, strict=True):
                if ph in needed:
                    env[ph] = via.enter(arg, n)
            for (slot, leaf), ph in block.slots.items():
                if ph in needed:
                    total = np.zeros(ph.shape, ph.dtype)
                    for e in arrivals[n]:
                        port = block.ports.get((int(structure.port[e]), leaf))
                        if structure.slot[e] == slot and port is not None:
                            total = total + at[int(structure.src[e])][port]
                    env[ph] = total
            for t in order:
                if t in env or t not in needed:
                    continue
                if t.op is RECUR:
                    values = run_nodes(t, [env.get(i) for i in t.inputs], demands[t])
                    env.update(zip(demands[t], values, strict=True))
                elif t.op is not PROJ:
                    env[t] = t._value if _is_constant(t) else compute(t, env)
            at[n] = {t: env[t] for t in (*refs, *sent)}
    return [_leave([env[p.attrs["ref"]] for env in at], p) for p in projections]


def _leave(rows: list, p: Tensor) -> np.ndarray:
    values = np.array(rows, p.dtype).reshape(len(rows), *p.attrs["ref"].shape)
    return p.attrs["via"].leave(values)
