"""Mistakes planted in the engine on purpose: the laws that the other tests run must notice each.

Every case first demands that the law holds on the very same problems without the mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.compile.lane import Lane
from minigrad.kernels import threads
from minigrad.ops import contract as contraction
from minigrad.ops.table import TABLE
from minigrad.recur import SHARED, Index, parts_of
from minigrad.run import levels
from minigrad.run.chunkwise import Chunkwise
from minigrad.structure import Structure
from minigrad.testing.examples.problems import make_problem
from minigrad.testing.laws import LAWS, recurrences

from .recurrent.checks import fold_is_a_recursion

reference = import_module("minigrad.run.reference")  # mg.reference is its function
SEEDS = {  # of laws that take long; seed 2 is a cell that is compiled
    "compiled_is_reference": [2], "threads_and_calls_agree": [2], "gradients_are_correct": range(2),
}  # fmt: skip


def rule(op: mg.Primitive, **changed: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Exchange a rule of a primitive; its rows are frozen, hence past monkeypatch."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for key, value in changed.items():
            old = getattr(op, key)
            _to_restore[op, key] = old
            object.__setattr__(op, key, value(old))

    return plant


_to_restore: dict[tuple[mg.Primitive, str], Any] = {}


@pytest.fixture(autouse=True)
def _rules_come_back():
    yield
    for (op, key), old in _to_restore.items():
        object.__setattr__(op, key, old)
    _to_restore.clear()


def scaled(factor: float) -> Callable[[Callable], Callable]:
    return lambda old: (
        lambda ct, node, wanted: [None if g is None else g * factor for g in old(ct, node, wanted)]
    )


def altered(s: Structure, **changes: Any) -> Structure:
    """A structure with other arrays, and nothing remembered about the old ones."""
    new = object.__new__(Structure)
    kept = {k: v for k, v in vars(s).items() if k not in ("_transposed", "levels", "wires")}
    vars(new).update({k: v for k, v in kept.items() if k != "_arrivals"}, **changes)
    return new


def turned(self: Structure, slot: Any, port: Any, keep: Any = slice(None)) -> Structure:
    level = self.level.max() - self.level if self.n else self.level
    return altered(
        self, src=self.dst[keep], dst=self.src[keep], slot=slot[keep], port=port[keep],
        level=level, slots=self.ports, ports=self.slots,
    )  # fmt: skip


def slot_and_port_not_swapped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Structure, "transpose", lambda self: turned(self, self.slot, self.port))


def backward_loses_a_multi_edge(patch: pytest.MonkeyPatch) -> None:
    def once(self: Structure) -> Structure:
        edges = np.stack([self.src, self.dst, self.slot, self.port])
        _, first = np.unique(edges, axis=1, return_index=True)
        return turned(self, self.port, self.slot, np.sort(first))

    patch.setattr(Structure, "transpose", once)


def last_edge_wins(size: int, index: Any, rows: Any) -> Any:
    total = np.zeros((size, *rows.shape[1:]), rows.dtype)
    total[index] = rows
    return total


def levels_lose_a_multi_edge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(levels, "add_rows", last_edge_wins)


def reference_loses_a_multi_edge(patch: pytest.MonkeyPatch) -> None:
    original = reference.run_nodes

    def run(r: mg.Tensor, *rest: Any) -> Any:
        s = parts_of(r).structure
        keep = np.sort(np.unique(np.stack([s.dst, s.slot]), axis=1, return_index=True)[1])
        fewer = altered(s, src=s.src[keep], dst=s.dst[keep], slot=s.slot[keep], port=s.port[keep])
        broken = mg.Tensor(r.op, r.inputs, {**r.attrs, "structure": fewer}, r.shape, r.dtype)
        return original(broken, *rest)

    patch.setattr(reference, "run_nodes", run)


def shared_is_the_last_node(patch: pytest.MonkeyPatch) -> None:
    def sums(p: Any, shared: Any, look: Any, n: int) -> Any:
        last = {}
        for t in p.sums:
            try:
                value, has_rows = look(t, None)
            except KeyError:  # not stored per node because only its sum was wanted
                continue
            last[t] = value[-1] if has_rows else value
        return {t: last.get(t, np.zeros(t.shape)) for t in p.sums}

    patch.setattr(levels, "_sums", sums)


def reference_shared_is_the_last_node(patch: pytest.MonkeyPatch) -> None:
    original = reference._leave
    patch.setattr(
        reference,
        "_leave",
        lambda rows, p: rows[-1] if p.attrs["via"] is SHARED and rows else original(rows, p),
    )


def first_state_of_the_wrong_component(patch: pytest.MonkeyPatch) -> None:
    from minigrad import tracing

    def shifted(rows: Any, size: int) -> Any:
        rows = np.where(np.asarray(rows) < 0, -1, np.maximum(np.asarray(rows) - 1, 0))
        return Index(rows, size)

    patch.setattr(tracing, "Index", shifted)


def contraction_over_nodes_transposed(patch: pytest.MonkeyPatch) -> None:
    original = contraction.contract

    def contract(a: Any, b: Any, sa: str, sb: str, out: str) -> Any:
        y = original(a, b, sa, sb, out)
        square = y.ndim == 2 and y.shape[0] == y.shape[1] and "N" in sa and "N" not in out
        return y.T if square else y

    patch.setattr(contraction, "contract", contract)


def sequences_run_into_each_other(patch: pytest.MonkeyPatch) -> None:
    straight = Structure.chain

    def chain(lengths: Any, reverse: bool = False) -> Structure:
        s, one = straight(lengths, reverse), straight(int(np.sum(lengths)), reverse)
        return altered(s, src=one.src, dst=one.dst, slot=one.slot, port=one.port, level=one.level)

    patch.setattr(Structure, "chain", staticmethod(chain))


def no_gradient(old: Callable) -> Callable:
    """A field that is no gradient, so that its Jacobian is not symmetric."""

    def rule(ct: Any, node: Any, wanted: Any) -> list:
        return [g + 0.3 * node * mg.flip(ct, axis=-1) for g in old(ct, node, wanted)]

    return rule


def ledger_in_reverse(patch: pytest.MonkeyPatch) -> None:
    straight = mg.contributions
    patch.setattr(recurrences, "contributions", lambda loss, w: straight(loss, w)[::-1])


def from_call_to_call(patch: pytest.MonkeyPatch) -> None:
    calls = iter(range(10**6))
    _results_off_by(lambda: 1e-9 * next(calls), patch)


def from_thread_to_thread(patch: pytest.MonkeyPatch) -> None:
    _results_off_by(lambda: 1e-9 * threads.count(), patch)


def _results_off_by(amount: Callable[[], float], patch: pytest.MonkeyPatch) -> None:
    """What a compiled function returns, moved."""
    run = Lane.run

    def moved(self: Lane, *leaves: Any) -> Any:
        results = run(self, *leaves)
        return results and [x + x.dtype.type(amount()) for x in results]

    patch.setattr(Lane, "run", moved)


def compiled_otherwise(patch: pytest.MonkeyPatch) -> None:
    rule(TABLE["tanh"], numpy=lambda old: lambda x: old(x) * 1.001)(patch)


def chunk_takes_other_states(patch: pytest.MonkeyPatch) -> None:
    """A chunk is given the states that left in another order."""
    compute = Chunkwise._compute

    def planted(self: Chunkwise, number: int) -> Any:
        self.states = {key: rows[::-1] for key, rows in self.states.items()}
        try:
            return compute(self, number)
        finally:
            self.states = {key: rows[::-1] for key, rows in self.states.items()}

    patch.setattr(Chunkwise, "_compute", planted)


CASES = {
    "other states, checkpoints": (
        chunk_takes_other_states, "checkpoints_change_nothing", "ragged",
    ),
    "other states, checkpoints, dag": (
        chunk_takes_other_states, "checkpoints_change_nothing", "dag",
    ),
    "slot and port, forest": (slot_and_port_not_swapped, "recur_is_a_loop", "forest"),
    "slot and port, slope": (slot_and_port_not_swapped, "gradient_is_a_slope", "forest"),
    "slot and port, grid": (slot_and_port_not_swapped, "recur_is_a_loop", "grid"),
    "slot and port, dag": (slot_and_port_not_swapped, "recur_is_a_loop", "dag"),
    "multi-edge backward": (backward_loses_a_multi_edge, "recur_is_a_loop", "dag"),
    "multi-edge backward, slope": (backward_loses_a_multi_edge, "gradient_is_a_slope", "dag"),
    "multi-edge, levels": (levels_lose_a_multi_edge, "evaluate_is_reference", "dag"),
    "multi-edge, levels, loop": (levels_lose_a_multi_edge, "recur_is_a_loop", "dag"),
    "multi-edge, reference": (reference_loses_a_multi_edge, "evaluate_is_reference", "dag"),
    "no sum, levels": (shared_is_the_last_node, "evaluate_is_reference", "chain"),
    "no sum, ledger": (shared_is_the_last_node, "contributions_add_up", "forest"),
    "no sum, loop": (shared_is_the_last_node, "recur_is_a_loop", "ragged"),
    "no sum, reference": (reference_shared_is_the_last_node, "evaluate_is_reference", "chain"),
    "tanh sign": (rule(TABLE["tanh"], vjp=scaled(-1.0)), "gradient_is_a_slope", "chain"),
    "tanh factor": (rule(TABLE["tanh"], vjp=scaled(1.001)), "gradient_is_a_slope", "forest"),
    "sigmoid sign": (rule(TABLE["sigmoid"], vjp=scaled(-1.0)), "gradient_is_a_slope", "dag"),
    "wrong first state": (first_state_of_the_wrong_component, "recur_is_a_loop", "ragged"),
    "wrong first state, alone": (
        first_state_of_the_wrong_component, "batched_is_one_by_one", "forest",
    ),
    "sequences joined": (sequences_run_into_each_other, "ragged_is_padded", "ragged"),
    "wrong first state, renumbered": (
        first_state_of_the_wrong_component, "row_numbers_do_not_matter", "forest",
    ),
    "ledger in reverse": (ledger_in_reverse, "contributions_are_per_node", "chain"),
    "no transpose": (rule(TABLE["einsum"], vjp=scaled(1.001)), "adjoint", "chain"),
    "no gradient, Hessian": (rule(TABLE["tanh"], vjp=no_gradient), "hessian_is_symmetric", "chain"),
    "no gradient, orders": (rule(TABLE["tanh"], vjp=no_gradient), "second_orders_agree", "chain"),
    "tanh factor, checked": (
        rule(TABLE["tanh"], vjp=scaled(1.001)), "gradients_are_correct", "chain",
    ),
    "reference otherwise": (compiled_otherwise, "compiled_is_reference", "chain"),
    "calls differ": (from_call_to_call, "threads_and_calls_agree", "chain"),
    "threads differ": (from_thread_to_thread, "threads_and_calls_agree", "chain"),
    "transposed contraction": (
        contraction_over_nodes_transposed, "evaluate_is_reference", "chain",
    ),
}  # fmt: skip


def broken(law: Callable[[Any], None], kind: str) -> list[int]:
    """The seeds at which the law does not hold (a crash is not that: it would hide a bad plant)."""
    found = []
    for seed in SEEDS.get(law.__name__, range(6)):
        try:
            law(make_problem(kind, seed))  # fresh cells: blocks and pullbacks are cached per cell
        except AssertionError:
            found.append(seed)
    return found


def test_every_law_has_a_mistake_that_breaks_it():
    assert set(LAWS) == {law for _, law, _ in CASES.values()}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_planted_mistake_breaks_a_law(case, monkeypatch):
    plant, law, kind = CASES[case]
    assert not broken(LAWS[law], kind), "the law must hold before the mistake is planted"
    plant(monkeypatch)
    assert broken(LAWS[law], kind), f"{case}: {law} noticed nothing on {kind}"


def test_a_chain_cannot_show_a_swapped_slot(monkeypatch):
    """Why two-slot structures are in the suite: on a chain slot and port are both 0."""
    slot_and_port_not_swapped(monkeypatch)
    assert not broken(LAWS["recur_is_a_loop"], "chain")


def test_consistency_is_not_correctness(monkeypatch):
    """Why there is an oracle: the adjoint identity holds with a wrong rule, differences do not."""
    rule(TABLE["tanh"], vjp=scaled(-1.0))(monkeypatch)
    assert not broken(LAWS["adjoint"], "chain")
    assert broken(LAWS["gradient_is_a_slope"], "chain")


@pytest.mark.parametrize("cell", [rc.RecursiveNet, rc.TreeLSTM])
def test_a_swapped_child_order_is_noticed(cell, monkeypatch):
    trees = rc.Tree.parse(["(3 (2 (2 a) (2 b)) (4 c))", "(2 (2 e) (3 (3 f) (1 h)))"])
    fold_is_a_recursion(cell(2, 3), trees)
    straight = rc.trees._family

    def swapped(count, number):
        child, parent, slot = straight(count, number)
        return child, parent, count[parent] - 1 - slot

    monkeypatch.setattr(rc.trees, "_family", swapped)
    with pytest.raises(AssertionError, match="off by"):
        fold_is_a_recursion(cell(2, 3), trees)
