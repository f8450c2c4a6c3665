"""Learned structure: the search against naive searches, the objectives against torch, learning."""

import numpy as np
import pytest

import minigrad as mg
import recurrent as rc
import viz
from benchmarks.parse_grammar import run
from minigrad.testing.laws import close

from .checks import against, laws, random_params

T = rc.Tree
CELL = rc.ScoringNet(2, 3)


def sentence(seed, words=5):
    return np.random.default_rng(seed).standard_normal((words, 2))


def every_tree(words):
    """All binary trees over some words."""
    if len(words) == 1:
        return [words[0]]
    return [
        (a, b)
        for cut in range(1, len(words))
        for a in every_tree(words[:cut])
        for b in every_tree(words[cut:])
    ]


def naive_greedy(cell, p, x, sign=1):
    """One sentence, one merge at a time, every candidate scored on its own."""
    zero = tuple(mg.asarray(a[0]) for a in cell.zero_state()) if len(cell.state_names) > 1 else (
        mg.asarray(cell.zero_state()[0])
    )  # fmt: skip
    given = cell.word_inputs(mg.asarray(x)) if hasattr(cell, "word_inputs") else mg.asarray(x)
    at = (
        (lambda k: tuple(t[k] for t in given)) if isinstance(given, tuple) else (lambda k: given[k])
    )
    none = tuple(mg.zeros(t.shape[1:]) for t in given) if isinstance(given, tuple) else mg.zeros(2)
    phrases = [(str(k), cell(p, (zero, zero), at(k))[0]) for k in range(len(x))]
    while len(phrases) > 1:
        merged = [cell(p, (a[1], b[1]), none) for a, b in zip(phrases, phrases[1:], strict=False)]
        k = int(np.argmax([sign * float(y) for _, y in merged]))
        phrases[k : k + 2] = [((phrases[k][0], phrases[k + 1][0]), merged[k][0])]
    return phrases[0][0]


@pytest.mark.parametrize("seed", range(4))
def test_greedy_parsing_is_the_naive_loop(seed):
    p, x = random_params(CELL, seed), sentence(seed, 6)
    assert rc.parse(CELL, p, x) == T.parse(naive_greedy(CELL, p, x))
    auto = rc.RecursiveAutoencoder(2)
    p = random_params(auto, seed)
    assert rc.parse(auto, p, x, lowest=True) == T.parse(naive_greedy(auto, p, x, -1))


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_trees(seed):
    p, x = random_params(CELL, seed), sentence(seed)
    forest = every_tree([str(k) for k in range(5)])
    assert len(forest) == 14
    scores = mg.evaluate(rc.tree_scores(CELL, p, list(forest), np.tile(x, (14, 1))))
    best = rc.parse(CELL, p, x, beam=50)
    assert best == T.parse(forest[int(np.argmax(scores))])
    gold = T.parse(forest[int(np.argmin(scores))])
    augmented = scores + 0.5 * rc.wrong_brackets([gold] * 14, forest)
    found = rc.parse(CELL, p, x, beam=50, gold=gold, margin=0.5)
    assert found == T.parse(forest[int(np.argmax(augmented))])


def test_a_wider_beam_never_scores_less_and_greedy_can_be_wrong():
    scores = {}
    for beam in (1, 3, 30):
        total = []
        for seed in range(12):
            x = sentence(seed, 6)
            tree = rc.parse(CELL, random_params(CELL, seed), x, beam=beam)
            total.append(float(rc.tree_scores(CELL, random_params(CELL, seed), tree, x)[0]))
        scores[beam] = np.array(total)
    assert (scores[30] >= scores[3] - 1e-12).all() and (scores[30] >= scores[1] - 1e-12).all()
    assert (scores[30] > scores[1] + 1e-6).any()


@pytest.mark.parametrize("beam", [1, 3])
def test_sentences_together_are_each_alone(beam):
    p, xs = random_params(CELL, 0), [sentence(k, n) for k, n in enumerate((4, 1, 7, 2))]
    words = [[f"w{k}" for k in range(len(x))] for x in xs]
    together = rc.parse(CELL, p, xs, words, beam=beam)
    assert [t.words() for t in together] == words
    for x, w, tree in zip(xs, words, together, strict=True):
        assert rc.parse(CELL, p, x, w, beam=beam) == tree


def test_a_parse_is_a_tree_that_folds_and_draws():
    p, x = random_params(CELL, 0), sentence(0, 4)
    tree = rc.parse(CELL, p, x, "the Saints beat them".split())
    _, y = rc.fold(CELL, p, tree, x)
    assert y.shape == (7,)
    assert "7" in viz.draw(tree, view="tree").summary()


# -- objectives ------------------------------------------------------------------------------------

GOLD = [("a", ("b", "c")), (("a", "b"), "c"), ("a", "b")]
FOUND = [(("a", "b"), "c"), (("a", "b"), "c"), ("a", "b")]


def score_in_torch(torch, p, tree, xs):
    """(h, sum of scores, score of the last merge) by recursion; xs an iterator over words."""
    if not isinstance(tree, tuple):
        return torch.tanh(next(xs) @ p["W"] + p["b"]), 0.0, 0.0
    (a, total_a, _), (b, total_b, _) = (score_in_torch(torch, p, t, xs) for t in tree)
    h = torch.tanh(a @ p["U_0"] + b @ p["U_1"] + p["b"])
    here = h @ p["w"]
    return h, total_a + total_b + here, here


