"""The page of a drawing, in a browser: it computes what Python computes, and can be worked with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from tests.viz.graphs import flat
from viz.out.render import engine
from viz.page.ops import TooMuch
from viz.page.program import program
from viz.study.nets import Both, Window

WORDS = "the Saints beat the Panthers last night".split()
needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")
pytestmark = [needs_graphviz, pytest.mark.long]  # a browser is started for each


def net(cell, steps=7, seed=0, **how):
    """(loss, states, parameters) of a cell over random steps; the loss reads the last three."""
    rng = np.random.default_rng(seed)
    params = mg.tensors({"cell": cell.init(seed), "x": rng.normal(size=(steps, cell.input_size))})
    _, ys = rc.unroll(cell, params["cell"], params["x"], **how)
    loss = mg.sum(mg.square(ys[-3:]) * 0.5).named("L")
    return loss, ys, params


CELLS = {
    "rnn": lambda: rc.RNN(3, 4), "lstm": lambda: rc.LSTM(3, 4), "gru": lambda: rc.GRU(3, 4),
    "stack": lambda: rc.stack(rc.LSTM(3, 4), rc.GRU(4, 2)),
    "layer norm": lambda: rc.LayerNormLSTM(3, 4), "deep": lambda: rc.deep_output(rc.RNN(3, 4), [2]),
    "minimal": lambda: rc.MinGRU(3, 4),
}  # fmt: skip
READ = """(() => {
  const { runs: [run], backs: [back] } = minigrad.page.panel;
  const plain = (x) => (x === null ? null : x.data);
  return {
    loss: run.tape.nodes[run.seeds[0].id].value.data[0],
    params: Object.fromEntries(run.params.map(({ name, id }) => [name, plain(back.grad[id])])),
  };
})()"""


def opened(browser, tmp_path, loss, **more):
    path = viz.draw(loss, grad=loss, **more).save(tmp_path / "d.html")
    browser.open(path)
    assert browser.evaluate("minigrad.error?.stack ?? null") is None
    return path


def close(found, wanted):
    np.testing.assert_allclose(np.array(found, float), np.ravel(wanted), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_both_passes_are_those_of_python(browser, tmp_path, name):
    loss, _, params = net(CELLS[name]())
    opened(browser, tmp_path, loss, labels=WORDS)
    got, leaves = browser.evaluate(READ), flat(params)
    assert got["loss"] == pytest.approx(float(loss), rel=1e-12)
    assert set(got["params"]) == set(leaves)
    for key, gradient in mg.evaluate(mg.grad(loss, leaves)).items():
        close(got["params"][key], gradient)


def test_what_is_changed_is_computed_again(browser, tmp_path):
    """A weight, a step that is left out, another loss: against the same change in Python."""
    cell = rc.GRU(3, 4)
    loss, ys, params = net(cell)
    opened(browser, tmp_path, loss)
    browser.evaluate("minigrad.page.change('cell.W_n', 5, 0.75)")
    inner = {k: v.numpy().copy() for k, v in params["cell"].items()}
    inner["W_n"].reshape(-1)[5] = 0.75
    inner = mg.tensors(inner)
    changed = mg.sum(mg.square(rc.unroll(cell, inner, params["x"])[1][-3:]) * 0.5)
    got = browser.evaluate(READ)
    assert got["loss"] == pytest.approx(float(changed), rel=1e-12)
    for key, gradient in mg.evaluate(mg.grad(changed, inner)).items():
        close(got["params"][f"cell.{key}"], gradient)

    browser.evaluate("minigrad.page.left.add(2); minigrad.page.panel.update()")
    xs = mg.asarray(np.delete(params["x"].numpy(), 2, axis=0))
    without = mg.sum(mg.square(rc.unroll(cell, inner, xs)[1][-3:]) * 0.5)
    got = browser.evaluate(READ)
    assert got["loss"] == pytest.approx(float(without), rel=1e-12)
    for key, gradient in mg.evaluate(mg.grad(without, inner)).items():
        close(got["params"][f"cell.{key}"], gradient)


def test_another_loss_is_another_backward_pass(browser, tmp_path):
    cell = rc.LSTM(3, 4)
    params = mg.tensors({"cell": cell.init(1), "x": np.random.default_rng(1).normal(size=(5, 3))})
    ys = rc.unroll(cell, params["cell"], params["x"])[1]
    losses = mg.sum(mg.square(ys), axis=-1).named("losses")
    opened(browser, tmp_path, mg.mean(losses).named("L"))
    options = browser.evaluate("[...document.querySelectorAll('select option')].map(o => o.text)")
    assert options[:6] == ["L", *(f"losses[{k}]" for k in range(5))]
    for k in range(5):
        browser.evaluate(f"minigrad.page.panel.seed = {k + 1}; minigrad.page.panel.update()")
        got = browser.evaluate(READ)["params"]
        for key, gradient in mg.evaluate(mg.grad(losses[k], flat(params))).items():
            if got[key] is None:
                assert not gradient.any(), key
            else:
                close(got[key], gradient)


def test_what_is_drawn_is_what_passes(browser, tmp_path):
    """Numbers on arrows and squares, against the study's own functions."""
    loss, ys, params = net(rc.RNN(3, 4))
    opened(browser, tmp_path, loss)
    drawn = browser.evaluate(
        "(() => { const { made } = minigrad.page.panel.shown[0];"
        "return { arrows: made.arrows.map(a => [a.kind, a.a, a.b, a.norm]),"
        "params: Object.fromEntries(made.params.map(p => [p.name, p.parts])) }; })()"
    )
    total = np.linalg.norm(mg.state_gradients(loss, ys).numpy(), axis=1)
    inputs = np.linalg.norm(mg.grad(loss, params["x"]).numpy(), axis=1)
    fed = {b: n for kind, _, b, n in drawn["arrows"] if kind == "in"}
    close([fed[f"c0_{k}"] for k in range(7)], inputs)
    passed = {a: n for kind, a, _, n in drawn["arrows"] if kind == "state"}
    close([passed[f"c0_{k}"] for k in range(4)], total[:4])  # what the loss does not read itself
    assert passed["c0_4"] != pytest.approx(total[4])
    read = [a for kind, a, _, _ in drawn["arrows"] if kind == "out"]
    assert read == ["c0_4", "c0_5", "c0_6"], "the loss stands where it reads, and nowhere else"
    for name, tensor in params["cell"].items():
        rows = mg.contributions(loss, tensor).numpy().reshape(7, -1)
        close([p or 0 for p in drawn["params"][f"cell.{name}"]], np.linalg.norm(rows, axis=1))


