"""From lowered rows to stages: which product and which loop runs when, and what is stored.

Three stages: 0 before the loop over levels, 1 in it, 2 after it.
A stage is a sequence of steps:
products into accumulators, then one fused loop over rows, then products of what it stored, ...
Only products and what they need are hoisted before the loop or deferred behind it;
cheap elementwise work joins its consumer.

Accumulators with the same operands stand side by side as columns of one buffer
(a *bundle*: one product with wide packed weights),
and operands that are summed over stand side by side as well,
so that named gates cost what packed ones do.
The plan mentions no sizes:
they reach the kernels through a table of addresses, strides and lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from ..graph import Tensor
from .language import CHEAP, MASKS, MOVED, REDUCED, REPEATED, Row, Sum, reads, topological
from .lower import Lowering
from .pieces import (
    Area,
    Bundle,
    Course,
    Matrix,
    Outer,
    Product,
    Segment,
    families,
    side_by_side,
)

STAGES = ("pre", "core", "post")
CACHED = 2**18  # elements of matrices that stay in a cache from one level to the next
LEAVES = frozenset(["in", "slot", "vec", "const", "z", *MOVED])


class Plan:
    """What to run for a lowered block.

    Sizes enter through `Lowering`'s rows only as relative facts.
    """

    def __init__(self, low: Lowering, added: Collection[Tensor], course: Course):
        """added: of the rows that leave, those that are only ever added up in a table, each row of
        which belongs to one component of the structure.
        """
        self.low, self.course = low, course
        self.gathered = len({slot for slot, _ in low.slots}) > 1  # several slots are always copied
        self.order = topological(low.roots())
        self._sums()
        self._stages()
        self._added([low.rows[t] for t in added])
        self._bundles()
        self._storage()
        self._segments()
        self._products()
        self._looked_up()
        self._passing()
        self._ringed()

    # -- stage and depth of every node -------------------------------------------------------------

    def _stages(self) -> None:
        after: set[Row] = set()
        for r in self.order:
            if r.op == "slot" or any(a in after for a in reads(r)):
                after.add(r)
        before = set(topological(list(self.low.ports.values())))
        self.from_slot = after
        given = (
            p.args[0].size * z.size for z in self.order if z in before for p in z.prods
            if p.args[0] not in after
        )  # fmt: skip
        wide = self.course.wide and sum(given) <= CACHED
        self.stage: dict[Row, int] = {}
        for r in self.order:
            if r not in after:
                self.stage[r] = 0
            elif r in before or self._in_loop(r):
                self.stage[r] = 1
            else:
                self.stage[r] = 2
        self._deferred()
        self.depth: dict[Row, int] = {}
        self.prod_place: dict[Row, list[tuple[int, int]]] = {}  # of each z, product by product
        # Where it would be with no wide levels: in this order they are added, to the same bits.
        self.turn: dict[Row, list[tuple[int, int]]] = {}
        for r in self.order:
            stage = self.stage[r]
            if r.op == "z":
                early = [0 if stage < 2 and p.args[0] not in after else stage for p in r.prods]
                own = [stage if wide else s for s in early]
                pairs = list(zip(r.prods, early, own, strict=True))
                self.turn[r] = [(s, self._after(p.args[0], s)) for p, s, _ in pairs]
                places = [(s, self._after(p.args[0], s)) for p, _, s in pairs]
                self.prod_place[r] = places
                self.depth[r] = max((d for s, d in places if s == stage), default=0)
            elif r.op in MOVED:
                self.depth[r] = max(self._after(a, stage) for a in r.args)
            else:
                same = [self.depth[a] for a in reads(r) if self.stage[a] == stage]
                self.depth[r] = max(same, default=0) if r.op not in LEAVES else 0

    def _in_loop(self, r: Row) -> bool:
        """Whether what comes of a state, and goes to none, is computed while the state is at hand.

        Products wait for all rows; so do tensors, but for sums over large ones.
        """
        if r.op == "z" or any(self.stage[a] > 1 for a in reads(r)):
            return False
        large = (a for a in r.args if self.stage[a] == 1 and a.size >= self.course.large)
        return r.op not in MOVED or any(a.size > r.size for a in large)

    def _deferred(self) -> None:
        """What is repeated into a large tensor before the loop is repeated in the loop, where it is
        read: a level's rows stay in the cache, those of all levels do not."""
        readers: dict[Row, list[Row]] = {}
        for r in self.order:
            for a in reads(r):
                readers.setdefault(a, []).append(r)
        operands = {p.args[0] for z in self.order if z.op == "z" for p in z.prods}
        for r in reversed(self.order):
            given = sum(a.size for a in r.args)
            grows = r.op in (*MOVED, *REPEATED) and r.size >= max(self.course.large, given + 1)
            if self.stage[r] or not grows:
                continue
            along, stack = {r: None}, [r]  # what must wait with it
            while stack:
                for b in readers.get(stack.pop(), ()):
                    if self.stage[b] == 0 and b not in along:
                        along[b] = None
                        stack.append(b)
            looped = any(self.stage[b] for a in along for b in readers.get(a, ()))
            if looped and not any(a.op == "z" or a in operands for a in along):
                self.stage.update(dict.fromkeys(along, 1))

    def _after(self, operand: Row, stage: int) -> int:
        """The depth of a product.

        0 where its operand is there from the start, else behind its segment.
        """
        if operand.op in ("in", "slot") or self.stage[operand] != stage:
            return 0
        return self.depth[operand] + 1

    def _added(self, rows: Sequence[Row]) -> None:
        """Which of `rows` are added up level by level: those computed in the loop, or that may be.

        A memory's gradient is then there once, not once a step.
        """
        read = {a for r in self.order for a in reads(r)} | self.summed()
        times = Counter(self.low.rows.values())
        self.added: dict[Row, None] = {}
        for r in rows:
            if r.op in LEAVES - {"move", "nest"} or times[r] > 1:
                continue
            early = r.op in MOVED and r not in read and all(self.stage[a] <= 1 for a in r.args)
            if early and self.stage[r] == 2:
                self.stage[r] = 1
                self.depth[r] = max(self._after(a, 1) for a in r.args)
            if self.stage[r] == 1:
                self.added[r] = None

    # -- products with the same operands -----------------------------------------------------------

    def _bundles(self) -> None:
        groups: dict[tuple, list[Row]] = {}
        for z in (r for r in self.order if r.op == "z"):
            pattern = tuple(
                (place, p.args[0]) for place, prods in self.operands(z).items() for p in prods
            )
            groups.setdefault((pattern, self.stage[z]), []).append(z)
        self.bundles = []
        self.areas: list[Area] = []
        for zs in groups.values():
            self.bundles.append(Bundle(zs, self._area(zs)))
        self.bundle_of = {z: b for b in self.bundles for z in b.zs}

    def _area(self, members: Sequence[Row]) -> Area:
        area = Area(list(members), len(self.areas))
        self.areas.append(area)
        return area

    def operands(self, z: Row) -> dict[tuple[tuple[int, int], tuple[int, int]], list[Row]]:
        """The products of an accumulator by their turn and place, in this order."""
        found: dict[tuple[tuple[int, int], tuple[int, int]], list[Row]] = {}
        turns = zip(self.turn[z], self.prod_place[z], z.prods, strict=True)
        for turn, place, p in sorted(turns, key=lambda t: t[0]):
            found.setdefault((turn, place), []).append(p)
        return found

    # -- sums over nodes ---------------------------------------------------------------------------

    def _sums(self) -> None:
        self.outer_sums: list[Sum] = []
        self.column_sums: list[Sum] = []
        stack = list(self.low.sums.values())
        while stack:
            s = stack.pop()
            stack += s.parts
            if s.how == "outer":
                computed = s.left.op not in LEAVES and s.right.op in LEAVES
                if computed:  # what is computed here is stored side by side: keep it on the right
                    s.left, s.right, s.flip = s.right, s.left, True
                self.outer_sums.append(s)
            elif s.how == "column":
                self.column_sums.append(s)

    # -- what is stored, and where -----------------------------------------------------------------

    def _storage(self) -> None:
        stored: dict[Row, None] = {}
        for z in (r for r in self.order if r.op == "z"):
            stored.update((p.args[0], None) for p in z.prods)
        for s in self.outer_sums:
            stored.update(((s.left, None), (s.right, None)))
        stored.update((r, None) for r in (*self.low.rows.values(), *self.low.ports.values()))
        self.moved = [r for r in self.order if r.op in MOVED]
        stored.update((a, None) for r in self.moved for a in r.args)
        self.stored = {r: None for r in stored if r.op not in ("in", "slot", "vec", "z", *MOVED)}
        self.operand_areas: dict[Row, Area] = {}
        groups = []
        for b in self.bundles:
            for prods in self.operands(b.zs[0]).values():
                group = [p.args[0] for p in prods if self._groupable(p.args[0])]
                if len(group) > 1:
                    groups.append(tuple(dict.fromkeys(group)))
        by_left: dict[Row, list[Row]] = {}
        for s in self.outer_sums:
            if self._groupable(s.right):
                by_left.setdefault(s.left, []).append(s.right)
        groups += [tuple(dict.fromkeys(g)) for g in by_left.values() if len(g) > 1]
        for family in families(groups):
            members = side_by_side(family, groups)
            area = self._area(members)
            self.operand_areas.update(dict.fromkeys(members, area))

    def _groupable(self, r: Row) -> bool:
        return r in self.stored or (r.op == "slot" and self.gathered)

    def runs(self, rows: Sequence[Row]) -> list[list[int]]:
        """Positions of `rows` in maximal runs that stand side by side in one area.

        In column order.
        """

        def place(i: int) -> tuple[int, int]:
            area = self.operand_areas.get(rows[i])
            return (-1, i) if area is None else (area.number, area.members.index(rows[i]))

        order = sorted(range(len(rows)), key=place)
        result: list[list[int]] = []
        for i in order:
            area, at = place(i)
            if result and area >= 0 and place(result[-1][-1]) == (area, at - 1):
                result[-1].append(i)
            else:
                result.append([i])
        return result

    # -- the fused loops --------------------------------------------------------------------------

    def _segments(self) -> None:
        """Walk the segments backwards; what one needs of an earlier one becomes stored there."""
        self.columns: dict[tuple[int, int], list[Row]] = {}
        covered = {s.right for s in self.outer_sums}
        self.by_component: set[Row] = set()  # column sums that are made in the loop
        self.direct_columns = []  # column sums that come with a weight gradient
        for s in self.column_sums:
            if s.left in covered and s.left.op not in ("in", "slot"):
                self.direct_columns.append(s)
                continue
            stage, depth = self.stage[s.left], self.depth[s.left]
            if stage == 1 and self.course.long and s.left.size >= max(self.course.large, 2):
                self.by_component.add(s.left)
            elif stage == 1:
                stage, depth = 2, 0
            self.columns.setdefault((stage, depth), []).append(s.left)
        users: dict[Row, int] = {}
        for r in self.order:
            for a in r.args:
                users[a] = users.get(a, 0) + 1
        places = {self.home(r) for r in self.order if r.op not in LEAVES} | set(self.columns)
        self.segments: dict[tuple[int, int], Segment] = {}
        for place in sorted(places, reverse=True):
            roots = [r for r in self.stored if self.home(r) == place]
            columns = list(dict.fromkeys(self.columns.get(place, ())))
            nodes = self._closure(place, [*roots, *columns], users)
            if nodes or roots or columns:
                self.segments[place] = Segment(place, nodes, roots, columns)

    def home(self, r: Row) -> tuple[int, int]:
        return self.stage[r], self.depth[r]

    def _closure(
        self, place: tuple[int, int], roots: Iterable[Row], users: dict[Row, int]
    ) -> list[Row]:
        mine: dict[Row, bool] = {}
        stack = list(roots)
        while stack:
            r = stack.pop()
            if r in mine or r.op in LEAVES:
                continue
            if self.home(r) != place and not self._here(r, users):
                if r.op in (*MASKS, *REPEATED):
                    mine[r] = True
                    stack += r.args
                else:
                    self.stored[r] = None
                continue
            if self.home(r) != place and r in self.stored:
                continue
            mine[r] = True
            stack += r.args
        return [r for r in self.order if r in mine]

    def _here(self, r: Row, users: dict[Row, int]) -> bool:
        """Whether a node of another segment is computed again here rather than stored there."""
        if r in self.stored or r.op in (*REDUCED, *REPEATED):
            return False
        if r not in self.from_slot:
            return r.op in CHEAP or users.get(r, 0) == 1
        given = (a.args[0] if a.op in REPEATED else a for a in r.args)
        return r.op in CHEAP and all(a.op in LEAVES or a in self.stored for a in given)

    # -- products and weight gradients in the order of their operands ------------------------------

    def _products(self) -> None:
        self.matrices: list[Matrix] = []
        for b in self.bundles:
            columns = [0]
            for z in b.zs:
                columns.append(columns[-1] + z.size)
            by_place = [self.operands(z) for z in b.zs]
            first = True
            for (turn, place), prods in by_place[0].items():
                rows = [p.args[0] for p in prods]
                for run in self.runs(rows):
                    depths = [0]
                    for i in run:
                        depths.append(depths[-1] + rows[i].size)
                    blocks = [
                        (per_z[turn, place][i].tensor, per_z[turn, place][i].transposed, k, c)
                        for per_z, c in zip(by_place, columns, strict=False)
                        for i, k in zip(run, depths, strict=False)
                    ]
                    flip = sum(t for _, t, _, _ in blocks) * 2 > len(blocks)
                    matrix = Matrix(blocks, depths[-1], columns[-1], flip)
                    self.matrices.append(matrix)
                    b.products.setdefault(place, []).append(Product(rows[run[0]], matrix, b, first))
                    first = False
        self.outers: list[Outer] = []
        self.outer_at: dict[tuple[Row, Row], tuple[Outer, int]] = {}
        by_left: dict[Row, list[Row]] = {}
        for s in self.outer_sums:
            by_left.setdefault(s.left, []).append(s.right)
        for left, rights in by_left.items():
            rights = list(dict.fromkeys(rights))
            for run in self.runs(rights):
                outer = Outer(left, [rights[i] for i in run])
                at = 0
                for r in outer.rights:
                    self.outer_at[left, r] = (outer, at)
                    at += r.size
                self.outers.append(outer)
        self.column_at: dict[Row, tuple[Outer, int]] = {}
        for s in self.direct_columns:
            outer, at = next(v for (_, right), v in self.outer_at.items() if right is s.left)
            outer.want_sums = True
            self.column_at[s.left] = (outer, at)

    def _looked_up(self) -> None:
        """Arguments by an Index that are read in the table where they lie.

        A memory that every step attends over is there once, not once a step.
        Products want their operands as rows of equal distance, and so does what leaves:
        those are gathered.
        """
        gathered = {*self.low.rows.values(), *self.low.ports.values()}
        gathered.update(p.args[0] for z in self.order if z.op == "z" for p in z.prods)
        gathered.update(r for s in self.outer_sums for r in (s.left, s.right))
        self.looked_up = {
            r: None for r in self.order
            if r.op == "in" and self.low.domain[r.tensor] not in (None, "row")
            and r not in gathered
        }  # fmt: skip

    def _passing(self) -> None:
        """What nobody reads outside of the stage that computes it, and that stage.

        Its memory is as long as the rows that go through the stage together, not as all:
        it stays in the cache, and is written again by the next.
        """
        made, read, kept = self._traffic()
        kept |= {*self.low.rows.values()} - self.added.keys() | {*self.low.ports.values()}
        found = {
            r: next(iter(stages)) for r, stages in made.items()
            if len(stages) == 1 and read.get(r, stages) == stages
            and r not in kept and r.op not in ("in", "slot", "vec", "const")
        }  # fmt: skip
        torn = {r for a in self.areas if not found.keys() >= {*a.members} for r in a.members}
        self.passing = {r: stage for r, stage in found.items() if r not in torn}

    def _ringed(self) -> None:
        """Slots of large states, each with the port that it reads, of which nobody but the next
        level knows: memory of two levels is enough for them."""
        self.ring: dict[Row, Row] = {}
        if not self.course.chain or self.gathered:
            return
        made, read, kept = self._traffic()
        kept |= {*self.low.rows.values()}
        sent = ((r, self.low.ports.get((0, r.tensor[1]))) for r in self.order if r.op == "slot")
        slots = {slot: port for slot, port in sent if port is not None}

        def inside(r: Row) -> bool:
            return r.size >= self.course.large and r not in kept and read.get(r, {1}) == {1}

        lost = {
            port for slot, port in slots.items()
            if not (inside(slot) and inside(port) and made.get(port) == {1})
        }  # fmt: skip
        whole = {*slots.values()} - lost
        lost |= {r for a in self.areas if not whole >= {*a.members} for r in a.members}
        self.ring = {slot: port for slot, port in slots.items() if port not in lost}

    def _traffic(self) -> tuple[dict[Row, set[int]], dict[Row, set[int]], set[Row]]:
        """In which stages rows are written to memory, in which they are read; those of which all
        are read at once, or parts."""
        made: dict[Row, set[int]] = {}
        read: dict[Row, set[int]] = {}
        for (stage, _), segment in self.segments.items():
            for r in segment.stores:
                made.setdefault(r, set()).add(stage)
            for r in (*segment.columns, *(a for node in segment.nodes for a in node.args)):
                read.setdefault(r, set()).add(stage)
        for z in self.prod_place:
            for (stage, _), p in zip(self.prod_place[z], z.prods, strict=True):
                made.setdefault(z, set()).add(stage)
                read.setdefault(p.args[0], set()).add(stage)
        for r in self.moved:
            if r.op != "part":
                made[r] = {self.stage[r]}
                for a in r.args:
                    read.setdefault(a, set()).add(self.stage[r])
        parts = {a for r in self.moved if r.op == "part" for a in (r, *r.args)}
        return made, read, self.summed() | parts

    def feeds_edges_only(self, b: Bundle) -> bool:
        """Whether a bundle is read by nobody but along edges.

        Then a row that sends nothing need not have it.
        """
        ports = set(self.low.ports.values())
        read = {a for r in self.order for a in reads(r)} | set(self.low.rows.values())
        read |= self.summed()
        return all(z in ports and z not in read for z in b.zs)

    def summed(self) -> set[Row]:
        """What sums over the nodes read of every node."""
        return {r for s in (*self.outer_sums, *self.column_sums) for r in (s.left, s.right) if r}

    def places(self, stage: int) -> list[tuple[int, int]]:
        """The steps of a stage, in order."""
        found = {p for p in self.segments if p[0] == stage}
        found |= {self.home(r) for r in self.moved if r.op != "part" and self.stage[r] == stage}
        found |= {p for b in self.bundles for p in b.products if p[0] == stage}
        return sorted(found)
