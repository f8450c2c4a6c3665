"""The ledger of a gradient: what every use of a parameter adds to it, and how that splits up.

A parameter that a recurrence shares is used at each of its nodes,
so its gradient is a sum with a term for every node (Werbos 1990 writes it so).
The terms are projections of the backward recurrence that computes the sum anyway:
their norms cost little more than the gradient, and no term is formed unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import pytrees
from minigrad.arguments import refuse_unreached, scalar_leaf, wrt_leaves
from minigrad.autodiff import backward
from minigrad.graph import placeholder, rebuild, toposort
from minigrad.ops.contract import EINSUM
from minigrad.ops.elementwise import ADD, add_n
from minigrad.recur import PROJ, ROW, SHARED, Index, parts_of, proj, recurrence
from minigrad.structure import SINGLE, Structure, independent

from ..options import choice
from .pictures import axes

__all__ = ["Ledger", "ledger"]


class Entry(NamedTuple):
    """One use of a parameter: where it is, and the norm of what it adds to the gradient.

    net                   : which recurrence, as "LSTM" or "LSTM 2"; "" for a use outside of any.
    step, sequence, level : of the node: its place in its sequence or tree, which of these,
                            and how many nodes are computed before it at the least; None outside.
    """

    parameter: str
    net: str
    direction: str
    sequence: int | None
    step: int | None
    level: int | None
    norm: float


@dataclass(eq=False)
class _Part:
    """One term of a parameter's gradient: the sum over the nodes of one recurrence, or one use."""

    parameter: str
    total: mg.Tensor
    net: str = ""
    direction: str = ""
    per_node: bool = False
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.columns["step"]) if self.per_node else 1

    def grouped(self, numbers: np.ndarray, count: int) -> mg.Tensor:
        """(count, *shape): the terms with each number, added up."""
        if not self.per_node:
            return mg.scatter(mg.expand_dims(self.total, axis=0), numbers, count)
        back, ref = self.total.inputs[0], self.total.attrs["ref"]
        return proj(back, ref, Index(numbers, count))

    def squares(self) -> mg.Tensor:
        """The squared norm of every term, (nodes,): of an outer product from its factors'."""
        if not self.per_node:
            return mg.reshape(mg.sum(mg.square(self.total)), (1,))
        return proj(self.total.inputs[0], _square(self.total.attrs["ref"]), ROW)


def _square(t: mg.Tensor) -> mg.Tensor:
    """The sum of squares of a term: |sum_i a_i b_i'|^2 = sum_ij <a_i, a_j> <b_i, b_j>."""
    pairs = [_factors(x) for x in (t.inputs if t.op is ADD else (t,))]
    total: Any = None
    for k, first in enumerate(pairs):
        for j, second in enumerate(pairs[: k + 1]):
            if first is None or second is None:
                return mg.sum(mg.square(t))
            both = mg.sum(first[0] * second[0]) * mg.sum(first[1] * second[1])
            both = both if j == k else 2 * both
            total = both if total is None else total + both
    return mg.maximum(total, 0) if len(pairs) > 1 else total


def _factors(t: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor] | None:
    """The vectors of an outer product, in the order of its axes."""
    if t.op is not EINSUM or len(t.inputs) != 2:
        return None
    subs, out = t.attrs["subs"], t.attrs["out"]
    if sorted(map(len, subs)) != [1, 1] or len(out) != 2 or subs[0] == subs[1]:
        return None
    return tuple(t.inputs[subs.index(c)] for c in out)  # type: ignore[return-value]