def test_the_walk_back_is_in_its_true_order(browser, tmp_path):
    loss, _, _ = net(rc.LSTM(3, 4))
    opened(browser, tmp_path, loss)
    events = browser.evaluate("minigrad.page.panel.backs[0].events")
    nodes = browser.evaluate("minigrad.page.panel.runs[0].tape.nodes.map(n => n.args)")
    assert events[0]["kind"] == "seed"
    came: dict[int, int] = {events[0]["node"]: 1}
    left: set[int] = set()
    for event in events[1:]:
        if event["kind"] == "sum":
            assert came[event["node"]] == event["terms"] > 1
            continue
        left.add(event["node"])
        assert event["to"] == nodes[event["node"]][event["arg"]]
        assert event["to"] not in left, "nothing arrives at a node that has sent its own on"
        came[event["to"]] = came.get(event["to"], 0) + 1
    # What is shown grows with the walk: nothing at first, everything at the end.
    shown = []
    for at in (0, len(events) // 2, len(events)):
        browser.evaluate(f"minigrad.page.panel.walk({at})")
        shown.append(browser.evaluate("document.querySelectorAll('.panel .flow').length"))
        assert browser.evaluate("document.querySelector('.event').textContent")
    assert shown[0] < shown[1] < shown[2]


def test_hover_focus_and_keys(browser, tmp_path):
    loss, _, _ = net(rc.RNN(3, 4))
    opened(browser, tmp_path, loss, labels=WORDS)

    def lit(kind):
        return set(browser.evaluate(
            f"[...document.querySelectorAll('.panel .item.{kind}')].map(g => g.dataset.key)"
        ))  # fmt: skip

    browser.mouse(".panel [data-key=c0_3]")
    assert {f"c0_{k}" for k in range(3)} <= lit("before") and "c0_4" not in lit("before")
    assert {f"c0_{k}" for k in range(4, 7)} <= lit("after") and "c0_2" not in lit("after")
    assert len([k for k in lit("before") if k.startswith("x")]) == 4
    browser.evaluate("document.querySelector('.panel [data-key=c0_3]').focus()")
    for key, wanted in (("ArrowRight", "c0_4"), ("ArrowLeft", "c0_3"), ("ArrowDown", "x3")):
        browser.key(key)
        assert browser.evaluate("document.activeElement.dataset.key").startswith(wanted)
    assert "Panthers" not in browser.evaluate("document.activeElement.getAttribute('aria-label')")
    says = browser.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "step 4" in says and "the" in says
    browser.evaluate("(() => { const s = document.querySelector('.panel input[type=search]');"
                     "s.value = 'Panthers'; s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert {k[:2] for k in browser.evaluate(
        "[...document.querySelectorAll('.hit-by-search')].map(g => g.dataset.key)"
    )} == {"c0", "x4"}  # fmt: skip


