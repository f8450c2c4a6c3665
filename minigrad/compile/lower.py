"""A traced block as rows of vectors, in the words of `language`.

Lowering turns the part of a block that some projections need into `Row` nodes: one vector (or one
number) per structure node.  Movement that only changes shapes disappears, equal expressions become
one node, nested sums are flattened, and a sum that contains products becomes an accumulator (`z`)
that the product kernel adds into.  What cannot be said this way raises `Unsupported`, naming the
op: such a block runs through `evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..graph import INPUT, Tensor, constant, toposort
from ..ops.arrays import astype
from ..ops.broadcast import BROADCAST, RESHAPE
from ..ops.contract import EINSUM
from ..ops.table import name_of_ours
from ..recur import ROW, SHARED, Block, Via, domains
from ..run.levels import summands
from .floats import is_exact, one_dtype, only_number
from .language import (
    AXES,
    FOLDS,
    LOGIC,
    MASKS,
    MOVED,
    REPEATED,
    Row,
    Sum,
    Unsupported,
    topological,
)
from .tensors import (
    RUNNING,
    Nest,
    Places,
    added,
    composed,
    fold,
    grid_of,
    letters,
    moved,
    nest,
    running,
)

IN_CODE = (0.0, 0.5, 1.0, 2.0, float("inf"))  # of either sign: numbers that are no entry of a table


class Lowering:
    """The lowered form of what `rows` (per node) and `sums` (over the nodes) need of a block."""

    def __init__(
        self,
        block: Block,
        wires: Any,
        vias: Sequence[Via],
        rows: Sequence[Tensor],
        sums: Sequence[Tensor],
    ):
        self.block, self.vias = block, vias
        order = block.live((*rows, *sums), wires)
        self.domain = domains(block, vias, order)
        self.real = one_dtype(order)
        for t in (*rows, *sums, *block.ports.values()):
            if t.dtype.kind == "f" and t.dtype.name != self.real:
                raise Unsupported(f"{t.op.name} of {t.dtype} that leaves a block in {self.real}")
        self.known: dict[tuple, Row] = {}
        self.numbers: dict[float, Tensor] = {}
        self.of: dict[Tensor, Row] = {}
        self.places: dict[Row, tuple[tuple[Row, ...], Places]] = {}  # of what is moved
        self.grids: dict[int, tuple[int, int]] = {}  # by size: one loop has one grid
        self.shared: dict[Tensor, None] = {}  # shared tensors read as vectors or matrices
        live = set(order)
        self.slots = {key: ph for key, ph in block.slots.items() if ph in live}
        self.slot_key = {ph: key for key, ph in self.slots.items()}
        self.inputs = {ph for ph in block.inputs if ph in live}
        self.wires = wires
        sent = {(port, leaf) for slot, leaf in self.slots for port, s in wires if s == slot}
        self.ports: dict[Any, Row] = {
            key: self._leaving(t, ("in", "slot", "part"))
            for key, t in block.ports.items() if key in sent
        }  # fmt: skip
        self.rows = {t: self._leaving(t, ("in", "part")) for t in rows}
        self.sums = {t: self.sum_of(t) for t in sums}
        self._accumulators()

    # -- one tensor ------------------------------------------------------------------------------

    def node(
        self,
        op: str,
        args: tuple[Row, ...],
        size: int,
        tensor: Any = None,
        transposed: bool = False,
    ) -> Row:
        what: Any = repr(tensor) if op == "const" else id(tensor)  # -0.0 is not 0.0
        what = tensor if op in (*MOVED, *REPEATED, *AXES) else what
        key = (op, tuple(map(id, args)), size, what, transposed)
        if key not in self.known:
            self.known[key] = Row(op, args, size, tensor, transposed)
        return self.known[key]

    def sized(self, t: Tensor) -> Row:
        """The row node of a tensor that leaves the block, as long as the tensor is."""
        row = self.row(t)
        if row.op in ("const", "vec") or row.size != t.size:
            return self.node("identity", (row,), t.size)
        if row.op in MASKS:
            raise Unsupported(f"{t.op.name}: a truth value that leaves the block")
        return row

    def _whole(self, row: Row, size: int) -> Row:
        """A vector of that many elements: a number (any uniform vector may be one) is repeated."""
        return row if row.size == size else self.node("identity", (row,), size)

    def _leaving(self, t: Tensor, elsewhere: tuple[str, ...]) -> Row:
        """What leaves has a place of its own, so leaves whose values lie `elsewhere` are copied.

        (The rows of a slot are a place to read from, but another row's port: none to send from.)
        """
        row = self.sized(t)
        return self.node("identity", (row,), t.size) if row.op in elsewhere else row

    def row(self, t: Tensor) -> Row:
        stack = [t]
        while stack:  # iterative: blocks may be deep
            top = stack[-1]
            if top in self.of:
                stack.pop()
                continue
            waiting = (
                []
                if self.domain.get(top, "row") is None
                else [i for i in top.inputs if i not in self.of]
            )
            if waiting:
                stack += waiting
                continue
            self.of[stack.pop()] = self._lower(top)
        return self.of[t]

    def _lower(self, t: Tensor) -> Row:
        if self.domain[t] is None or t in self.slot_key or t in self.inputs:
            row = self._given(t)
            return self._truth(row) if t.dtype.kind == "b" else row
        name = name_of_ours(t.op)
        args = tuple(self.of[i] for i in t.inputs)
        if name == "astype" and args[0].op in MASKS:
            return self.node("cast", args, args[0].size)
        if name == "astype" and t.dtype.kind == "f":
            return args[0]  # it came as a number of the block's type, or is one by choice
        if t.dtype.kind in "iu" and t.op.kind != "movement":
            raise Unsupported(f"{t.op.name} of {t.dtype}: integers are compared, not computed")
        if (made := composed(t)) is not None:
            return self._composed(t, made)
        if t.op.scalar is not None and not t.attrs:
            if name != "where" and name not in LOGIC and any(a.op in MASKS for a in args):
                raise Unsupported(f"{t.op.name} of truth values")
            if t.op.scalar == "x":
                return args[0]
            if name == "add" and len(args := self._joined(args)) == 1:
                return args[0]
            # A user's op goes by its expression.
            return self.node(name or t.op.scalar, args, _joint(args))
        if t.op.kind == "movement":
            return self._movement(t, args)
        if name in RUNNING:
            return self._nest(t, running(t))
        if name in FOLDS:
            whole = self._whole(args[0], t.inputs[0].size)
            if t.size == 1:
                return self.node(name, (whole,), 1)
            return self._contracted(t) if name == "sum" else self._nest(t, fold(t, name))
        if name == "einsum":
            return self._einsum(t, args)
        shapes = ", ".join(str(i.shape) for i in t.inputs)
        raise Unsupported(f"{t.op.name} of shapes {shapes} per node")

    def _composed(self, t: Tensor, made: Tensor) -> Row:
        """An op that is a few others."""
        _some(t)
        for u in toposort([made]):
            if u not in self.domain:
                own = any(self.domain[i] is not None for i in u.inputs)
                self.domain[u] = self.domain[t] if own else None
        return self.row(made)

    # -- tensors of more axes ----------------------------------------------------------------------

    def _movement(self, t: Tensor, args: tuple[Row, ...]) -> Row:
        """Elements at other places: what only renames them is no work, a slice a view."""
        data = args[: len(moved(t))]
        if any(a.op in MASKS for a in data):  # truth values lie in memory as numbers
            numbers = tuple(
                self.node("cast", (a,), a.size) if a.op in MASKS else a for a in data
            )
            return self._truth(self._moved(t, numbers))
        return self._moved(t, data)

    def _truth(self, row: Row) -> Row:
        return self.node("not_equal", (row, self.node("const", (), 1, 0.0)), row.size)

    def _moved(self, t: Tensor, data: tuple[Row, ...]) -> Row:
        if t.op.name == "reshape" or len(data) == 1 and data[0].size == 1 and not _padded(t):
            return data[0]
        _some(t)
        try:
            places = Places.of(t)
        except LookupError as why:
            raise Unsupported(f"{t.op.name}: {why}") from None
        if places is None:
            operand = self._held(self._whole(data[0], t.inputs[0].size))
            return self.node("move", (operand,), t.size, added(t))
        operands: dict[Row, int] = {}
        parts: list[tuple[Sequence[int], Places | None]] = []
        for a in data:
            rows, inner = self.places.get(a, ((a,), None))
            parts.append(([operands.setdefault(r, len(operands)) for r in rows], inner))
        return self._at(tuple(operands), places.through(parts), t.size)

    def _at(self, operands: tuple[Row, ...], places: Places, size: int) -> Row:
        """The row whose elements lie at `places` of the operands."""
        used = [k for k in range(len(operands)) if (places.operand == k).any()]
        if not used:  # nothing but zeros, one number
            return self.node("const", (), 1, 0.0)
        if used != list(range(len(operands))):
            places = places.through([([used.index(k)] if k in used else [-1], None)
                                     for k in range(len(operands))])  # fmt: skip
            operands = tuple(operands[k] for k in used)
        first = places.slice_of(operands[0].size) if len(operands) == 1 else None
        if first == 0 and operands[0].size == size:
            return operands[0]
        way = places.repeated(operands[0].size) if len(operands) == 1 else None
        if way is not None and self._has_grid(way[1]):
            row = self.node(way[0], operands, size, way[1])
        elif first is not None and operands[0].op not in ("in", "vec", "const", "part"):
            row = self.node("part", operands, size, first)
        else:
            row = self.node(
                "move", tuple(map(self._held, operands)), size,
                places.move(len(operands), [r.size == 1 for r in operands]),
            )  # fmt: skip
        self.places[row] = operands, places
        return row

    def _has_grid(self, grid: tuple[int, int]) -> bool:
        """Whether rows of that many elements are looped over as this grid: the first that is asked
        for."""
        m, n = grid
        return m > 1 and n > 1 and self.grids.setdefault(m * n, grid) == grid

    def _on_grid(
        self, grid: tuple[int, int], ways: Sequence[str], operands: Sequence[Row]
    ) -> Row:
        """A sum of products over a grid: elementwise, and added up along an axis."""
        size, factors = grid[0] * grid[1], []
        for way, row in zip(ways[:-1], operands, strict=True):
            number = row.op == "identity" and row.args[0].size == 1
            if number or way == "whole":
                factors.append(row.args[0] if number else row)
            else:
                factors.append(self.node(way, (row,), size, grid))
        product = factors[0]
        if len(factors) > 1:
            product = self.node("multiply", tuple(factors), _joint(factors))
        product = self._whole(product, size)
        if ways[-1] == "whole":
            return product
        how = "sum_along" if ways[-1] == "down" else "sum_down"
        return self.node(how, (product,), grid[0] if how == "sum_along" else grid[1], grid)

    def _held(self, row: Row) -> Row:
        """A row that has a place in memory."""
        return self.node("identity", (row,), 1) if row.op == "const" else row

    def _joined(self, args: tuple[Row, ...]) -> tuple[Row, ...]:
        """The terms of a sum: movements that never meet are one, such as gradients of parts."""
        kept: list[Row] = []
        for b in args:
            for k, a in enumerate(kept if b in self.places else ()):
                if a not in self.places:
                    continue
                (left, mine), (right, theirs) = self.places[a], self.places[b]
                joined = mine.joined(theirs, len(left))
                if joined is not None:
                    kept[k] = self._at((*left, *right), joined, b.size)
                    break
            else:
                kept.append(b)
        return tuple(kept)

    def _nest(self, t: Tensor, how: Nest | None) -> Row:
        return self._loops(t, how, [self._whole(self.of[i], i.size) for i in t.inputs], t.size)

    def _loops(self, t: Tensor, how: Nest | None, operands: Sequence[Row], size: int) -> Row:
        if how is None:
            shapes = ", ".join(str(i.shape) for i in t.inputs)
            raise Unsupported(f"{t.op.name} of shapes {shapes}: too many loops")
        _some(t)
        return self.node("nest", tuple(map(self._held, operands)), size, how)

    def _given(self, t: Tensor) -> Row:
        """What the block is given: integers as numbers of its type, if they are exact as such."""
        if t.dtype.kind in "iu" and not is_exact(t, self.real):
            raise Unsupported(
                f"{t.dtype} data ({t.name or t.op.name}) that may be too large for {self.real}"
            )
        if t in self.slot_key:
            return self.node("slot", (), t.size, self.slot_key[t])
        return self._shared(t) if self.domain[t] is None else self.node("in", (), t.size, t)

    def _shared(self, t: Tensor) -> Row:
        number = only_number(t)
        if number is not None:
            return self.number(number)
        while t.size and t.op in (BROADCAST, RESHAPE) and t.inputs[0].size == 1:
            t = t.inputs[0]  # one number, however often
        self.shared[t] = None
        return self.node("vec", (), t.size, t)

    def number(self, x: float) -> Row:
        """A number: in the code if it belongs to an op, in the table if it may be a size's (1 / n),
        so that another size is not another code."""
        if abs(x) in IN_CODE or x != x:
            return self.node("const", (), 1, x)
        t = self.numbers.setdefault(x, constant(np.asarray(x, self.real)))
        self.shared[t] = None
        return self.node("vec", (), 1, t)

    def _einsum(self, t: Tensor, args: tuple[Row, ...]) -> Row:
        subs, out = t.attrs["subs"], t.attrs["out"]
        if len(subs) == 2:
            for k in (0, 1):
                (vec, mat), (sv, sm) = (k, 1 - k), (subs[k], subs[1 - k])
                matrix = t.inputs[mat]
                if len(sv) != 1 or self.domain[t.inputs[vec]] is None or len(out) != 1:
                    continue
                if (
                    len(sm) == 2
                    and self.domain[matrix] is None
                    and sv in sm
                    and set(sm) == {sv, out}
                ):
                    self.shared[matrix] = None
                    operand = self._whole(args[vec], t.inputs[vec].size)
                    return self.node("matmul", (operand,), t.size, matrix, sm == out + sv)
            if subs[0] == subs[1] and len(subs[0]) == 1 and out == "":
                product = self.node("multiply", args, _joint(args))
                return self.node("sum", (self._whole(product, t.inputs[0].size),), 1)
        return self._contracted(t)

    def _contracted(self, t: Tensor) -> Row:
        """An einsum as loops.

        What one operand alone has is summed first, as everywhere here:
        inf * (a + b) need not be inf * a + inf * b.
        """
        subs, out = letters(t)
        sizes: dict[str, int] = {}
        rows = [self._whole(self.of[i], i.size) for i in t.inputs]
        for term, x in zip(subs, t.inputs, strict=True):
            sizes.update(zip(term, x.shape, strict=True))
        for k, term in enumerate(subs if len(subs) == 2 else []):
            used = "".join(dict.fromkeys(c for c in term if c in subs[1 - k] or c in out))
            if set(used) != set(term):
                rows[k] = self._summed(t, [term], used, [rows[k]], sizes)
                subs[k] = used
        return self._summed(t, subs, out, rows, sizes)

    def _summed(
        self, t: Tensor, subs: Sequence[str], out: str, rows: Sequence[Row], sizes: dict[str, int]
    ) -> Row:
        shapes = [tuple(sizes[c] for c in term) for term in subs]
        found = grid_of(subs, out, shapes) if all(map(prod, shapes)) else None
        if found is not None and self._has_grid(found[0]):
            return self._on_grid(*found, rows)
        return self._loops(t, nest("sum", subs, out, shapes), rows, prod(sizes[c] for c in out))

    # -- sums over the nodes -----------------------------------------------------------------------

    def sum_of(self, t: Tensor) -> Sum:
        """The sum of a tensor over the nodes, and of what a linear op adds up."""
        found: dict[Tensor, Sum] = {}
        stack = [t]
        while stack:
            top = stack[-1]
            linear = top.ndim > 1 and top.op.linear and self.domain[top] is not None
            parts = list(top.inputs) if linear else []
            if linear and summands(top, self.domain) == parts:
                waiting = [i for i in parts if i not in found]
                if waiting:
                    stack += waiting
                    continue
                found[top] = Sum("linear", tensor=top, parts=[found[i] for i in parts])
            else:
                found[top] = self._own_sum(top)
            stack.pop()
        return found[t]

    def _own_sum(self, t: Tensor) -> Sum:
        if self.domain[t] is not None and t.op is EINSUM and len(t.attrs["out"]) == 2:
            subs, out = t.attrs["subs"], t.attrs["out"]
            if len(subs) == 2 and sorted(subs) == sorted(out):
                left, right = (self.sized(t.inputs[subs.index(c)]) for c in out)
                return Sum("outer", left, right)
        return Sum("column", self.sized(t))

    def roots(self) -> list[Row]:
        found = [*self.rows.values(), *self.ports.values()]
        stack = list(self.sums.values())
        while stack:
            s = stack.pop()
            found += [r for r in (s.left, s.right) if r is not None]
            stack += s.parts
        return found

    # -- sums with products in them ----------------------------------------------------------------

    def _accumulators(self) -> None:
        """Every product becomes part of one accumulator; nested sums used once are flattened into
        it.
        """
        users: dict[Row, int] = {}
        for r in self.roots():
            users[r] = users.get(r, 0) + 2  # what leaves must exist as itself
        order = topological(self.roots())
        for r in order:
            for a in r.args:
                users[a] = users.get(a, 0) + 1
        terms: dict[Row, list[Row]] = {}
        for r in order:
            if r.op == "add":
                terms[r] = [
                    x for a in r.args for x in (terms[a] if a in terms and users[a] == 1 else [a])
                ]
        new: dict[Row, Row] = {}
        for r in order:
            args = tuple(new[a] for a in r.args)
            if r.op == "matmul":
                moved = self.node("matmul", args, r.size, r.tensor, r.transposed)
                new[r] = Row("z", (), r.size, prods=(moved,))
            elif r in terms and any(x.op == "matmul" and users[x] == 1 for x in terms[r]):
                inside = [x for x in terms[r] if x.op == "matmul" and users[x] == 1]
                vecs = [x for x in terms[r] if x.op == "vec"]
                rest = [new[x] for x in terms[r] if x not in inside and x not in vecs]
                z = Row(
                    "z", (), r.size, prods=tuple(p for x in inside for p in new[x].prods),
                    vecs=tuple(new[v] for v in vecs),
                )  # fmt: skip
                new[r] = Row("add", (z, *rest), r.size) if rest else z
            elif all(a is b for a, b in zip(args, r.args, strict=True)):
                new[r] = r
            else:
                new[r] = self.node(r.op, args, r.size, r.tensor)
        self.rows = {t: new[r] for t, r in self.rows.items()}
        self.ports = {k: new[r] for k, r in self.ports.items()}
        visited: set[int] = set()  # a sum may be part of several
        stack = list(self.sums.values())
        while stack:
            s = stack.pop()
            if id(s) not in visited:
                visited.add(id(s))
                s.left, s.right = s.left and new[s.left], s.right and new[s.right]
                stack += s.parts


def _joint(args: Sequence[Row]) -> int:
    """The length of an elementwise result: the vectors' among the operands, of which there may be
    none."""
    return next((a.size for a in args if a.size != 1), 1)


def _some(t: Tensor) -> None:
    if not t.size or not all(i.size for i in t.inputs):
        raise Unsupported(f"{t.op.name} of shape {t.shape}: no elements per node")


def _padded(t: Tensor) -> bool:
    """Whether a movement has zeros around."""
    return t.op.name in ("place", "scatter")


def able(t: Tensor, operands: Sequence[Tensor], flags: Sequence[bool], summed: bool) -> bool:
    """Whether there is code for one op at one row, or (summed) for its sum over the rows.

    flags: which operands are by row.  A truth value is tried as what becomes of it, a number.
    """
    if t.dtype.kind in "iu" and t.op.kind != "movement":
        return False
    given = [(x, f) for x, f in zip(operands, flags, strict=True) if x.op is INPUT]
    ref = t if t.dtype.kind == "f" else astype(t, np.float32)
    block = Block("op", tuple(x for x, _ in given), (ref,))
    try:
        vias = [ROW if f else SHARED for _, f in given]
        Lowering(block, frozenset(), vias, () if summed else (ref,), (ref,) if summed else ())
    except Unsupported:
        return False
    return True
