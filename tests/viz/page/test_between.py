"""Recurrences that read each other, in one page: where they stand, and what passes between them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from minigrad.pytrees import tree_leaves
from tests.viz.page.test_drawing import CROSSED, READ, close, opened, readable
from viz.out.render import engine
from viz.page.frame import close_up
from viz.page.program import program

needs_graphviz = pytest.mark.skipif(engine() is None, reason="no Graphviz on PATH, no pygraphviz")


def pair(attention=None, n=5, m=4, cell=rc.GRU, both=False, **how):
    """(loss, leaves) of an encoder-decoder over n and m random steps."""
    encoder = rc.bidirectional(cell(2, 3), cell(2, 3)) if both else cell(2, 3)
    more = (attention == "additive") + how.get("every_step", False)
    net = rc.encoder_decoder(
        encoder, cell(2 + 3 * (1 + both) * more, 3), outputs=2, attention=attention, **how
    )
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(n, 1, 2)), "y": rng.normal(size=(m, 1, 2))}
    leaves = mg.tensors({"net": net.init(0)} | given)
    out = net(leaves["net"], leaves["x"], leaves["y"])
    return mg.sum(mg.square(out)).named("L"), leaves


def deep(steps=4):
    rng = np.random.default_rng(1)
    one, two = rc.RNN(2, 3), rc.RNN(3, 3)
    leaves = mg.tensors({"one": one.init(0), "two": two.init(1), "x": rng.normal(size=(steps, 2))})
    middle = rc.unroll(one, leaves["one"], leaves["x"])[1]
    return mg.sum(rc.unroll(two, leaves["two"], middle)[1]), leaves


def apart(n=4, m=2):
    """Two sequences through one cell, compared at their ends."""
    cell, rng = rc.RNN(2, 3), np.random.default_rng(2)
    leaves = mg.tensors({"net": cell.init(0)} | {
        name: rng.normal(size=(k, 2)) for name, k in (("x", n), ("y", m))
    })  # fmt: skip
    ends = [rc.unroll(cell, leaves["net"], leaves[name])[1][-1] for name in ("x", "y")]
    return mg.sum(mg.square(ends[0] - ends[1])), leaves


def pyramid():
    """A second layer that reads two steps of the first at once."""
    rng = np.random.default_rng(3)
    one, two = rc.GRU(2, 3), rc.GRU(6, 3)
    leaves = mg.tensors({"one": one.init(0), "two": two.init(1), "x": rng.normal(size=(6, 2))})
    rows = mg.reshape(rc.unroll(one, leaves["one"], leaves["x"])[1], (3, 6))
    return mg.sum(rc.unroll(two, leaves["two"], rows)[1][-1]).named("L"), leaves


def looped():
    """A decoder as a plain loop over a block, with attention written beside it."""
    rng = np.random.default_rng(4)
    one, two = rc.GRU(2, 3), rc.GRU(5, 3)
    leaves = mg.tensors({
        "one": one.init(0), "two": two.init(1),
        "x": rng.normal(size=(4, 2)), "y": rng.normal(size=(3, 2)),
    })  # fmt: skip
    memory = rc.unroll(one, leaves["one"], leaves["x"])[1]

    @mg.block
    def decoder(params, s, x):
        return two(params, s, x)[0]

    states = [memory[-1]]
    for t in range(3):
        context = mg.softmax(memory @ states[-1]) @ memory
        states.append(decoder(leaves["two"], states[-1], mg.concat([leaves["y"][t], context])))
    return mg.sum(mg.square(mg.stack(states[1:]))).named("L"), leaves, states


def skipping(layers=2, more=1, steps=4):
    """Layers that read the inputs, too, beside the layer below, and `more` inputs of their own."""
    rng = np.random.default_rng(5)
    cells = [rc.RNN(2, 3)] + [rc.RNN(3 + 2 + 2 * more, 3)] * (layers - 1)
    leaves = mg.tensors({"net": [cell.init(k) for k, cell in enumerate(cells)]} | {
        name: rng.normal(size=(steps, 2)) for name in ["x", *(f"z{k}" for k in range(more))]
    })  # fmt: skip
    given = [leaves[name] for name in leaves if name != "net"]
    h = rc.unroll(cells[0], leaves["net"][0], leaves["x"])[1]
    for cell, params in zip(cells[1:], leaves["net"][1:], strict=True):

        def layer(p, s, xs, cell=cell):
            return cell(p, s, mg.concat(xs, axis=-1))

        h = rc.unroll(layer, params, (h, *given), np.zeros(3))[1]
    return mg.sum(mg.square(h)).named("L"), leaves


PLACES = {  # (start, level) of every recurrence
    "encoder and decoder": (pair, {(0, 0), (5, 0)}),
    "of one length": (lambda: pair(n=4, m=4), {(0, 0), (4, 0)}),
    "with attention": (lambda: pair("additive", n=3, m=3), {(0, 0), (3, 0)}),
    "that reads the context at every step": (
        lambda: pair(n=3, m=3, every_step=True, start=None), {(0, 0), (3, 0)},
    ),
    "both directions": (lambda: pair(both=True), {(0, 0), (0, 1), (5, 0)}),
    "of one step each": (lambda: pair("additive", n=1, m=1), {(0, 0), (1, 0)}),
    "deep of one step": (lambda: deep(1), {(0, 0), (0, 1)}),
    "deep": (deep, {(0, 0), (0, 1)}),
    "apart": (apart, {(0, 0), (0, 1)}),
    "a pyramid": (pyramid, {(0, 0), (6, 0)}),
    "a loop": (lambda: looped()[:2], {(0, 0), (4, 0)}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_who_stands_where(name):
    made, wanted = PLACES[name]
    loss, _ = made()
    data, _ = program([loss], loss, None)
    assert {(u["start"], u["level"]) for u in data["units"]} == wanted
    assert data["steps"] == max(u["start"] + u["steps"] for u in data["units"])


def test_words_for_every_step_of_both():
    loss, _ = pair()
    words = "the cat sat down . <s> le chat assis".split()
    assert program([loss], loss, words)[0]["labels"] == words
    assert program([loss], loss, words[:5])[0]["labels"] == []


NETS = {
    "encoder-decoder": pair,
    "of one length": lambda: pair(n=4, m=4),
    "additive": lambda: pair("additive"),
    "dot": lambda: pair("dot", cell=rc.LSTM),
    "general": lambda: pair("general", start="copy"),
    "at every step": lambda: pair(every_step=True),
    "both directions": lambda: pair("additive", both=True),
    "no start": lambda: pair("dot", start=None),
    "one step each": lambda: pair("additive", n=1, m=1),
    "apart": apart,
    "a pyramid": pyramid,
    "two inputs above": skipping,
    "three inputs above": lambda: skipping(more=2, steps=2),
    "all layers read the input": lambda: skipping(layers=3, more=0),
    "all layers read two": lambda: skipping(layers=3, more=1),
    "a loop": lambda: looped()[:2],
}


@needs_graphviz
@pytest.mark.long
@pytest.mark.parametrize("name", NETS)
def test_both_passes_are_those_of_python(browser, tmp_path, name):
    """No arrow runs through a box, no number over another, at either width."""
    loss, leaves = NETS[name]()
    for width in (480, 1280):
        browser.open(viz.draw(loss, grad=loss).save(tmp_path / "d.html"), width)
        assert browser.evaluate("minigrad.error?.stack ?? null") is None
        got = browser.evaluate(READ)
        assert got["loss"] == pytest.approx(float(loss), rel=1e-9)
        names = {t.name: t for t in tree_leaves(leaves)}
        for key, gradient in mg.evaluate(mg.grad(loss, names)).items():
            found = got["params"][key]
            close(np.zeros(gradient.size) if found is None else found, gradient)
        assert browser.evaluate(CROSSED) == []


def remembered(copies=False):
    """(loss, memory, start) of a decoder that looks back on all states of an encoder.

    copies: with a memory of its own for every step, so that each step's gradient can be told.
    """
    rng = np.random.default_rng(3)
    one = rc.GRU(2, 3)

    def two(params, h, x):
        x, memory = x if copies else (x, params["memory"])
        scores = mg.sum(memory * h[..., None, :], axis=-1)
        context = mg.sum(mg.softmax(scores)[..., None] * memory, axis=-2)
        h = mg.tanh(x @ params["W"] + h @ params["U"] + context)
        return h, h

    own = mg.tensors({"W": rng.normal(size=(2, 3)), "U": rng.normal(size=(3, 3))})
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    end, states = rc.unroll(one, mg.tensors(one.init(0)), x)
    start = mg.tanh(mg.asarray(rng.normal(size=(3, 3))) @ end).named("start")
    memory = states * 2.0
    if copies:
        memory = mg.stack([states * 2.0 for _ in range(4)])[:, None]
        ys = rc.unroll(two, own, (y[:, None], memory), start[None])[1]
    else:
        ys = rc.unroll(two, own | {"memory": memory}, y, start)[1]
    return mg.sum(mg.square(ys)).named("L"), memory, start


@needs_graphviz
@pytest.mark.long
def test_what_passes_between_two(browser, tmp_path):
    """The state that the decoder begins with, and what each of its steps sends to each memory."""
    loss, _, start = remembered()
    opened(browser, tmp_path, loss)
    arrows = browser.evaluate(
        "minigrad.page.panel.shown[0].made.arrows.filter(a => a.kind === 'join').map("
        "a => [a.a, a.b, a.norm])"
    )
    norm = float(mg.norm(mg.grad(loss, start)))
    assert arrows == [["c0_4", "c1_5", pytest.approx(norm, rel=1e-9)]]
    (read,) = browser.evaluate(
        "minigrad.page.panel.shown[0].made.reads.map(r => [r.name, r.steps])"
    )
    assert read[0] == "memory" and [t for t, _ in read[1]] == [5, 6, 7, 8]
    other, copies, _ = remembered(copies=True)
    wanted = np.linalg.norm(mg.grad(other, copies).numpy()[:, 0], axis=-1)
    assert wanted.shape == (4, 5) and (wanted > 0).all()
    close(np.ravel([row for _, row in read[1]]), wanted)
    drawn = browser.evaluate("""[...document.querySelectorAll('.panel [data-key^="m"]')].map(
        g => [...g.querySelectorAll('.number')].map(t => t.textContent))""")
    assert np.shape(drawn) == (5, 4)
    np.testing.assert_allclose(np.array(drawn, float), wanted.T, rtol=0.06)


@needs_graphviz
@pytest.mark.long
def test_a_loop_and_a_pyramid_are_drawn_as_what_they_are(browser, tmp_path):
    """The state of a loop goes from call to call; an input made of a few steps is called so."""
    loss, _, states = looped()
    opened(browser, tmp_path, loss)
    arrows = browser.evaluate(
        "minigrad.page.panel.shown[0].made.arrows.filter(a => a.kind === 'state' && "
        "a.b.startsWith('c1')).map(a => [a.a, a.b, a.norm])"
    )
    assert [a[:2] for a in arrows] == [["c1_4", "c1_5"], ["c1_5", "c1_6"]]
    # all of a state's gradient but what the loss reads itself, and what attention does
    direct = [float(2 * mg.norm(s)) for s in states[1:]]
    outs = browser.evaluate(
        "minigrad.page.panel.shown[0].made.arrows.filter(a => a.kind === 'out').map(a => a.norm)"
    )
    close(outs, direct)
    inputs = (
        "minigrad.page.panel.shown[0].made.boxes.filter(b => b.kind === 'input').map(b => b.label)"
    )
    assert browser.evaluate(inputs)[4:] == ["x₁", "x₂", "x₃"]
    opened(browser, tmp_path, pyramid()[0])
    assert browser.evaluate(inputs)[6:] == ["GRU 1, 2", "GRU 3, 4", "GRU 5, 6"]
    opened(browser, tmp_path, apart()[0])
    assert sorted(browser.evaluate(inputs)) == ["x₁", "x₂", "x₃", "x₄", "y₁", "y₂"]


@needs_graphviz
@pytest.mark.long
def test_a_loss_stands_over_what_it_reads_itself(browser, tmp_path):
    """Not over an encoder whose states only the decoder reads; where it reads both, over both,
    and what comes back by more than one way is not told as if it came by one."""
    losses = (
        "minigrad.page.panel.shown[0].made.boxes.filter(b => b.kind === 'loss').map(b => b.step)"
    )
    opened(browser, tmp_path, remembered()[0])
    assert browser.evaluate(losses) == [5, 6, 7, 8]
    loss, memory, _ = remembered()
    opened(browser, tmp_path, (loss + mg.sum(memory)).named("L"))
    assert sorted(browser.evaluate(losses)) == list(range(9))
    norms = dict(browser.evaluate(
        "minigrad.page.panel.shown[0].made.arrows.filter(a => a.kind === 'out').map("
        "a => [a.a, a.norm])"
    ))  # fmt: skip
    assert all(norms[f"c0_{t}"] is None for t in range(5))
    assert all(norms[f"c1_{t}"] > 0 for t in range(5, 9))
    # where all of its gradient is exactly 0, it still stands where it reads
    zero, leaves = pair("dot", n=3, m=2)
    wanted = {t: mg.zeros(t.shape) for t in tree_leaves(leaves["net"])}
    opened(browser, tmp_path, mg.substitute(zero, wanted).named("L"))
    assert browser.evaluate(losses) == [3, 4]


@needs_graphviz
@pytest.mark.long
def test_steps_are_left_out_and_folded(browser, tmp_path):
    loss, _ = pair("additive", n=8, m=7)
    opened(browser, tmp_path, loss)
    before = browser.evaluate(READ)["loss"]
    boxes = "[...document.querySelectorAll('.panel .words input[type=checkbox]')]"
    assert browser.evaluate(f"{boxes}.length") == 15
    browser.evaluate(f"{boxes}[1].click()")
    assert browser.evaluate(READ)["loss"] != pytest.approx(before, rel=1e-6)
    labels = "[...document.querySelectorAll('.panel .item.left text')].map(t => t.textContent)"
    assert "left out" in browser.evaluate(labels)
    browser.evaluate("minigrad.page.panel.folder.click()")
    assert "9 steps" in browser.evaluate(labels)
    assert browser.evaluate(CROSSED) == []


@needs_graphviz
@pytest.mark.long
@pytest.mark.parametrize("width", [480, 1280])
def test_every_number_can_be_read(browser, tmp_path, width):
    loss, _ = pair("additive", n=9, m=13)
    labels = [f"a longer word {k}" for k in range(22)]
    path = viz.draw(loss, grad=loss, labels=labels).save(tmp_path / "d.html")
    readable(browser, path, width)
    loss, _ = pair("dot", cell=rc.LSTM)
    readable(browser, viz.draw(loss, grad=loss).save(tmp_path / "d.html"), width)
    loss, _ = skipping(layers=3)
    readable(browser, viz.draw(loss, grad=loss).save(tmp_path / "d.html"), width)


@needs_graphviz
@pytest.mark.parametrize("encoder", [rc.GRU(3, 4), rc.bidirectional(rc.GRU(3, 2))], ids=repr)
def test_the_script_stays_small(tmp_path, encoder):
    """An op's code stands once, whatever the shapes that it meets."""
    net = rc.encoder_decoder(
        encoder, rc.LSTM(6, 4), source_tokens=5, target_tokens=7, attention="additive"
    )
    xs, ys = np.array([[3, 1, 4, 1, 2]]).T, np.array([[5, 2, 6, 5]]).T
    loss = rc.cross_entropy(net(mg.tensors(net.init(0)), xs, ys), ys).named("L")
    page = viz.draw(loss, grad=loss).save(tmp_path / "d.html").read_text(encoding="utf-8")
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    assert len(script.encode()) <= 60_000


def test_scripts_lose_blanks_and_nothing_else():
    code = "f = (a, b) => { return a - -b + `x { ${ a [ 0 ] } y = ${`${ b }`} ' = ` + 'a = b'; }"
    closed = "f=(a,b)=>{return a - -b+`x { ${a[0]} y = ${`${b}`} ' = `+'a = b';}"
    assert close_up(code) == closed
    assert close_up('x = "it\\" = y" ;') == 'x="it\\" = y";'
    assert close_up("f(\na,\n[\n1\n]\n) {\nb\n.c ;\n}\nd") == "f(a,[1]){b.c}\nd"
    assert close_up("x = `{\n}`;\ny = '{'") == "x=`{\n}`;\ny='{'"