def sides(width):
    """A bidirectional net, and layers one after another, over six steps."""
    x = mg.asarray(np.random.default_rng(3).normal(size=(6, 3)), name="x")
    both = rc.bidirectional(rc.GRU(3, 4))
    params = mg.tensors(both.init(0))
    yield mg.sum(mg.square(both(params, x)[1][2])).named("L"), params, width
    for made in (Both(rc.LSTM(3, 4)), Window(rc.TimeDelay(3, 4, 3))):
        params = mg.tensors(made.init(0))
        heads = mg.sum(mg.square(made.run_over(params, x)[1]), axis=-1)
        yield heads[4].named("L"), params, width
    one, two = rc.LSTM(3, 4), rc.RNN(4, 2)
    params = mg.tensors({"one": one.init(0), "two": two.init(1)})
    middle = rc.unroll(one, params["one"], x)[1]
    yield mg.sum(rc.unroll(two, params["two"], middle)[1][-1]).named("L"), params, width


@pytest.mark.parametrize("width", [480, 1280])
def test_several_recurrences(browser, tmp_path, width):
    """Gradients as Python's; no arrow runs through a box, no number over another."""
    for loss, params, wide in sides(width):
        browser.open(viz.draw(loss, grad=loss).save(tmp_path / "d.html"), wide)
        got, leaves = browser.evaluate(READ)["params"], flat(params)
        for key, gradient in mg.evaluate(mg.grad(loss, leaves)).items():
            close(np.zeros(gradient.size) if got[key] is None else got[key], gradient)
        assert browser.evaluate(CROSSED) == []


CROSSED = """(() => {
  const box = (e) => e.getBoundingClientRect(), found = [];
  const hits = (a, b, by) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > by
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;
  const boxes = [...document.querySelectorAll(".panel .item:not(.param)")].map(
    (g) => [g.dataset.key, box(g.querySelector("rect"))]);
  for (const arrow of document.querySelectorAll(".panel .arrow"))
    for (const path of arrow.querySelectorAll("path"))
      for (const [key, at] of boxes)
        if (hits(box(path), at, 2)) found.push([arrow.dataset.from, arrow.dataset.to, key]);
  const texts = [...document.querySelectorAll(".panel .arrow text, .panel .item text")];
  for (const t of document.querySelectorAll(".panel .arrow text"))
    for (const [key, at] of boxes) if (hits(box(t), at, 3)) found.push([t.textContent, key]);
  texts.forEach((t, k) => texts.slice(k + 1).forEach((u) => {
    if (hits(box(t), box(u), 3)) found.push([t.textContent, u.textContent]); }));
  return found;
})()"""


def test_an_input_is_called_by_the_word_it_is(browser, tmp_path):
    """Also where a step reads its neighbours': shifted, or through a window."""
    x = mg.asarray(np.random.default_rng(3).normal(size=(7, 3)), name="x")
    reads = "minigrad.page.panel.shown[0].made.boxes.filter(b => b.kind === 'input')"
    nets = ((Both(rc.RNN(3, 4)), (-1, 1)), (Window(rc.TimeDelay(3, 4, 3)), (0, -1, -2)))
    for made, offsets in nets:
        params = mg.tensors(made.init(0))
        opened(browser, tmp_path, mg.sum(made.run_over(params, x)[1]).named("L"), labels=WORDS)
        found = browser.evaluate(f"{reads}.map(b => [b.step, b.label])")
        wanted = [[t, WORDS[t + k]] for t in range(7) for k in offsets if 0 <= t + k < 7]
        assert sorted(found) == sorted(wanted)


