"""Where a NaN or an infinity was born.

`first_nonfinite` names the op, the element, the step and the sample.

Sits on the engine and the evaluator and is imported by neither;
`mg.function(f, nan_check=True)` calls it when a result turns out bad.
It works in two passes over the graph:

* **forward**: every value is computed again and kept, those inside a recurrence too
  (level by level, one row per node of the structure);
* **backward**: from the bad elements of the outputs, back through the elements that made them bad.
  An op is put to the test: its bad inputs are replaced by finite numbers,
  then each input in turn keeps its NaNs (or +inf, or -inf) alone.
  If the result is the same NaN or infinity with none of them, the op made it itself: an *origin*.
  If it is with one of them, the walk goes on there;
  if it takes several (inf - inf), it goes on at all of them.
  What `where`, `minimum` or exp(-inf) = 0 stopped is never reached,
  so a deliberate mask is not blamed,
  not even for a NaN beside it that swallows it (-inf - NaN is a NaN because of the NaN).

Which elements of an input an element of a result depends on
is the same place for an elementwise op,
and for any other op what its vjp, the transposed map, returns
for a cotangent marking the elements in question.

The first origin is reported: forward before backward, then in the order of evaluation;
inside a recurrence by level, then by op, then by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import pytrees
from ..graph import INPUT, Tensor, constant, copied, toposort, where_recorded
from ..recur import PROJ, RECUR, ROW, SHARED, domains, parts_of
from ..sites import line, order_of, rule_of
from .chunkwise import run_cut
from .levels import execute, run_levels
from .origins import CLASSES, Mask, Origin, bad_elements, cause, classes_of
from .places import place_of
from .reference import Env, compute, demand, frozen, run

Key = tuple[int, ...]  # sorts origins: derivative order, then position in the evaluation
PROBES = (0.5, 2.0, -0.5, 0.0)  # stand in for bad inputs: what holds must hold with all of them


def first_nonfinite(
    output: Any, *, kinds: Sequence[str] = ("nan", "inf"), harmless: bool = False
) -> Origin | None:
    """The first op, in the order of evaluation, that made a NaN or infinity out of finite inputs.

    None if there is none.

    output   : a Tensor or pytree of Tensors, values or gradients;
               everything is computed again, with every value inside the recurrences in memory.
    kinds    : what counts as bad: "nan", "inf" or both.
               With ("nan",) infinities are ordinary numbers,
               and what is named is the op that made NaN of them (inf - inf).
    harmless : False: only what reaches a bad element of the output counts,
               so None if the output is good.
               True: also what a `where` or exp(-inf) = 0 stops on the way.

    Raises ValueError for other kinds, TypeError for outputs without a value (inside a trace).
    """
    return find(output, {}, kinds=kinds, harmless=harmless)


def find(
    output: Any,
    given: Mapping[Tensor, Any],
    *,
    kinds: Sequence[str] = ("nan", "inf"),
    harmless: bool = False,
) -> Origin | None:
    """`first_nonfinite` of a traced graph, with the values of its placeholders."""
    paths, leaves, _ = pytrees.tree_flatten_with_path(output)
    outputs = {
        t: ".".join(map(str, path))
        for path, t in zip(paths, leaves, strict=True)
        if isinstance(t, Tensor)
    }
    with np.errstate(all="ignore"):
        return _Search(classes_of(kinds), harmless).run(outputs, given)


# -- one op ----------------------------------------------------------------------------------------


def reads(t: Tensor, xs: Sequence[Any], k: int, mask: Mask) -> Mask:
    """The elements of input k that the elements `mask` of the result depend on."""
    shape = np.shape(xs[k])
    if t.op.kind == "elementwise" and shape == mask.shape:
        return mask
    everything = np.full(shape, mask.any())
    if t.op.vjp is None or not mask.any():
        return everything
    ones = [constant(np.ones_like(x) if np.asarray(x).dtype.kind == "f" else x) for x in xs]
    node = copied(t, ones)
    g = t.op.vjp(constant(mask.astype(t.dtype)), node, [i == k for i in range(len(xs))])[k]
    if g is None:
        return everything
    marked = np.asarray(run([g], run_cut)[g]) != 0
    return marked if marked.any() else everything


class _Verdict(NamedTuple):
    own: Mask  # bad whatever the bad inputs are
    into: dict[int, Mask]  # input -> its elements that make the rest bad


class _Search:
    """The walk back, and the first origin met so far."""

    def __init__(self, classes: tuple[str, ...], harmless: bool):
        self.classes, self.harmless = classes, harmless
        self.first: tuple[Key, Tensor, list, Any, Mask, str | None, list] | None = None
        self.known: dict[Any, Mask] = {}

    def bad(self, x: Any) -> Mask:
        return bad_elements(x, self.classes)

    def origin(
        self, position: Key, t: Tensor, xs: list, value: Any, own: Mask,
        op: str | None = None, places: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """Remember an origin if it comes before the one known; `places`: (recurrence, row)s."""
        key = (order_of(t.site), *position)
        if own.any() and (self.first is None or key < self.first[0]):
            self.first = key, t, xs, value, own, op, list(places)

    def test(self, t: Tensor, xs: list, value: Any, mask: Mask) -> _Verdict:
        """Did `t` make the bad elements `mask` of its value itself; if not, which inputs did?"""
        wrong = {k: w for k, x in enumerate(xs) for w in [self.bad(x)] if w.any()}
        if not wrong:
            return _Verdict(mask, {})

        def trial(probe: float, kept: int | None = None, where: Any = True) -> Any:
            """The result with all bad inputs replaced but those at `where` of input `kept`."""
            new = list(xs)
            for k, w in wrong.items():
                gone = w & ~where if k == kept else w
                new[k] = np.where(gone, np.asarray(probe, xs[k].dtype), xs[k])
            return t.op.numpy(*new, **t.attrs)

        def enough(*kept: Any) -> Mask:
            """The elements of `mask` that are then still what they are: NaN, or that infinity."""
            left = mask
            for probe in PROBES if mask.any() else ():
                x = trial(probe, *kept)
                left = left & ((x == value) | (np.isnan(x) & np.isnan(value)))
            return left

        own = enough()
        into: dict[int, Mask] = {}
        unexplained = mask & ~own
        for k in wrong:
            for c in self.classes:
                where = np.asarray(CLASSES[c](xs[k]))
                if where.any():
                    guilty = enough(k, where)
                    unexplained = unexplained & ~guilty
                    self._into(into, t, xs, k, guilty, where, own)
        for k, w in wrong.items() if unexplained.any() else ():  # bad only together
            self._into(into, t, xs, k, unexplained, w, own)
        return _Verdict(own, into)

    def _into(
        self, into: dict, t: Tensor, xs: list, k: int, mask: Mask, where: Mask, own: Mask
    ) -> None:
        """Blame the elements of input k among `where` that the elements `mask` of t depend on."""
        if not mask.any():
            return
        key = t, k, mask.tobytes()
        if key not in self.known:
            self.known[key] = reads(t, xs, k, mask)
        hit = self.known[key] & where
        if not hit.any() and (mask & ~own).any():  # the vjp did not tell: any of them
            hit = where
        add(into, k, hit)

    # -- the graph outside recurrences -------------------------------------------------------------

    def run(self, outputs: dict[Tensor, str], given: Mapping[Tensor, Any]) -> Origin | None:
        order = toposort(outputs)
        needed, demands = demand(order, list(outputs))
        env: Env = {}
        for t in order:
            if t not in needed or t.op is PROJ:
                continue
            if t in given:
                env[t] = np.asarray(given[t])
            elif t.op is RECUR:
                values = run_levels(t, [env.get(i) for i in t.inputs], demands[t])
                env.update(zip(demands[t], values, strict=True))
            else:
                env[t] = t._value if not t.inputs and t._value is not None else compute(t, env)
                env[t] = frozen(env[t], t)
        masks: dict[Tensor, Mask] = {t: self.bad(env[t]) for t in outputs}
        seen = next((path for t, path in outputs.items() if masks[t].any()), None)
        if seen is None and not self.harmless:
            return None
        if self.harmless:
            masks = {t: self.bad(x) for t, x in env.items()}
        for place in reversed(range(len(order))):
            t = order[place]
            if t.op is RECUR:
                self._enter_recurrence(t, demands.get(t, ()), masks, env.get, (place,), [])
            elif t in masks and t.op is not PROJ:
                self.step(t, masks, env.get, (place,), [])
        return self.describe(seen or "")

    def step(
        self, t: Tensor, masks: dict[Tensor, Mask], value: Any, position: Key, places: list
    ) -> None:
        """An ordinary node: pass its mask on to its inputs, or report it."""
        mask = masks.pop(t)
        if not mask.any():
            return
        if not t.inputs:
            self.origin(position, t, [], value(t), mask, places=places)
            return
        xs = [value(i) for i in t.inputs]
        own, into = self.test(t, xs, value(t), mask)
        self.origin(position, t, xs, value(t), own, places=places)
        for k, m in into.items():
            add(masks, t.inputs[k], m)

    def _enter_recurrence(
        self, r: Tensor, asked: Sequence[Tensor], masks: dict, value: Any, position: Key,
        places: list,
    ) -> None:  # fmt: skip
        """Pass the masks of a recurrence's projections on to its arguments."""
        seeds = [(p, value(p), masks.pop(p, np.zeros(p.shape, bool))) for p in asked]
        if not self.harmless:  # else the values inside are looked at in any case
            seeds = [(p, x, m) for p, x, m in seeds if m.any()]
        if not seeds:
            return
        args = [value(i) for i in r.inputs]
        inside = _Interior(self, r, args, [p for p, *_ in seeds], position, places)
        for k, m in inside.walk(seeds):
            add(masks, r.inputs[k], m & self.bad(args[k]))

    # -- words -------------------------------------------------------------------------------------

    def describe(self, output: str) -> Origin | None:
        if self.first is None:
            return None
        key, t, xs, value, own, op, places = self.first
        value = np.asarray(value)
        index = tuple(int(i) for i in np.argwhere(own)[0])
        one = np.zeros(own.shape, bool)
        one[index] = True
        numbers = [
            tuple(np.asarray(x)[one if op is not None else reads(t, xs, k, one)].tolist())
            for k, x in enumerate(xs)
        ]
        kind = next(c for c, holds in CLASSES.items() if holds(value[index]))
        rule = rule_of(t.site)
        return Origin(
            op=op or t.op.name, name=t.name, kind=kind, index=index, shape=value.shape,
            count=int(own.sum()), inputs=tuple(numbers), cause=cause(t, op, numbers, kind),
            line=where_recorded(t), order=key[0],
            rule=rule and (rule[0], rule[1], line(rule[2]) if rule[2] is not None else ""),
            places=tuple(place_of(r, u, row) for r, u, row in places), output=output,
        )  # fmt: skip