class _Rows:
    """The factors of all terms, a row per node: a group's share is a product of a few rows."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        wanted: dict[Any, mg.Tensor] = {}
        self.pairs: dict[int, list[tuple[mg.Tensor, mg.Tensor]] | None] = {}
        for part in parts:
            if not part.per_node:
                wanted[id(part)] = part.total
                continue
            back, ref = part.total.inputs[0], part.total.attrs["ref"]
            pairs = [_factors(x) for x in (ref.inputs if ref.op is ADD else (ref,))]
            known = [p for p in pairs if p is not None]
            self.pairs[id(part)] = known if len(known) == len(pairs) else None
            whole = self.pairs[id(part)] is None
            for t in [ref] if whole else [t for pair in known for t in pair]:
                wanted.setdefault((back, t), proj(back, t, ROW))
        values = mg.evaluate(list(wanted.values()))
        self.values = dict(zip(wanted, values, strict=True))

    def share(self, part: _Part, rows: np.ndarray | None) -> np.ndarray:
        """What the nodes `rows` of a part add; None: a use outside of any recurrence."""
        if rows is None:
            return self.values[id(part)]
        back, ref = part.total.inputs[0], part.total.attrs["ref"]
        pairs = self.pairs[id(part)]
        if pairs is None:
            return self.values[back, ref][rows].sum(axis=0)
        return sum(self.values[back, a][rows].T @ self.values[back, b][rows] for a, b in pairs)


NODES = ("step", "sequence", "level", "node")
KEYS = (*NODES, "net", "direction", "parameter", "gate", "layer",
        "length")  # fmt: skip


@dataclass(eq=False)
class Ledger:
    """The gradient of a loss, split up by where its parameters are used; made by `ledger`.

    total   : the gradient, structured as the parameters.
    entries : one `Entry` for every use of every parameter.
    """

    params: Any
    parts: list[_Part]
    graph: list[mg.Tensor]

    @cached_property
    def _values(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        squares = [p.squares() for p in self.parts]
        totals, squares = mg.evaluate((self.graph, squares))
        return totals, [np.sqrt(s) for s in squares]

    @property
    def names(self) -> list[str]:
        return [_name(path) for path in pytrees.tree_paths(self.params)]

    @property
    def total(self) -> Any:
        spec = pytrees.tree_structure(self.params)
        return pytrees.tree_unflatten(spec, self._values[0])

    @cached_property
    def entries(self) -> list[Entry]:
        found = []
        for part, norms in zip(self.parts, self._values[1], strict=True):
            for n, norm in enumerate(norms.tolist()):
                at = {k: int(v[n]) if part.per_node else None for k, v in part.columns.items()}
                found.append(Entry(
                    part.parameter, part.net, part.direction, at.get("sequence"), at.get("step"),
                    at.get("level"), norm,
                ))  # fmt: skip
        return found

    def norms(self, by: str = "step") -> dict[Any, float]:
        """The norm of what each group adds, all parameters together; groups as for `by`.

        By step, sequence, level and node for little more than the gradient:
        one share at a time is formed, of the factors of its terms, and let go.
        """
        choice("Ledger.norms", "by", by, KEYS)
        if by in NODES:
            return self._norms_by_nodes(by)
        return {
            key: float(np.sqrt(sum(np.vdot(a, a) for a in group.values())))
            for key, group in self.by(by).items()
        }

    def squares(self) -> dict[str, list[mg.Tensor]]:
        """{parameter: for each of its nets (nodes,), or (1,) for a use outside of any}: the squared
        norm of what every use adds, as Tensors.

        In an `mg.function` they are compiled, with the gradient beside them, so that a training
        step can watch where its gradient comes from.
        """
        found: dict[str, list[mg.Tensor]] = {name: [] for name in self.names}
        for part in self.parts:
            found[part.parameter].append(part.squares())
        return found

    def _norms_by_nodes(self, by: str) -> dict[Any, float]:
        groups: dict[Any, list[tuple[_Part, np.ndarray | None]]] = {}
        for part in self.parts:
            if not part.per_node:
                groups.setdefault(None, []).append((part, None))
                continue
            numbers = part.columns[by]
            order = np.argsort(numbers, kind="stable")
            values, starts = np.unique(numbers[order], return_index=True)
            pieces = np.split(order, starts)[1:]  # of no nodes no piece
            for key, some in zip(values.tolist(), pieces, strict=True):
                groups.setdefault(key, []).append((part, some))
        rows_of = _Rows(self.parts)
        found = {}
        for key in sorted(groups, key=lambda k: (k is None, k or 0)):
            shares: dict[str, np.ndarray] = {}
            for part, rows in groups[key]:
                share = rows_of.share(part, rows)
                known = shares.get(part.parameter)
                shares[part.parameter] = share if known is None else known + share
            found[key] = float(np.sqrt(sum(np.vdot(a, a) for a in shares.values())))
        return found

    def by(self, key: str = "step") -> dict[Any, dict[str, np.ndarray]]:
        """{group: {parameter: its share of the gradient}}; the shares sum to the gradient.

        key : "step" (place in its sequence), "sequence", "level" (depth of a tree, from the
              leaves), "node", "net" (which recurrence), "direction" (of time), "parameter",
              "gate" (the letter behind W_, U_, b_), "layer" (the names before), or
              "length": how many edges lie on the paths from where the loss reaches the recurrence
              to the use. (Paths of one length are taken together, as truncation after so many
              steps would do; of 0, what the loss reads at the node itself.)

        A use outside of all recurrences is in the group None of what only nodes have.
        Raises ValueError for another key.
        """
        choice("Ledger.by", "key", key, KEYS)
        if key == "length":
            return self._by_length()
        keys = [self._keys(part, key) for part in self.parts]
        order: dict[Any, int] = {}
        for found in keys:
            for k in found:
                order.setdefault(k, len(order))
        sums = []
        for part, found in zip(self.parts, keys, strict=True):
            own = sorted(set(found), key=order.__getitem__)
            number = {k: n for n, k in enumerate(own)}
            numbers = np.array([number[k] for k in found], np.int64)
            sums.append((own, part.grouped(numbers, len(own))))
        values = mg.evaluate([t for _, t in sums])
        groups: dict[Any, dict[str, np.ndarray]] = {k: {} for k in order}
        for part, (own, _), rows in zip(self.parts, sums, values, strict=True):
            for k, row in zip(own, rows, strict=True):
                known = groups[k].get(part.parameter)
                groups[k][part.parameter] = row if known is None else known + row
        if None in groups or not all(isinstance(k, int) for k in groups):
            return groups
        return dict(sorted(groups.items()))

    def _keys(self, part: _Part, key: str) -> list[Any]:
        head, _, last = part.parameter.rpartition(".")
        whole: dict[str, Any] = {
            "net": part.net or None, "direction": part.direction or None, "layer": head,
            "parameter": part.parameter, "gate": last.rpartition("_")[2] if "_" in last else last,
        }  # fmt: skip
        if key in whole:
            return [whole[key]] * part.size
        if not part.per_node:
            return [None]
        return part.columns[key].tolist()

    def _by_length(self) -> dict[Any, dict[str, np.ndarray]]:
        groups: dict[Any, dict[str, np.ndarray]] = {}
        recurrences: dict[mg.Tensor, list[_Part]] = {}
        for part in self.parts:
            if part.per_node:
                recurrences.setdefault(part.total.inputs[0], []).append(part)
            else:
                _add(groups, None, part.parameter, mg.evaluate(part.total))
        for back, parts in recurrences.items():
            refs = [p.total.attrs["ref"] for p in parts]
            for length, shares in enumerate(_path_lengths(back, refs)):
                for part, share in zip(parts, shares, strict=True):
                    _add(groups, length, part.parameter, share)
        return groups

    def table(self, by: str = "step", width: int = 40) -> str:
        """Norms of the groups' shares as text, with a bar each; `width` characters for the largest.

        Beside them what they would sum to did none of them cancel.
        """
        norms = self.norms(by)
        top = max([n for n in norms.values() if np.isfinite(n)], default=0.0)
        whole = np.sqrt(sum(np.vdot(a, a) for a in self._values[0]))
        together = sum(norms.values())
        lines = [f"norm of the gradient {whole:.3g}; of its shares by {by} {together:.3g}"]
        size = max((len(str(k)) for k in norms), default=1)
        for k, n in norms.items():
            bar = "#" * round(width * n / top) if top and np.isfinite(n) else ""
            lines.append(f"{k!s:>{size}}  {n:9.3g}  {bar}".rstrip())
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<ledger of {len(self.graph)} parameters: {sum(p.size for p in self.parts)} uses>"

    def plot(self, by: str = "step", ax: Any = None) -> Any:
        """Bars of the groups' norms, one colour a parameter, on matplotlib axes; returns them.

        Raises ImportError where matplotlib is not installed.
        """
        ax = axes(ax, "table() is text, by() the data")
        groups = self.by(by)
        at, below = np.arange(len(groups)), np.zeros(len(groups))
        for k, name in enumerate(self.names):
            sizes = np.array([np.linalg.norm(g.get(name, np.zeros(1))) for g in groups.values()])
            ax.bar(at, sizes, 0.85, bottom=below, label=name, color=f"C{k % 10}",
                   alpha=1 if k < 10 else 0.5)  # fmt: skip
            below = below + sizes
        shown = at[:: -(-len(at) // 25) or 1]
        ax.set_xticks(shown, [str(list(groups)[k]) for k in shown])
        ax.set_xlabel(by)
        ax.set_ylabel("norms of the shares")
        ax.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5),
                  ncols=-(-len(self.names) // 12))  # fmt: skip
        return ax


def _add(groups: dict, key: Any, name: str, share: np.ndarray) -> None:
    known = groups.setdefault(key, {}).get(name)
    groups[key][name] = share if known is None else known + share


def _name(path: tuple) -> str:
    return ".".join(map(str, path)) or "theta"


def ledger(loss: mg.Tensor, params: Any) -> Ledger:
    """The gradient of `loss` by `params` as a ledger: an entry for every use of every parameter.

    loss   : a scalar Tensor.
    params : a Tensor, or a pytree of them, as `mg.tensors(cell.init(0))`.

    Any loss: its recurrences may be chains, forests or grids, several, in layers and directions.
    Norms are there without the terms themselves (an outer product's is the product of its
    factors'); the terms of a group are added where they are made.

    Raises ValueError for a loss with axes, or a node that it does not depend on;
    TypeError for arrays and integers.
    """
    out = scalar_leaf("ledger", loss)
    leaves, _ = wrt_leaves("ledger", "params", params)
    seed = placeholder((), out.dtype, "seed")  # with a number, a sum could be the user's own
    found = backward([out], [seed], leaves)
    refuse_unreached("ledger", "params", [out], params, found)
    split = [_terms(found[t]) if t in found else () for t in leaves]
    new = rebuild([x for terms in split for x in terms], {seed: mg.ones((), dtype=out.dtype)})
    rest, nets = iter(new), _nets(new)
    parts: list[_Part] = []
    graph: list[mg.Tensor] = []
    for t, path, terms in zip(leaves, pytrees.tree_paths(params), split, strict=True):
        made = [next(rest) for _ in terms]
        graph.append(add_n(made) if made else mg.zeros(t.shape, dtype=t.dtype))
        parts += [_part(_name(path), term, nets) for term in reversed(made)]
    return Ledger(params, parts, graph)


def _terms(total: mg.Tensor) -> tuple[mg.Tensor, ...]:
    return total.inputs if total.op is ADD else (total,)


def _nets(terms: Sequence[mg.Tensor]) -> dict[mg.Tensor, str]:
    """What the recurrences behind the terms are called, in the order in which they ran."""
    found: dict[mg.Tensor, str] = {}
    summed = {t.inputs[0] for t in terms if _is_summed(t)}
    for back in reversed([t for t in toposort(terms) if t in summed]):
        own = parts_of(back).block.name.rstrip("'")
        same = sum(n == own or n.startswith(f"{own} ") for n in found.values())
        found[back] = own if not same else f"{own} {same + 1}"
    return found


def _is_summed(t: mg.Tensor) -> bool:
    """Whether a term is itself a sum over the nodes of a recurrence."""
    shared = t.op is PROJ and t.attrs["via"] is SHARED
    return shared and parts_of(t.inputs[0]).structure is not SINGLE


def _part(name: str, term: mg.Tensor, nets: dict[mg.Tensor, str]) -> _Part:
    if not _is_summed(term):
        return _Part(name, term)
    back = term.inputs[0]
    forward = parts_of(back).structure.transpose()
    return _Part(name, term, nets[back], direction(forward), True, places(forward))


def direction(s: Structure) -> str:
    """"forward" or "backward" in time of a structure of chains; "" of any other."""
    if s.kind != "chain" or not len(s.src):
        return ""
    return "forward" if (s.src < s.dst).all() else "backward" if (s.src > s.dst).all() else ""


def places(s: Structure) -> dict[str, np.ndarray]:
    """Of every node its sequence, its place in that by row, and its level in the computation."""
    order = np.argsort(s.component, kind="stable")
    counts = np.bincount(s.component, minlength=s.components)
    step = np.empty(s.n, np.int64)
    step[order] = np.arange(s.n) - np.repeat(np.cumsum(counts) - counts, counts)
    return {"sequence": s.component, "step": step, "level": s.level, "node": np.arange(s.n)}


def _path_lengths(back: mg.Tensor, refs: Sequence[mg.Tensor]) -> Any:
    """For lengths 0, 1, ...: what paths of so many edges add to each of `refs`.

    A backward block is linear in the cotangents that it is given, so those of the outputs and those
    that arrive along edges can be sent through it one after the other.
    """
    block, structure, vias = parts_of(back)
    args = list(mg.evaluate(list(back.inputs)))
    closed, n = block.closed, structure.n
    slots = list(block.slots)
    ports = dict.fromkeys(block.ports.values())
    given = [mg.symbol(f"s{k}", (n, *block.slots[s].shape), dtype=block.slots[s].dtype)
             for k, s in enumerate(slots)]  # fmt: skip
    fixed = [mg.asarray(a) for a in args]
    seeds = block.cache["cotangents"]
    enter = [mg.symbol(f"c{k}", a.shape, dtype=a.dtype) if k < seeds else a
             for k, a in enumerate(fixed)]  # fmt: skip
    step = recurrence(closed, independent(n), [*enter, *given], [*vias, *[ROW] * len(slots)])
    shares = [proj(step, ref, SHARED) for ref in refs]
    leaving = [proj(step, t, ROW) for t in ports]
    state = [np.zeros(t.shape, t.dtype) for t in given]
    cotangents = [args[k] for k in range(seeds)]
    for _ in range(len(structure.levels)):
        values = dict(zip([*given, *enter[:seeds]], [*state, *cotangents], strict=True))
        known = set(mg.nodes([shares, leaving]))
        values = {t: v for t, v in values.items() if t in known}
        found, left = mg.evaluate((shares, leaving), values)
        sent = dict(zip(ports, left, strict=True))
        yield found
        cotangents = [np.zeros_like(c) for c in cotangents]
        state = [np.zeros(t.shape, t.dtype) for t in given]
        for (slot, leaf), into in zip(slots, state, strict=True):
            for (port, other), t in block.ports.items():
                edges = (structure.slot == slot) & (structure.port == port)
                if other == leaf and edges.any():
                    np.add.at(into, structure.dst[edges], sent[t][structure.src[edges]])
        if not any(s.any() for s in state):
            return