def test_the_middle_folds(browser, tmp_path):
    """The first and last three steps stay, with the numbers that they had."""
    loss, _, _ = net(rc.LSTM(3, 4), steps=20)
    opened(browser, tmp_path, loss)
    numbers = """[...document.querySelectorAll('.panel .arrow')].map(a => [
        a.dataset.from + a.dataset.to, a.textContent])"""
    before = browser.evaluate(numbers)
    cells = "[...document.querySelectorAll('.panel .item.cell')].map(g => g.dataset.key)"
    assert len(browser.evaluate(cells)) == 20
    fold = "[...document.querySelectorAll('.bar button')].find(b => b.textContent.includes('fold'))"
    browser.evaluate(f"{fold}.click()")
    kept = {f"c0_{k}" for k in (0, 1, 2, 17, 18, 19)}
    assert set(browser.evaluate(cells)) == kept | {"fold0"}
    after = browser.evaluate(numbers)
    assert len(after) == 2 * 6 + 6 + 3 and all(pair in before for pair in after)
    browser.evaluate(f"{fold}.click()")
    assert browser.evaluate(numbers) == before


@pytest.mark.parametrize("width", [480, 1280])
def test_nothing_is_cut_and_every_number_can_be_read(browser, tmp_path, width):
    loss, _, _ = net(rc.LSTM(3, 4), steps=9)
    readable(browser, viz.draw(loss, grad=loss).save(tmp_path / "d.html"), width)


def readable(browser, path, width):
    """Within the page, at least 11 px high, not cut, and of enough contrast; also when dark."""
    for dark in (False, True):
        browser.media(dark=dark)
        browser.open(path, width)
        wide = browser.evaluate(
            "(({ scrollWidth: a, clientWidth: b }) => [a, b])(document.documentElement)"
        )
        assert wide[0] <= wide[1] == width
        least = browser.evaluate(
            "Math.min(...[...document.querySelectorAll('.panel svg text')].map("
            "t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a))"
        )
        assert least >= 11
        cut = browser.evaluate(
            "[...document.querySelectorAll('.panel svg text')].filter(t => {"
            "const [a, b] = [t, t.closest('.scroll')].map(e => e.getBoundingClientRect());"
            "return a.right > b.right + 0.5 || a.left < b.left - 0.5; }).map(t => t.textContent)"
        )
        assert cut == []
        assert browser.evaluate(CONTRAST) >= 4.5


CONTRAST = """(() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => {
    const x = v / 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = getComputedStyle(document.body).backgroundColor;
  const behind = (t) => { const r = t.parentNode.querySelector(":scope > rect:not(.hit)");
    const box = t.closest(".item:not(.param)");
    const fill = box && r ? getComputedStyle(r).fill : paper;
    return fill === "none" ? paper : fill; };
  return Math.min(...[...document.querySelectorAll(".panel svg text")].map((t) => {
    const [a, b] = [light(getComputedStyle(t).fill), light(behind(t))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); }));
})()"""


def test_print_has_everything(browser, tmp_path):
    loss, _, _ = net(rc.LSTM(3, 4))
    opened(browser, tmp_path, loss)
    browser.media("print")
    assert browser.evaluate("getComputedStyle(document.querySelector('.scrub')).display") == "none"
    assert browser.evaluate("document.querySelectorAll('.panel svg .item').length") > 20
    assert browser.pdf().startswith(b"%PDF")


def test_other_drawings_are_lit_and_searched(browser, tmp_path):
    """Two trees: not computed, and so said; hover and search work on what was drawn."""
    cell = rc.TreeLSTM(2, 3)
    params = mg.tensors(cell.init(0))
    trees = [rc.Tree.parse((("a", "b"), "c")), rc.Tree.parse(("d", "e"))]
    ys = rc.fold(cell, params, rc.structure(trees), np.ones((5, 2)))[1]
    loss = mg.sum(ys[4]).named("L")
    drawing = viz.draw(loss, grad=loss)
    browser.open(drawing.save(tmp_path / "t.html"))
    assert browser.evaluate("minigrad.page ?? null") is None
    assert "does not compute it" in browser.evaluate("document.body.innerText")
    cell_id = drawing.scene.of_kind("cell")[0].id
    browser.mouse(f"#d-{cell_id}")
    lit = browser.evaluate("[...document.querySelectorAll('.node.after')].map(n => n.id)")
    wanted = {f"d-{e.target}" for e in drawing.scene.edges
              if e.source == cell_id and e.kind in ("state", "forward")}  # fmt: skip
    assert wanted and wanted <= set(lit)


def test_a_program_says_why_it_is_none():
    loss, _, _ = net(rc.RNN(3, 4), lengths=None)
    data, text = program([loss], loss, None)
    assert len(text) < 12_000 and json.dumps(data, allow_nan=False)
    big = mg.sum(mg.asarray(np.zeros(60_001)))
    with pytest.raises(TooMuch, match="60,001 numbers"):
        program([big], big, None)
    alone = mg.sum(mg.asarray(np.zeros(3)))
    with pytest.raises(TooMuch, match="no recurrence"):
        program([alone], alone, None)


