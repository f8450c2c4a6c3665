"""A recurrence level by level in NumPy: what `evaluate` runs.

All nodes of one level are computed at once, with a row axis in front;
a rule per *kind* of op says how.
Four stages keep the level loop small:
what all nodes share is computed once,
what depends on a table row once per row,
what no state reaches before the loop (the input product),
and what no state needs after it (output heads).
A sum over nodes is pushed through linear ops, and into a product as one contracted letter:
the gradient of a weight is one product of stacked rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..chunks import Piece
from ..graph import Tensor, toposort
from ..ops.contract import EINSUM
from ..ops.indexing import SCATTER, TAKE, add_rows
from ..recur import (
    PROJ,
    RECUR,
    ROW,
    SHARED,
    Block,
    Index,
    Key,
    Via,
    domain_kinds,
    domains,
    parts_of,
)
from ..structure import Structure
from .reference import Env, arguments_read, compute, demand, noted

Domain = Any  # None: shared; "row": per node; a number: per row of that argument's table


class Stages(NamedTuple):
    """What to run for some projections of a block; the same for all structures with these wires."""

    shared: list[Tensor]  # once
    table: list[Tensor]  # once per table row
    pre: list[Tensor]  # all nodes at once, before the loop
    core: list[Tensor]  # level by level
    post: list[Tensor]  # all nodes at once, after the loop
    slots: dict[Key, Tensor]  # what arrives and is read
    stored: set[Tensor]  # core tensors read outside their level
    sums: dict[
        Tensor, str
    ]  # tensors whose sum over the nodes is wanted: by which rule, inputs before users
    domain: dict[Tensor, Domain]
    demands: dict[Tensor, list[Tensor]]  # of recurrences inside the block


def stages_of(
    block: Block, wires: Any, vias: Sequence[Via], rows: tuple, summed: tuple,
    finite: bool = True,
) -> Stages:  # fmt: skip
    """The stages that compute the tensors `rows` per node and the sums over nodes of `summed`.

    finite : whether what all nodes share is, where a sum goes through a product with it.
    """
    key = ("stages", rows, summed, domain_kinds(vias), wires, finite)
    if key in block.cache:
        return block.cache[key]
    order = block.live((*rows, *summed), wires)
    domain = domains(block, vias, order)
    sums = _sum_rules(order, summed, domain, finite)
    live = set(order)  # the domains are those of all slots, also of those that nothing reads
    ports = [t for t in block.ports.values() if t in live] if wires else []
    roots = [*rows, *ports]
    for t, how in sums.items():
        roots += (
            [t] if how == "rows" else [i for i in t.inputs if how == "contract" or i not in sums]
        )
    needed, demands = demand(order, roots)
    needed.update(*demands.values())
    after_slot: set[Tensor] = set(block.slots.values())
    for t in order:
        if any(i in after_slot for i in t.inputs):
            after_slot.add(t)
    before_port = set(toposort(ports)) | set(block.slots.values())

    def stage(t: Tensor) -> str:
        if t.op is PROJ:  # known as soon as its recurrence has run
            t = t.inputs[0]
        if domain[t] != "row":
            return "shared" if domain[t] is None else "table"
        return "pre" if t not in after_slot else "core" if t in before_port else "post"

    stages: dict[str, list[Tensor]] = {k: [] for k in Stages._fields[:5]}
    for t in order:
        if t in needed:
            stages[stage(t)].append(t)
    outside = set(roots).union(*(t.inputs for t in stages["post"]))
    stored = {t for t in stages["core"] if t in outside}
    slots = {k: t for k, t in block.slots.items() if t in needed}
    block.cache[key] = Stages._make([*stages.values(), slots, stored, sums, domain, demands])
    return block.cache[key]


def summands(t: Tensor, domain: dict) -> list[Tensor] | None:
    """What a linear op adds: the sum of `t` over the nodes is the op applied to theirs.

    None where it is not: rows are picked by numbers of each node's own, or what is added are
    truth values or whole numbers, whose sum is another thing (`any`, or one that wraps around).
    """
    data, index = (t.inputs[:1], t.inputs[1:]) if t.op in (TAKE, SCATTER) else (t.inputs, ())
    if any(i.dtype.kind != "f" for i in data) or any(domain[i] is not None for i in index):
        return None
    return list(data)


def _sum_rules(
    order: Sequence[Tensor], summed: Sequence[Tensor], domain: dict, finite: bool
) -> dict[Tensor, str]:
    """How each wanted sum over the nodes is found.

    linear   : the op applied to the sums of its inputs.
    contract : a product of two per-node operands, the node letter contracted.
    rows     : computed per node, then summed.
               So is a product with what all share, where that is not `finite`:
               inf * a + inf * b may be NaN where inf * (a + b) is not.

    A rule that pushes the sum on adds wants of its own.
    """
    wanted, rules = set(summed), {}
    for t in reversed(order):
        if t not in wanted:
            continue
        per_node = [i for i in t.inputs if domain[i] is not None]
        if domain[t] != "row" or not t.inputs or t.op.kind == "recur":
            rules[t] = "rows"
        elif t.op is EINSUM and len(per_node) > 1:
            rules[t] = "contract"
        elif t.op is EINSUM and not finite:
            rules[t] = "rows"
        elif t.op is EINSUM:
            rules[t] = "linear"
            wanted.update(per_node)
        elif t.op.linear and (data := summands(t, domain)) is not None:
            rules[t] = "linear"
            wanted.update(data)
        else:
            rules[t] = "rows"
    return {t: rules[t] for t in order if t in rules}


def run_levels(r: Tensor, args: list, projections: list[Tensor]) -> list:
    """The values of `projections` of the recurrence `r`, given the values of its arguments."""
    leaving = [(p.attrs["ref"], p.attrs["via"]) for p in projections]
    return execute(*parts_of(r), args, leaving)


def execute(
    block: Block,
    structure: Structure,
    vias: Sequence[Via],
    args: list,
    leaving: list[tuple[Tensor, Via]],
    entering: tuple[Piece, dict[Key, np.ndarray]] | None = None,
    finite: bool = True,
) -> list:
    """Run `block` over `structure`.

    Rows are kept level after level inside, and put back in order on leaving.
    entering: of a chunk, which edges come from others and the states that they bring.
    finite  : as for `stages_of`; found out here.
    """
    n = structure.n
    per_row = tuple(dict.fromkeys(ref for ref, via in leaving if via is not SHARED))
    summed = tuple(dict.fromkeys(ref for ref, via in leaving if via is SHARED))
    p = stages_of(block, structure.wires, vias, per_row, summed, finite)
    levels = structure.levels
    order = np.concatenate(levels) if n else np.zeros(0, np.int64)
    # Whether rows are level after level already.
    plain = len(levels) == 1 or bool((order[:-1] < order[1:]).all())
    shared: Env = {}
    tables: Env = {}  # a table has a row of its own for "none", last
    nodes: Env = {}
    for ph, via, arg in zip(block.inputs, vias, args, strict=True):
        if ph not in p.domain or arg is None:
            continue
        if via is SHARED:
            shared[ph] = arg
        elif via is ROW:
            nodes[ph] = arg if plain else arg[order]
        else:
            tables[ph] = np.concatenate([arg, np.zeros((1, *ph.shape), ph.dtype)])
    index = {k: v.rows[order] % (v.size + 1) for k, v in enumerate(vias) if v.rows is not None}
    tall = {k: v.size + 1 for k, v in enumerate(vias) if v.rows is not None}
    for k in {p.domain[t] for t in p.table if t not in tables}:
        # A row that no node reads is not computed: what stands there need not have a value.
        used, index[k] = np.unique(index[k], return_inverse=True)
        tall[k] = len(used)
        for ph in tables:
            if p.domain[ph] == k:
                tables[ph] = tables[ph][used]

    def look(t: Tensor, at: Any) -> tuple[Any, bool]:
        """A tensor's value for the rows `at`, and whether it has a row axis.

        at : a slice, numbers, or None: all.
        """
        where = p.domain[t]
        if where is None:
            return shared[t], False
        if where != "row":
            return tables[t][index[where] if at is None else index[where][at]], True
        return nodes[t] if at is None else nodes[t][at], True

    for t in p.shared:
        _step(t, shared, p, [(shared.get(i), False) for i in t.inputs], None)
    if finite and not all(np.isfinite(shared[t]).all() for t in _pushed_through(p)):
        return execute(block, structure, vias, args, leaving, entering, finite=False)
    for t in p.table:
        if t not in tables:
            operands = [
                (shared.get(i), False) if p.domain[i] is None else (tables.get(i), True)
                for i in t.inputs
            ]
            _step(t, tables, p, operands, tall[p.domain[t]])
    _stage(p.pre, nodes, p, look, n)
    for t in p.stored:
        nodes[t] = np.zeros((n, *t.shape), t.dtype)
    start = 0
    piece, given = entering or (None, {})
    before = [{}] * len(levels) if piece is None else _entries(piece)
    for rows, arrivals, ghosts in zip(levels, _arrivals(structure), before, strict=True):
        at = slice(start, start + len(rows))
        start += len(rows)
        if p.core:
            _level(p, block, nodes, look, at, arrivals, (ghosts, given))
    _stage(p.post, nodes, p, look, n)
    sums = _sums(p, shared, look, n)
    out = []
    for ref, via in leaving:
        if via is SHARED:
            out.append(sums[ref])
            continue
        value, has_rows = look(ref, None)
        value = value if has_rows else np.broadcast_to(value, (n, *ref.shape))
        if via is not ROW:
            out.append(add_rows(via.size + 1, via.rows[order] % (via.size + 1), value)[: via.size])
        elif plain:
            out.append(value)
        else:
            back = np.empty_like(value)
            back[order] = value
            out.append(back)
    return out


def _stage(stage: list[Tensor], nodes: Env, p: Stages, look: Any, n: int) -> None:
    for t in stage:
        if t not in nodes and t.op is not PROJ:
            _step(t, nodes, p, _operands(t, p, lambda i: look(i, None)), n)


def _operands(t: Tensor, p: Stages, value: Any) -> list[tuple[Any, bool]]:
    """The values of t's inputs.

    An argument of an inner recurrence that nothing asked for reads has none.
    """
    read = set(arguments_read(t, p.demands[t]) if t.op is RECUR else t.inputs)
    return [value(i) if i in read else (None, False) for i in t.inputs]


def _level(
    p: Stages, block: Block, nodes: Env, look: Any, at: slice, arrivals: dict, before: tuple
) -> None:
    """One turn of the loop.

    Gather the states that arrive, run the core, store what is read later.
    """
    m = at.stop - at.start
    local: Env = {}
    for (slot, leaf), ph in p.slots.items():
        total = _gather(ph, leaf, m, arrivals.get(slot, ()), block, look)
        ghosts, given = before
        for port, to, ghost in ghosts.get(slot, ()):
            if (port, leaf) in given:
                total = total + add_rows(m, to, given[port, leaf][ghost])
        local[ph] = total
    for t in p.core:
        if t not in local and t.op is not PROJ:
            pairs = _operands(t, p, lambda i: (local[i], True) if i in local else look(i, at))
            _step(t, local, p, pairs, m)
    for t in p.stored:
        if t in local:
            nodes[t][at] = local[t]


def _gather(ph: Tensor, leaf: int, m: int, arrivals: Any, block: Block, look: Any) -> Any:
    """The states that arrive at one leaf of a slot, wherever they live.

    A port may be anything of the block, also what all nodes share or a table's row.
    """
    total: Any = None
    for port, to, source, whole in arrivals:
        t = block.ports.get((port, leaf))
        if t is None:  # a leaf of the state whose cotangent is no state of the way back
            continue
        rows, has_rows = look(t, source)
        if not has_rows:
            rows = np.broadcast_to(rows, (m if whole else len(to), *t.shape))
        if not whole:
            rows = add_rows(m, to, rows)
        total = rows if total is None else total + rows
    return np.zeros((m, *ph.shape), ph.dtype) if total is None else total


def _entries(piece: Piece) -> list[dict[int, list[tuple]]]:
    """For each level of a chunk and slot: (port, row within the level, ghost), of edges that enter.
    """
    levels = piece.structure.levels
    within = np.empty(piece.structure.n, np.int64)
    for rows in levels:
        within[rows] = np.arange(len(rows))
    found: list[dict[int, list[tuple]]] = [{} for _ in levels]
    level = piece.structure.level[piece.dst]
    keys = np.stack([level, piece.slot, piece.port])
    for k in np.unique(keys, axis=1).T:
        e = np.flatnonzero((keys == k[:, None]).all(axis=0))
        at, slot, port = map(int, k)
        found[at].setdefault(slot, []).append((port, within[piece.dst[e]], piece.ghost[e]))
    return found


def _arrivals(structure: Structure) -> list[dict[int, list[tuple]]]:
    """For each level and slot: (port, row within the level, level-ordered row of the source).

    One for each row.
    """
    known = structure.__dict__.get("_arrivals")
    if known is not None:
        return known
    levels = structure.levels
    size = np.array([len(rows) for rows in levels], np.int64)
    first = np.cumsum(size) - size
    place = np.empty(structure.n, np.int64)
    if levels:
        place[np.concatenate(levels)] = np.arange(structure.n)
    edge_level = structure.level[structure.dst]
    order = np.lexsort((place[structure.dst], structure.port, structure.slot, edge_level))
    result: list[dict[int, list[tuple]]] = [{} for _ in levels]
    if len(order):
        kinds = np.stack([edge_level, structure.slot, structure.port])[:, order]
        cuts = np.flatnonzero((kinds[:, 1:] != kinds[:, :-1]).any(axis=0)) + 1
        for part in np.split(order, cuts):
            level, slot, port = (
                int(a[part[0]]) for a in (edge_level, structure.slot, structure.port)
            )
            to = place[structure.dst[part]] - first[level]
            whole = len(to) == size[level] and bool((to == np.arange(len(to))).all())
            source: Any = place[structure.src[part]]
            if whole and bool((np.diff(source) == 1).all()):
                source = slice(int(source[0]), int(source[-1]) + 1)  # a view, no gather
            result[level].setdefault(slot, []).append((port, to, source, whole))
    structure.__dict__["_arrivals"] = result
    return result


# -- one op for many rows --------------------------------------------------------------------------


def _step(t: Tensor, env: Env, p: Stages, pairs: list[tuple[Any, bool]], m: int | None) -> None:
    """Compute `t` into `env` from its inputs' values.

    Those of them that are marked have a leading axis of m rows.
    """
    if t.op is PROJ or t in env:
        return
    if t.op is RECUR:
        asked = p.demands[t]
        leaving = [(q.attrs["ref"], q.attrs["via"]) for q in asked]
        values = _inner(t, pairs, leaving, m)
        env.update(zip(asked, values, strict=True))
    elif t._value is not None:
        env[t] = t._value
    elif m is None or not t.inputs:
        env[t] = compute(t, dict(zip(t.inputs, (v for v, _ in pairs), strict=True)))
    else:
        with noted(t):
            values = [v for v, _ in pairs]
            env[t] = t.op.numpy(*values, **_row_attrs(t, [has for _, has in pairs], m))


def _row_attrs(t: Tensor, has_rows: Sequence[bool], m: int) -> dict[str, Any]:
    if t.op.kind == "contraction":
        subs = tuple(
            "N" + s if has else s for s, has in zip(t.attrs["subs"], has_rows, strict=True)
        )
        return {"subs": subs, "out": "N" + t.attrs["out"]}
    return t.op.rows(m, t, t.attrs) if t.op.rows else t.attrs


def _inner(
    t: Tensor, pairs: list[tuple[Any, bool]], leaving: list[tuple[Tensor, Via]], m: int | None
) -> list:
    """A recurrence inside a block, for m rows at once: m copies of its structure."""
    block, structure, vias = parts_of(t)
    if m is None:
        return execute(block, structure, vias, [v for v, _ in pairs], leaving)
    n = structure.n
    copy = np.repeat(np.arange(m), n)

    def many(via: Via, has_rows: bool) -> Via:
        if via is SHARED:
            return Index(copy, m) if has_rows else via
        if via is ROW and has_rows:
            return ROW
        rows, size = via.index(n)
        rows = np.tile(rows, m)
        if not has_rows:
            return Index(rows, size)
        return Index(np.where(rows < 0, -1, rows + copy * size), size * m)

    args, entering = [], []
    for (value, has_rows), via in zip(pairs, vias, strict=True):
        args.append(
            value.reshape(-1, *value.shape[2:]) if has_rows and via is not SHARED else value
        )
        entering.append(many(via, has_rows))
    wide = [(ref, many(via, True)) for ref, via in leaving]
    values = execute(block, structure.copies(m), entering, args, wide)
    return [
        v.reshape(m, *via.shape(n, ref.shape))
        for v, (ref, via) in zip(values, leaving, strict=True)
    ]


def _pushed_through(p: Stages) -> list[Tensor]:
    """What all nodes share and a sum over them is multiplied by, after it was taken."""
    products = [t for t, how in p.sums.items() if how == "linear" and t.op is EINSUM]
    return [i for t in products for i in t.inputs if p.domain[i] is None]


def _sums(p: Stages, shared: Env, look: Any, n: int) -> Env:
    """The wanted sums over the nodes, each by its rule."""
    sums: Env = {}
    for t, how in p.sums.items():
        if not n:  # no nodes: nothing is multiplied, not even an infinity by 0
            sums[t] = np.zeros(t.shape, t.dtype)
        elif how == "rows":
            value, has_rows = look(t, None)
            sums[t] = (
                value.sum(axis=0, dtype=t.dtype) if has_rows else value * np.asarray(n, t.dtype)
            )
        elif how == "contract":
            pairs = [look(i, None) for i in t.inputs]
            subs = tuple(
                "N" + s if has else s for s, (_, has) in zip(t.attrs["subs"], pairs, strict=True)
            )
            sums[t] = t.op.numpy(*(v for v, _ in pairs), subs=subs, out=t.attrs["out"])
        else:
            sums[t] = t.op.numpy(
                *(sums[i] if i in sums else shared[i] for i in t.inputs), **t.attrs
            )
    return sums