def test_margin_loss_against_torch():
    torch = pytest.importorskip("torch")
    wrong = rc.wrong_brackets(GOLD, FOUND)
    one = rc.wrong_brackets(rc.Tree.parse(GOLD[0]), rc.Tree.parse(FOUND[0]))  # as parse gives one
    assert one.tolist() == wrong[:1].tolist()
    assert wrong.tolist() == [1, 0, 0]

    def totals(t, trees):
        words = iter(t["x"])
        return torch.stack([score_in_torch(torch, t["p"], tree, words)[1] for tree in trees])

    def oracle(t):
        gap = totals(t, FOUND) + 2.0 * torch.tensor(wrong) - totals(t, GOLD)
        return totals(t, GOLD), torch.relu(gap).mean()

    def ours(t):
        scores = rc.tree_scores(CELL, t["p"], GOLD, t["x"])
        return scores, rc.margin_loss(CELL, t["p"], GOLD, FOUND, t["x"], wrong, 2.0)

    arrays = {"p": random_params(CELL, 1), "x": sentence(1, 8)}
    against(oracle, ours, arrays, 1e-10)
    laws(ours, arrays)


def test_greedy_loss_against_torch():
    torch = pytest.importorskip("torch")

    def last(t, trees, x):
        words = iter(x)
        return torch.stack([score_in_torch(torch, t["p"], tree, words)[2] for tree in trees])

    def oracle(t):
        return torch.relu(last(t, FOUND, t["w"]) + 3.0 - last(t, GOLD, t["r"])).mean()

    def ours(t):
        return rc.greedy_loss(CELL, t["p"], GOLD, FOUND, t["r"], t["w"], 3.0)

    arrays = {"p": random_params(CELL, 1), "r": sentence(1, 8), "w": sentence(2, 8)}
    against(oracle, ours, arrays, 1e-10)
    laws(ours, arrays)


def test_confusions_hold_the_best_wrong_merge_against_the_best_right_one():
    p, x = random_params(CELL, 3), sentence(3, 4)
    gold = T.parse((("a", "b"), ("c", "d")))
    wrong, right, w, r = rc.confusions(CELL, p, [x], [gold], 100.0)
    assert [t.words() for t in wrong][0] == ["1", "2"]
    assert right[0].words() in (["0", "1"], ["2", "3"]) and len(wrong) == len(right) == 2
    assert w.tolist() == [int(v) for t in wrong for v in t.words()]
    assert r.tolist() == [int(v) for t in right for v in t.words()]
    none = rc.confusions(CELL, p, [x], [rc.parse(CELL, p, x)], 0.0)
    assert none[0] == none[1] == [] and not len(none[2])


def test_bracket_f1():
    assert rc.bracket_f1(GOLD, GOLD) == 1.0 and rc.bracket_f1(["(1 a)"], ["(1 a)"]) == 1.0
    assert rc.bracket_f1(GOLD, FOUND) == pytest.approx(4 / 5)


@pytest.mark.parametrize("cell", [CELL], ids=str)
def test_laws_of_the_cell(cell):
    arrays = {"p": random_params(cell, 0), "x": sentence(0, 8)}
    laws(lambda t: rc.fold(cell, t["p"], GOLD, t["x"]), arrays)


# -- learning --------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_greedy_parser_learns_a_small_language():
    result = run(seed=0, sentences=150, epochs=8)
    assert result["before"] < 0.6 and result["f1"] > 0.95, result


@pytest.mark.long
def test_max_margin_over_trees_learns_with_a_beam():
    result = run(seed=0, sentences=60, epochs=8, beam=4, objective="trees")
    assert result["f1"] > result["before"] + 0.3, result


def test_an_autoencoder_learns_to_rebuild():
    """Greedy merging and descent on the error of the trees it chose, in turn."""
    cell, rng = rc.RecursiveAutoencoder(4), np.random.default_rng(0)
    table = rng.standard_normal((6, 4))
    xs = [table[rng.integers(0, 6, 5)] for _ in range(8)]
    p, adam = cell.init(0), mg.optim.adam(2e-2)
    state, x = adam.init(p), np.concatenate(xs)

    @mg.function
    def step(p, s):
        error = mg.mean(rc.tree_scores(cell, p, s, x))
        return error, mg.grad(error, p)

    errors = []
    for _ in range(40):
        error, grads = step(p, rc.structure(rc.parse(cell, p, xs, lowest=True)))
        errors.append(float(error))
        p, state = adam.update(p, grads, state)
    assert errors[-1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.parse(CELL, {}, np.ones((0, 2))), r"sentence 0 must be \(words, I\) with one"),
        (lambda: rc.parse(CELL, {}, [np.ones((1, 2)), np.ones(2)]), "sentence 1 must be"),
        (lambda: rc.parse(CELL, {}, np.ones((2, 2)), beam=0), "beam must be at least 1; got 0"),
        (lambda: rc.parse(CELL, {}, np.ones((2, 2)), ["a"]), "sentence 0 has 2 words but"),
        (lambda: rc.parse(CELL, {}, [np.ones((2, 2))], gold=[]), "gold must have one entry per"),
        (
            lambda: rc.confusions(
                CELL, CELL.init(0), [np.ones((3, 2))], [T.parse(("a", "b", "c"))], 1.0
            ),
            "gold tree 0 is not binary; see rc.binarise",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scores_of_trees_add_up():
    p, x = random_params(CELL, 0), sentence(0, 8)
    s = rc.structure(GOLD)
    y = mg.evaluate(rc.fold(CELL, p, s, x)[1])
    inner = ~s.leaves
    wanted = [y[inner & (s.component == k)].sum() for k in range(3)]
    close(mg.evaluate(rc.tree_scores(CELL, p, s, x)), np.array(wanted), 1e-13)