def test_single_precision_and_words_by_number(browser, tmp_path):
    """float32 to 1e-6; a table of words that is read by number, and a number that is changed."""
    cell = rc.LSTM(3, 4)
    params = mg.tensors({k: v.astype(np.float32) for k, v in cell.init(0).items()})
    table = mg.asarray(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), name="E")
    ids = np.array([0, 3, 1, 3])

    def loss_of(ids):
        xs = mg.take(table, mg.asarray(ids, name="ids"))
        return mg.sum(mg.square(rc.unroll(cell, params, xs)[1])).named("L")

    loss = loss_of(ids)
    opened(browser, tmp_path, loss)
    for now in (ids, np.array([0, 3, 2, 3])):
        browser.evaluate(f"minigrad.page.change('ids', 2, {now[2]})")
        got = browser.evaluate(READ)
        assert got["loss"] == pytest.approx(float(loss_of(now)), rel=1e-6)
        wanted = mg.grad(loss_of(now), {"E": table, **params})
        for key, gradient in mg.evaluate(wanted).items():
            np.testing.assert_allclose(got["params"][key], gradient.ravel(), rtol=1e-5, atol=1e-6)
    browser.evaluate("minigrad.page.change('ids', 2, 77)")
    assert "reset" in browser.evaluate("document.querySelector('.error').textContent")
    browser.evaluate("[...document.querySelectorAll('.bar button')].find("
                     "b => b.textContent === 'reset').click()")  # fmt: skip
    assert browser.evaluate(READ)["loss"] == pytest.approx(float(loss), rel=1e-6)


def test_an_input_is_opened_by_a_click(browser, tmp_path):
    loss, _, _ = net(rc.RNN(3, 4))
    opened(browser, tmp_path, loss)
    browser.mouse(".panel .item.input[data-key^=x4]", "click")
    assert browser.evaluate("document.querySelector('.weights').open")
    picked = "[...document.querySelectorAll('.weights select, .weights input')].map(i => i.value)"
    assert browser.evaluate(picked)[:2] == ["x", "5"]


def test_an_op_of_the_users_is_drawn_and_not_computed(tmp_path):
    twice = mg.primitive("twice", shape=lambda x: x.shape, numpy=lambda x: 2 * x,
                         vjp=lambda ct, y, x: (2 * ct,))  # fmt: skip
    loss = mg.sum(twice(net(rc.RNN(3, 4))[1])).named("L")
    page = viz.draw(loss, grad=loss).save(tmp_path / "d.html").read_text()
    assert "does not compute it: your op 'twice'" in page and 'data-program="' not in page


def test_the_page_is_one_file_with_a_strict_policy(tmp_path):
    loss, _, _ = net(rc.LSTM(3, 4))
    page = Path(viz.draw(loss, grad=loss).save(tmp_path / "d.html")).read_text()
    (policy,) = re.findall(r"content=\"(default-src 'none'; script-src 'sha256-[^\"]*)\"", page)
    assert "unsafe" not in policy and "http" not in policy
    assert page.count(" style=") == 0
    script = page.split('<script type="module">')[1]
    assert len(script.encode()) <= 60_000, "the runtime with the step's code"


# -- trees and grids -------------------------------------------------------------------------------

TREE = "(3 (2 It) (4 (2 's) (4 (3 lovely) (2 film))))"


def folded(cell, seed=0):
    """(loss, losses of all nodes, parameters) of a cell over a tree of seven nodes."""
    rng = np.random.default_rng(seed)
    params = mg.tensors({"cell": cell.init(seed), "x": rng.normal(size=(4, cell.input_size))})
    return lambda p: branched(cell, p), params


def branched(cell, params):
    tree = next(iter(rc.read_brackets(TREE)))
    _, ys = rc.fold(cell, params["cell"], rc.structure(tree), params["x"])
    return mg.sum(mg.square(ys), axis=-1).named("losses")


def swept(cell, seed=0):
    """The same over a grid of three rows and four columns."""
    rng = np.random.default_rng(seed)
    params = mg.tensors({"cell": cell.init(seed), "x": rng.normal(size=(3, 4, cell.input_size))})

    def losses(p):
        ys = rc.sweep(cell, p["cell"], p["x"])[1]
        return mg.reshape(mg.sum(mg.square(ys), axis=-1), (12,)).named("losses")

    return losses, params


