"""The pictures show the data: what is drawn is what the objects hold."""

import builtins

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc

pytest.importorskip("matplotlib")

XS = np.random.default_rng(0).standard_normal((9, 2, 2))
CELL = rc.GRU(2, 3)
FOUND = rc.study.propagation(CELL, CELL.init(0), XS)


def heights(ax):
    return np.array([[bar.get_height() for bar in group] for group in ax.containers])


@pytest.mark.parametrize("by", ["step", "gate", "length"])
def test_the_ledger(by):
    p = mg.tensors(CELL.init(0))
    book = rc.study.ledger(mg.sum(rc.unroll(CELL, p, XS)[1][-1] ** 2), p)
    ax = book.plot(by)
    groups = book.by(by)
    wanted = [[np.linalg.norm(g.get(n, 0)) for g in groups.values()] for n in book.names]
    assert np.allclose(heights(ax), wanted) and ax.get_xlabel() == by
    assert [t.get_text() for t in ax.get_legend().get_texts()] == book.names


def test_propagation():
    lines = FOUND.plot().get_lines()
    assert np.allclose(np.stack([x.get_ydata() for x in lines], axis=1), FOUND.norms())
    marks = [x for x in FOUND.plot("spectrum").get_lines() if x.get_label() == "the largest"]
    assert np.allclose(marks[0].get_ydata(), FOUND.singular_values[:, 0, 0])
    shown = FOUND.plot("sensitivity").images[0].get_array()
    lower = np.tril(np.ones((9, 9), bool))
    assert np.allclose(shown.filled(0).T[lower], FOUND.sensitivity[..., 0][lower])
    assert shown.mask.T[~lower].all()  # an input acts on nothing before it
    with pytest.raises(ValueError, match="what must be"):
        FOUND.plot("norm")


def test_trees_and_newton():
    cell = rc.RecursiveNet(2, 3)
    found = rc.study.propagation(cell, cell.init(0), XS[:4, 0], trees=(("a", "b"), ("c", "d")))
    points, means = found.plot().get_lines()
    assert np.allclose(points.get_ydata(), found.norms())
    assert np.allclose(means.get_ydata(), [np.mean(n) for n in found.by_depth().values()])
    run = rc.study.newton(CELL, CELL.init(0), XS)
    (line,) = run.plot().get_lines()
    assert np.allclose(line.get_ydata(), np.maximum(run.residuals, 1e-17))


def test_axes_that_are_given_are_drawn_on():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert FOUND.plot(ax=ax) is ax and len(ax.get_lines()) == 2


def test_without_matplotlib(monkeypatch):
    real = builtins.__import__

    def missing(name, *more, **how):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *more, **how)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="norms\\(\\), singular_values and sensitivity"):
        FOUND.plot()