def add(masks: dict[Any, Mask], t: Any, mask: Mask) -> None:
    masks[t] = masks[t] | mask if t in masks else mask


# -- inside a recurrence ---------------------------------------------------------------------------

Home = Any  # a row; or, for what is not computed per node, None (all) or (argument, table row)


class _Interior:
    """The values inside a recurrence, and the walk back through them."""

    def __init__(
        self, search: _Search, r: Tensor, args: list, asked: Sequence[Tensor], position: Key,
        places: list,
    ):  # fmt: skip
        self.search, self.r, self.args = search, r, args
        self.position, self.places = position, places
        self.block, self.structure, self.vias = parts_of(r)
        self.index = [via.index(self.structure.n)[0] for via in self.vias]
        refs = tuple(dict.fromkeys(p.attrs["ref"] for p in asked))
        self.order = self.block.live(refs, self.structure.wires)
        live = set(self.order)
        sent = [t for t in self.block.ports.values() if t in live]
        self.needed, self.demands = demand(self.order, [*refs, *sent])
        self.domain = domains(self.block, self.vias, self.order)
        self.number = {ph: k for k, ph in enumerate(self.block.inputs)}
        rows = [
            t for t in self.order
            if t in self.needed and t.op is not RECUR and self.domain[t] == "row"
        ]  # fmt: skip
        leaving = [(t, ROW) for t in rows]
        values = execute(self.block, self.structure, self.vias, args, leaving)
        self.rows = dict(zip(rows, values, strict=True))
        self.once: dict[Home, Env] = {}  # what is not computed per node, by home
        self.pending: dict[Home, dict[Tensor, Mask]] = {}
        self.example: dict[Home, int] = {}  # a row that reads from that home

    def home(self, t: Tensor, n: int) -> Home:
        """Where the value of `t` at row n lives."""
        where = self.domain[t]
        if where == "row":
            return n
        home = None if where is None else (where, int(self.vias[where].rows[n]))
        self.example.setdefault(home, n)
        return home

    def value(self, t: Tensor, n: int) -> Any:
        if t in self.rows:
            return self.rows[t][n]
        if t not in self.needed:
            return None
        env = self.once.setdefault(self.home(t, n), {})
        if t not in env:
            for u in toposort([t], stop=env.__contains__):
                if u in env or u not in self.needed or u.op is PROJ:
                    continue
                if u in self.number:
                    k = self.number[u]
                    env[u] = self.vias[k].enter(self.args[k], n)
                elif u.op is RECUR:
                    values = run_levels(u, [env.get(i) for i in u.inputs], self.demands[u])
                    env.update(zip(self.demands[u], values, strict=True))
                else:
                    env[u] = u._value if not u.inputs else compute(u, env)
        return env[t]

    def add(self, t: Tensor, n: int, mask: Mask) -> bool:
        """Put the bad ones of these elements of `t` at row n on the list."""
        mask = mask & self.search.bad(self.value(t, n))
        if mask.any():
            add(self.pending.setdefault(self.home(t, n), {}), t, mask)
        return bool(mask.any())

    def walk(self, seeds: Sequence[tuple[Tensor, Any, Mask]]) -> Iterator[tuple[int, Mask]]:
        """From masks of projections, which have these values, to masks of arguments."""
        for p, value, mask in seeds:
            self._seed(p, value, mask)
        if self.search.harmless:
            for n in range(self.structure.n):
                for t in self.order:
                    if t in self.needed and t.op is not RECUR:
                        self.add(t, n, np.ones(t.shape, bool))
        self.arrivals: dict[int, list[int]] = {}
        for e, row in enumerate(self.structure.dst.tolist()):
            self.arrivals.setdefault(row, []).append(e)
        into: dict[int, Mask] = {}
        for level in reversed(range(len(self.structure.levels))):
            for n in reversed(self.structure.levels[level].tolist()):
                if n in self.pending:
                    self._row(n, n, level, into)
        while self.pending:  # tables before what all nodes share, which they may read
            home = next((h for h in self.pending if h is not None), None)
            self._row(home, self.example[home], -1, into)
        yield from into.items()

    def _seed(self, p: Tensor, value: Any, mask: Mask) -> None:
        """The elements of the interior tensor that the marked ones of a projection hold."""
        ref, via = p.attrs["ref"], p.attrs["via"]
        index, size = via.index(self.structure.n)
        value, mask = (np.reshape(x, (size, *ref.shape)) for x in (value, mask))
        for k in np.flatnonzero(mask.any(axis=tuple(range(1, mask.ndim)))).tolist():
            if via is ROW:
                self.add(ref, k, mask[k])
                continue
            total, m, rows = value[k], mask[k], np.flatnonzero(index == k).tolist()
            summed = m.copy()
            for row in rows:
                if self.add(ref, row, m):
                    summed &= ~self.search.bad(self.value(ref, row))
            if summed.any():  # finite at every node: the sum itself overflows
                xs = [self.value(ref, row) for row in rows]
                level = len(self.structure.levels)
                self.search.origin(  # its value as it was summed: another order may not overflow
                    (*self.position, level), p, xs, total, summed, "sum over nodes",
                    [*self.places, (self.r, ref, None)],
                )  # fmt: skip

    def _row(self, home: Home, n: int, level: int, into: dict[int, Mask]) -> None:
        """One node of the structure: its block, from the ends to the beginnings."""
        masks = self.pending.pop(home)
        row = home if isinstance(home, int) else None

        def value(t: Tensor) -> Any:
            return self.value(t, n)

        for place in reversed(range(len(self.order))):
            t = self.order[place]
            position = (*self.position, level, place, n)
            if t.op is RECUR:
                places = [*self.places, (self.r, t, row)]
                asked = self.demands.get(t, ())
                self.search._enter_recurrence(t, asked, masks, value, position, places)
            elif t not in masks or t.op is PROJ:
                continue
            elif self.home(t, n) != home:  # it lives elsewhere: once for many nodes
                add(self.pending.setdefault(self.home(t, n), {}), t, masks.pop(t))
            elif t in self.number:
                self._leave(self.number[t], n, masks.pop(t), into)
            elif t.op is INPUT:
                self._slot(t, n, masks.pop(t), position)
            else:
                self.search.step(t, masks, value, position, [*self.places, (self.r, t, row)])

    def _leave(self, k: int, n: int, mask: Mask, into: dict[int, Mask]) -> None:
        outer = into.setdefault(k, np.zeros(np.shape(self.args[k]), bool))
        table = outer[None] if self.vias[k] is SHARED else outer
        row = int(self.index[k][n])
        if row >= 0:
            table[row] |= mask

    def _slot(self, ph: Tensor, n: int, mask: Mask, position: Key) -> None:
        """A state that arrives: the sum over the edges."""
        slot, leaf = next(key for key, t in self.block.slots.items() if t is ph)
        own, xs = mask.copy(), []
        for e in self.arrivals.get(n, ()):
            t = self.block.ports.get((int(self.structure.port[e]), leaf))
            if self.structure.slot[e] != slot or t is None:
                continue
            source = int(self.structure.src[e])
            xs.append(self.value(t, source))
            if self.add(t, source, mask):
                own &= ~self.search.bad(xs[-1])
        self.search.origin(
            position, ph, xs, self.value(ph, n), own, "sum over edges",
            [*self.places, (self.r, ph, n)],
        )  # fmt: skip