SHAPES = {
    "tree lstm": lambda: folded(rc.TreeLSTM(3, 4, arity=2)),
    "recursive": lambda: folded(rc.RecursiveNet(3, 4, arity=2)),
    "rntn": lambda: folded(rc.RNTN(3, 4)),
    "child sums": lambda: folded(rc.ChildSumTreeLSTM(3, 4)),
    "md lstm": lambda: swept(rc.MDLSTM(3, 4, 2)),
    "md rnn": lambda: swept(rc.MDRNN(3, 4, 2)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_trees_and_grids_compute(browser, tmp_path, name):
    """Both passes, then a weight and an input changed and another loss, as in Python."""
    losses, params = SHAPES[name]()
    opened(browser, tmp_path, mg.sum(losses(params)).named("L"))
    key = next(k for k in params["cell"] if k.startswith("U") or k == "V")
    for seed, changes in ((0, {}), (4, {f"cell.{key}": (3, 0.8), "x": (2, -1.5)}), (0, {})):
        for leaf, (index, value) in changes.items():
            browser.evaluate(f"minigrad.page.change('{leaf}', {index}, {value})")
        browser.evaluate(f"minigrad.page.panel.seed = {seed}; minigrad.page.panel.update()")
        plain = mg.evaluate(params)
        for leaf, (index, value) in changes.items():
            at = plain["cell"] if leaf.startswith("cell.") else plain
            at[leaf.split(".")[-1]] = moved = at[leaf.split(".")[-1]].copy()
            moved.reshape(-1)[index] = value
        params = mg.tensors(plain)
        each = losses(params)
        loss = mg.sum(each) if seed == 0 else each[seed - 1]
        got = browser.evaluate(READ.replace("run.seeds[0]", f"run.seeds[{seed}]").replace(
            ".value.data[0]", f".value.data[run.seeds[{seed}].index]"))  # fmt: skip
        assert got["loss"] == pytest.approx(float(loss), rel=1e-9)
        for leaf, gradient in mg.evaluate(mg.grad(loss, flat(params))).items():
            if got["params"][leaf] is None:
                assert not gradient.any()
            else:
                close(got["params"][leaf], gradient)


@pytest.mark.parametrize("name", ["tree lstm", "child sums", "md lstm"])
def test_the_picture_of_a_tree(browser, tmp_path, name):
    """Every edge is drawn, no box stands over another, and the runtime is small."""
    losses, params = SHAPES[name]()
    each = losses(params)
    loss = each[len(each.numpy()) - 1].named("L")
    opened(browser, tmp_path, loss)
    arrows = browser.evaluate(
        "minigrad.page.panel.shown[0].made.arrows.map(a => [a.kind, a.a, a.b])"
    )
    drawn = [(a, b) for kind, a, b in arrows if kind == "state"]
    edges = {"tree lstm": 6, "child sums": 6, "md lstm": 17}[name]
    assert len(set(drawn)) == edges
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.panel .item.cell, .panel .item.input, .panel .item.loss')]"
        ".map(g => { const b = g.querySelector('rect').getBBox();"
        "return [b.x, b.y, b.x + b.width, b.y + b.height]; })"
    )
    assert len(boxes) == {"tree lstm": 12, "child sums": 12, "md lstm": 25}[name]
    for k, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:k]:
            assert a >= g or c <= e or b >= h or d <= f, "boxes do not overlap"
    # each node of a tree has one reader: what comes back along its edge is all that it gets
    tree = next(iter(rc.read_brackets(TREE)))
    if name == "tree lstm":
        sent = dict(browser.evaluate(
            "minigrad.page.panel.shown[0].made.arrows.filter(a => a.kind === 'state' && "
            "a.name.startsWith('h')).map(a => [a.a, a.norm])"
        ))  # fmt: skip
        _, hs = rc.fold(rc.TreeLSTM(3, 4, arity=2), params["cell"], rc.structure(tree), params["x"])
        total = np.linalg.norm(mg.state_gradients(mg.sum(mg.square(hs[-1])), hs).numpy(), axis=1)
        close([sent[f"c0_{k}"] for k in range(6)], total[:6])
    script = Path(tmp_path / "d.html").read_text(encoding="utf-8")
    script = re.search(r'<script type="module">(.*?)</script>', script, re.DOTALL)[1]
    assert len(script.encode()) <= 60_000
