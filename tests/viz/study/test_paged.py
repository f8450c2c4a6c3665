"""The page of a study, in a browser: other words, steps, losses, weights and cells, as Python."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
from tests.viz.graphs import flat
from viz.out.render import engine
from viz.page.frame import frame
from viz.study.corpus import read
from viz.study.model import Sequences
from viz.study.nets import SEQUENCES
from viz.study.paged import paged
from viz.study.report import build
from viz.study.training import train

from .studies import SENTENCE, TREE, studied

pytestmark = pytest.mark.long  # a browser is started for each

CELLS = ("lstm", "rnn", "gru")
READ = """(() => {
  const { runs, backs } = minigrad.page.panel;
  return runs.map((run, k) => ({
    losses: run.heads.map((h) => run.tape.nodes[h.outs[0]].value.data[0]),
    grads: Object.fromEntries(run.params.map(({ name, id }) => [name, backs[k].grad[id]?.data])),
  }));
})()"""


def page_of(tmp_path, cells, hidden=5, steps=3):
    corpus = read(SENTENCE)
    named = []
    for name in cells:
        task = Sequences(name, hidden, corpus)
        named.append((task.title, task, train(task, steps, 0).params))
    data, ops = paged(named)
    path = tmp_path / "s.html"
    panel = '<div class="panel" data-program="program"></div>'
    path.write_text(frame("study", panel, "study", {"program": data}, ops), encoding="utf-8")
    return path, named


def wanted(task, params, ids, targets, chosen):
    """Losses and the gradient of one (None: of all) by the public functions."""
    tensors = mg.tensors(params)
    xs = mg.take(tensors["embedding"], np.array(ids))
    _, ys = rc.unroll(task.cell, tensors["cell"], xs)
    losses = mg.cross_entropy(ys @ tensors["W_y"] + tensors["b_y"], np.array(targets))
    loss = mg.sum(losses) if chosen is None else losses[chosen]
    return mg.evaluate((losses, mg.grad(loss, tensors)))


def agrees(got, task, params, ids, chosen):
    end = len(task.classes) - 1
    losses, gradient = wanted(task, params, ids, [*ids[1:], end], chosen)
    np.testing.assert_allclose(got["losses"], losses, rtol=1e-9)
    cell = {f"cell.{k}": v for k, v in flat(gradient.pop("cell")).items()}
    for name, value in (gradient | cell).items():
        found = got["grads"].get(name)
        found = np.zeros(value.size) if found is None else np.array(found)
        np.testing.assert_allclose(found, value.reshape(-1), rtol=1e-7, atol=1e-12)


def test_words_steps_losses_weights_and_cells(browser, tmp_path):
    path, named = page_of(tmp_path, CELLS)
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    ids = named[0][1].ids[:7].tolist()
    _, task, params = named[0]
    agrees(browser.evaluate(READ)[0], task, params, ids, 6)
    # another word, typed
    browser.evaluate("""(() => { const input = document.querySelectorAll('.words input')[1];
      input.value = 'Panthers'; input.dispatchEvent(new Event('change')); })()""")
    ids[1] = task.classes.index("Panthers")
    agrees(browser.evaluate(READ)[0], task, params, ids, 6)
    # a step less, by its button; then another loss, and all
    browser.evaluate("document.querySelectorAll('.words .chip button')[3].click()")
    del ids[3]
    agrees(browser.evaluate(READ)[0], task, params, ids, 5)
    for number, chosen in ((2, 2), (6, None)):
        browser.evaluate(f"minigrad.page.panel.loss.value = {number};"
                         "minigrad.page.panel.loss.dispatchEvent(new Event('change'))")  # fmt: skip
        agrees(browser.evaluate(READ)[0], task, params, ids, chosen)
    # a step more, and a weight
    browser.evaluate("minigrad.page.rewrite(() => minigrad.page.ids.push(0))")
    ids.append(0)
    key = "W_i"
    browser.evaluate(f"minigrad.page.change(0, 'cell.{key}', 3, -1.25)")
    changed = {**params, "cell": {k: v.copy() for k, v in params["cell"].items()}}
    changed["cell"][key].reshape(-1)[3] = -1.25
    browser.evaluate("minigrad.page.panel.seed = 4; minigrad.page.panel.update()")
    agrees(browser.evaluate(READ)[0], task, changed, ids, 4)
    # all cells together, then everything as it was
    browser.evaluate("[...document.querySelectorAll('[name=cell]')].at(-1).click()")
    got = browser.evaluate(READ)
    assert len(got) == 3
    for found, (_, each, own) in zip(got, named, strict=True):
        agrees(found, each, changed if each is task else own, ids, 4)
    browser.evaluate("[...document.querySelectorAll('.bar button')].find("
                     "b => b.textContent === 'reset').click()")  # fmt: skip
    agrees(browser.evaluate(READ)[0], task, params, task.ids[:7].tolist(), 6)


def test_a_word_that_is_not_known_is_said_to_be(browser, tmp_path):
    path, _ = page_of(tmp_path, ("rnn",))
    browser.open(path)
    before = browser.evaluate(READ)
    browser.evaluate("""(() => { const input = document.querySelectorAll('.words input')[0];
      input.value = 'zebra'; input.dispatchEvent(new Event('change')); })()""")
    assert "zebra" in browser.evaluate("document.querySelector('.error').textContent")
    assert browser.evaluate(READ) == before


ONE_CELL = [name for name, make in SEQUENCES.items() if not hasattr(make(2, 2), "run_over")]


@pytest.mark.parametrize("name", ONE_CELL)
def test_every_cell_computes_in_its_page(browser, tmp_path, name):
    path, [(_, task, params)] = page_of(tmp_path, (name,), hidden=4, steps=1)
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    agrees(browser.evaluate(READ)[0], task, params, task.ids[:7].tolist(), 6)


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
@pytest.mark.parametrize("name", sorted(set(SEQUENCES) - set(ONE_CELL)))
def test_nets_of_several_recurrences_compute_as_the_graph_they_are(browser, tmp_path, name):
    study = studied(SENTENCE, name)
    path = tmp_path / "index.html"
    path.write_text(build(study)["index.html"], encoding="utf-8")
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    task, params = study.task, mg.tensors(study.training.params)
    losses = task.forward(params).losses
    for k, loss in ((0, losses[task.chosen]), (1, losses[0]), (5, losses[4])):
        browser.evaluate(f"minigrad.page.panel.seed = {k}; minigrad.page.panel.update()")
        got = browser.evaluate(
            "(({ runs: [r], backs: [b] }) => Object.fromEntries(r.params.map("
            "({ name, id }) => [name, b.grad[id]?.data])))(minigrad.page.panel)"
        )
        for key, gradient in mg.evaluate(mg.grad(loss, flat(params))).items():
            found = np.zeros(gradient.size) if got[key] is None else np.array(got[key])
            np.testing.assert_allclose(found, gradient.ravel(), rtol=1e-7, atol=1e-12)


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
@pytest.mark.parametrize(("text", "cell"), [(SENTENCE, "lstm"), (TREE, "tree"),
                                            ("a b c d e f g h " * 9, "gru")])  # fmt: skip
@pytest.mark.parametrize("width", [480, pytest.param(1280, marks=pytest.mark.long)])
def test_the_report_in_a_browser(browser, tmp_path, text, cell, width):
    """Nothing is cut, every heading of a table has a scope, figures are numbered one by one."""
    path = tmp_path / "index.html"
    path.write_text(build(studied(text, cell))["index.html"], encoding="utf-8")
    browser.media(dark=width == 480)
    browser.open(path, width)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    figures = browser.evaluate(
        "[...document.querySelectorAll('figcaption b')].map(b => b.textContent)"
    )
    assert figures == [f"Figure {k + 1}." for k in range(len(figures))] and len(figures) >= 3
    assert browser.evaluate("minigrad.page?.panel !== undefined")
    browser.media("print")
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
def test_the_runtime_is_small(tmp_path):
    path, _ = page_of(tmp_path, CELLS, hidden=32)
    page = path.read_text(encoding="utf-8")
    script = page.split('<script type="module">')[1].split("</script>")[0]
    assert len(script.encode()) <= 60_000, "with the code of all three cells"
    assert len(page.encode()) <= 200_000, "with their weights"


@pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
def test_the_words_of_a_tree_are_rewritten(browser, tmp_path):
    study = studied(TREE, "tree")
    path = tmp_path / "index.html"
    path.write_text(build(study)["index.html"], encoding="utf-8")
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    browser.evaluate("""(() => { const input = document.querySelectorAll('.words input')[0];
      input.value = 'lovely'; input.dispatchEvent(new Event('change')); })()""")
    task, params = study.task, mg.tensors(study.training.params)
    ids = task._words([task.trees[task.look_at]])
    ids[0] = task.number["lovely"]
    run = task._run(params, task.structure, ids, np.maximum(task.targets, 0))
    loss = run.losses[task.chosen]
    got = browser.evaluate("""(() => { const { runs: [run], backs: [back] } = minigrad.page.panel;
      const { id, index } = run.seeds[0];
      return [run.tape.nodes[id].value.data[index], Object.fromEntries(
        run.params.map((p) => [p.name, back.grad[p.id]?.data ?? null]))]; })()""")
    assert got[0] == pytest.approx(float(loss), rel=1e-9)
    wanted = mg.evaluate(mg.grad(loss, flat(params)))
    for name, gradient in wanted.items():
        found = got[1][name]
        np.testing.assert_allclose(
            np.zeros(gradient.size) if found is None else found, gradient.reshape(-1),
            rtol=1e-6, atol=1e-10,
        )  # fmt: skip
    said = browser.evaluate("minigrad.page.panel.runs[0].words")
    assert said[0] == "lovely" and said[-1] == "lovely … ."
    assert not any("It" in name for name in said)
    browser.evaluate("""(() => { const input = document.querySelectorAll('.words input')[0];
      input.value = 'zebra'; input.dispatchEvent(new Event('change')); })()""")
    assert "zebra" in browser.evaluate("document.querySelector('.error').textContent")
