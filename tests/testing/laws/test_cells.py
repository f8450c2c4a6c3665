"""`laws.check_cell`: cells of one's own, its table, and what it says of a broken cell."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from minigrad.testing.examples.problems import Problem, make_problem
from minigrad.testing.laws import LAWS, LawBroken, check_cell

QUICK = {k: f for k, f in LAWS.items() if k not in ("gradients_are_correct",)}


def own(p, h, x):
    """A cell without any attribute; the input is a dict with a token in it."""
    h = mg.tanh(h @ p["U"] + p["E"][x["token"]] * x["gain"])
    return h, {"h": h, "twice": mg.sum(h) * 2}


OWN = {
    "params": {"U": np.array([[0.3, -0.2], [0.5, 0.1]]), "E": np.array([[0.4, 0.9], [-1.0, 0.2]])},
    "carry": np.array([0.1, -0.3]),
    "x": {"token": np.array(1), "gain": np.array(0.7)},
}


def test_a_cell_of_ones_own_in_one_line():
    report = check_cell(own, **OWN)
    assert report.ok and {r.law for r in report.results} == set(LAWS)
    assert {r.structure for r in report.results} == {"chain", "ragged", "reversed", "dag"}
    held = {(r.law, r.structure) for r in report.results if r.why_not is None}
    assert ("gradients_are_correct", "dag") in held and ("compiled_is_reference", "chain") in held
    text = str(report)
    assert text.startswith("laws of own: all hold\nlaw ") and "BROKEN" not in text
    assert "- ragged_is_padded on dag: not sequences" in text
    assert len(text.splitlines()) == 2 + len(LAWS) + 1


def test_shipped_cells_need_no_arguments():
    few = {k: LAWS[k] for k in ("recur_is_a_loop", "batched_is_one_by_one", "adjoint")}
    assert check_cell(rc.LSTM(2, 3), laws=few).ok
    report = check_cell(rc.TreeLSTM(2, 3), laws=few)
    assert report.ok and {r.structure for r in report.results} == {"forest", "grid", "dag"}
    assert check_cell(rc.TreeLSTM(2, 3, arity=3), laws=few).ok


def test_a_cell_without_inputs():
    few = {k: f for k, f in QUICK.items() if "compiled" not in k and "threads" not in k}
    report = check_cell(
        lambda p, h, x: (mg.sin(h * p), h), params=np.array(0.4), carry=np.ones(2), laws=few
    )
    assert report.ok and {r.why_not for r in report.results} == {None, "not sequences"}


def wrong_op():
    return mg.primitive("off", numpy=np.tanh, vjp=lambda ct, y, x: 1.001 * ct * (1 - y * y))


def test_a_wrong_rule_is_named_with_law_structure_and_numbers():
    off = wrong_op()

    def cell(p, h, x):
        h = off(h @ p["U"] + x)
        return h, h

    given = {"params": {"U": OWN["params"]["U"]}, "carry": np.zeros(2), "input_size": 2}
    some = {k: LAWS[k] for k in ("adjoint", "gradient_is_a_slope", "gradients_are_correct")}
    with pytest.raises(LawBroken) as error:
        check_cell(cell, laws=some, **given)
    text = str(error.value)
    assert "laws of cell: 8 broken" in text
    assert "gradients_are_correct on chain: " in text and "wrong" in text and "off" in text
    assert "gradient_is_a_slope on dag: slope " in text
    assert [r.law for r in error.value.report.broken].count("adjoint") == 0
    report = check_cell(cell, laws=some, raises=False, **given)
    assert not report.ok and str(report) == text


def test_a_cell_that_sees_its_batch_breaks_the_loop():
    """It treats a lone row differently from rows stacked in front: not written for one node."""

    class Cheat:
        traced = 0

        def __call__(self, p, h, x):
            Cheat.traced += 1
            h = mg.tanh(h * p + x * (1.0 + Cheat.traced))  # what a call does depends on the last
            return h, h

    with pytest.raises(LawBroken, match="recur_is_a_loop on chain: the plain loop against recur"):
        check_cell(
            Cheat(), params=np.ones(2), carry=np.ones(2), input_size=2,
            laws={"recur_is_a_loop": LAWS["recur_is_a_loop"]},
        )  # fmt: skip


def test_errors_of_the_cell_say_where():
    with pytest.raises(ValueError, match="matmul") as error:
        check_cell(own, **{**OWN, "carry": np.zeros(3)})
    assert "while the law evaluate_is_reference was checked on the structure 'chain'" in str(
        error.value.__notes__
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"carry": None}, "give carry=, the state of one node"),
        ({"structures": {"grid": mg.Structure.grid((2, 2))}}, "has 2 slots and the cell 1"),
        ({"structures": {"it": 3}}, "must be a mg.Structure"),
    ],
)
def test_what_is_missing_is_said(changes, words):
    with pytest.raises((TypeError, ValueError), match=words):
        check_cell(own, **{**OWN, **changes})


def test_a_cell_without_floats_is_refused():
    with pytest.raises(ValueError, match="nothing to test"):
        check_cell(lambda p, h, x: (h, h), carry=np.ones(2, int))


def test_the_loss_of_a_part_weighs_its_rows_as_the_whole_does():
    p = make_problem("chain", 2)
    states, outputs = p.run(p.tensors())
    n = p.structure.n
    parts = [
        Problem(mg.Structure.chain(1), p.cell, None, None, None, rows=np.array([k]))
        for k in range(n)
    ]
    pick = [
        float(part.loss(*mg.pytrees.tree_map(lambda a, k=k: a[k : k + 1], (states, outputs))))
        for k, part in enumerate(parts)
    ]
    assert sum(pick) == pytest.approx(float(p.loss(states, outputs)), abs=1e-12)
    assert len({round(v, 9) for v in pick}) == n
