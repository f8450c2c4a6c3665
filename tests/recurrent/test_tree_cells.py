"""Tree cells: the laws on random trees, torch recursions as oracles, what they reduce to."""

import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import recurrent as rc
from minigrad.testing.laws import close
from recurrent.cells import kinds

from .checks import against, laws, random_params
from .test_dependencies import conllu
from .test_trees import T

WIDE = "(3 (2 (2 a) (2 b) (2 c)) (4 d) (1 (1 e) (1 f)))"
PAIRS = "(3 (2 (2 a) (2 b)) (4 c))"
HEADS = [("1", "a", "2", "x"), ("2", "b", "0", "root"), ("3", "c", "2", "x"), ("4", "d", "3", "x"),
         ("5", "e", "2", "x")]  # fmt: skip
SUMMED = [cell for kind in kinds("tree, one summed slot") for cell in kind.examples()]
PLACED = [cell for kind in kinds("tree") for cell in kind.examples()]  # a place for every child
BINARY = [cell for cell in PLACED if cell.arity == 2]


def grown(rng, words, arity):
    """A random tree over `words` words with 2 to `arity` children a node."""
    if words == 1:
        return T("", [], "w")
    pieces = int(rng.integers(2, min(arity, words) + 1))
    cuts = np.sort(rng.choice(np.arange(1, words), pieces - 1, replace=False))
    sizes = np.diff([0, *cuts, words])
    return T("", [grown(rng, int(k), arity) for k in sizes])


def problem(cell, seed, arity):
    rng = np.random.default_rng(seed)
    forest = [grown(rng, int(rng.integers(1, 6)), arity) for _ in range(int(rng.integers(1, 4)))]
    words = sum(len(t.words()) for t in forest)
    return forest, {"p": random_params(cell, seed), "x": rng.standard_normal((words, 2))}


def folded(cell, forest):
    return lambda t: rc.fold(cell, t["p"], forest, t["x"])


@pytest.mark.parametrize("cell", [*SUMMED, *PLACED], ids=str)
def test_laws_on_random_trees(cell):
    arity = getattr(cell, "arity", 4)

    @settings(max_examples=3)
    @given(st.integers(0, 2**20))
    def check(seed):
        forest, arrays = problem(cell, seed, arity)
        laws(folded(cell, forest), arrays, seed)

    check()


@pytest.mark.parametrize("cell", [*SUMMED, *BINARY], ids=str)
def test_a_forest_is_its_trees_one_by_one(cell):
    forest, arrays = problem(cell, 5, 2)
    together = mg.evaluate(rc.fold(cell, arrays["p"], forest, arrays["x"])[1])
    at, word = 0, 0
    for tree in forest:
        nodes, words = len(tree.postorder()), len(tree.words())
        alone = rc.fold(cell, arrays["p"], tree, arrays["x"][word : word + words])[1]
        close(mg.evaluate(alone), together[at : at + nodes], 1e-13)
        at, word = at + nodes, word + words


@pytest.mark.parametrize("cell", [*SUMMED, *BINARY], ids=str)
def test_single_precision_stays_single(cell):
    forest, arrays = problem(cell, 3, 2)
    low = optree.tree_map(lambda a: a.astype(np.float32), arrays)
    wanted = mg.evaluate(folded(cell, forest)(mg.tensors(arrays)))
    found = mg.evaluate(folded(cell, forest)(mg.tensors(low)))
    compiled = mg.function(folded(cell, forest))(low)
    for a, b, c in zip(*map(optree.tree_leaves, (found, compiled, wanted)), strict=True):
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(a, c, atol=2e-5)
        np.testing.assert_allclose(b, c, atol=2e-5)


# -- oracles ---------------------------------------------------------------------------------------


def visit(torch, tree, x, node):
    """node(children's results, x of this node) from the leaves up, results in post-order."""
    words, done, results = iter(range(len(x))), {}, []
    for n in tree.postorder():
        place = (
            n.position if n.position is not None else next(words) if n.word is not None else None
        )
        here = x[place] if place is not None else torch.zeros_like(x[0])
        done[id(n)] = node([done[id(c)] for c in n.children], here)
        results.append(done[id(n)])
    return results


@pytest.mark.parametrize("source", [WIDE, PAIRS, conllu(HEADS), "(1 a)"])
def test_child_sum_against_torch(source):
    torch = pytest.importorskip("torch")
    cell, tree = rc.ChildSumTreeLSTM(2, 3), T.parse(source)
    x = np.random.default_rng(0).standard_normal((len(tree.words()), 2))

    def oracle(t):
        p = t["p"]

        def node(children, x):  # equations 2 to 8
            s = sum((h for h, _ in children), torch.zeros(3, dtype=torch.float64))
            i, o = (torch.sigmoid(x @ p[f"W_{g}"] + s @ p[f"U_{g}"] + p[f"b_{g}"]) for g in "io")
            u = torch.tanh(x @ p["W_u"] + s @ p["U_u"] + p["b_u"])
            c = i * u
            for h, ck in children:
                c = c + torch.sigmoid(x @ p["W_f"] + h @ p["U_f"] + p["b_f"]) * ck
            return o * torch.tanh(c), c

        return torch.stack([h for h, _ in visit(torch, tree, t["x"], node)])

    arrays = {"p": random_params(cell, 1), "x": x}
    against(oracle, lambda t: folded(cell, tree)(t)[1], arrays, 1e-10)


@pytest.mark.parametrize(("source", "arity"), [(WIDE, 3), (PAIRS, 2), ("(1 a)", 1)])
def test_rntn_against_torch(source, arity):
    torch = pytest.importorskip("torch")
    cell, tree = rc.RNTN(2, 3, arity=arity), T.parse(source)
    x = np.random.default_rng(0).standard_normal((len(tree.words()), 2))

    def oracle(t):
        p = t["p"]

        def node(children, x):
            zero = torch.zeros(3, dtype=torch.float64)
            c = torch.cat([*children, *[zero] * (arity - len(children))])
            tensor = torch.stack([c @ p["V"][:, j] @ c for j in range(3)])
            linear = c @ torch.cat([p[f"U_{k}"] for k in range(arity)])
            return torch.tanh(tensor + linear + x @ p["W"] + p["b"])

        return torch.stack(visit(torch, tree, t["x"], node))

    arrays = {"p": random_params(cell, 1), "x": x}
    against(oracle, lambda t: folded(cell, tree)(t)[1], arrays, 1e-10)


def test_autoencoder_against_torch():
    torch = pytest.importorskip("torch")
    cell, tree = rc.RecursiveAutoencoder(2), T.parse("(1 (1 (1 a) (1 b)) (1 (1 c) (1 d)))")

    def oracle(t):
        p = t["p"]

        def node(children, x):
            if not children:
                return x, 1, x.sum() * 0
            (a, n, _), (b, m, _) = children
            h = torch.tanh(torch.cat([a, b]) @ torch.cat([p["W_1"], p["W_2"]]) + p["b"])
            h = h / h.norm()
            ea = (a - h @ p["D_1"] - p["d_1"]).square().sum()
            eb = (b - h @ p["D_2"] - p["d_2"]).square().sum()
            return h, n + m, (n * ea + m * eb) / (n + m)

        found = visit(torch, tree, t["x"], node)
        return torch.stack([h for h, _, _ in found]), torch.stack([e for _, _, e in found])

    def run(t):
        (h, _), y = folded(cell, tree)(t)
        return h, y

    x = np.random.default_rng(0).standard_normal((4, 2))
    against(oracle, run, {"p": random_params(cell, 1), "x": x}, 1e-8)


# -- what they reduce to ---------------------------------------------------------------------------


def chain_of(words):
    tree = T("", [], "w", 0)
    for k in range(1, words):
        tree = T("", [tree], "w", k)
    return tree


def test_down_to_a_chain():
    """Law 4: child-sum cells on a tree that is a chain are the LSTM and the RNN."""
    x = np.random.default_rng(0).standard_normal((5, 2))
    p = random_params(rc.ChildSumTreeLSTM(2, 3), 0)
    ys = rc.fold(rc.ChildSumTreeLSTM(2, 3), p, chain_of(5), x)[1]
    same = {k.replace("_u", "_g"): v for k, v in p.items()}
    close(mg.evaluate(ys), mg.evaluate(rc.unroll(rc.LSTM(2, 3), same, x)[1]), 1e-13)
    p = random_params(rc.RNN(2, 3), 0)
    ys = rc.fold(rc.ChildSumNet(2, 3), p, chain_of(5), x)[1]
    close(mg.evaluate(ys), mg.evaluate(rc.unroll(rc.RNN(2, 3), p, x)[1]), 1e-13)


def test_without_its_tensor_the_rntn_is_the_plain_recursive_net():
    p = random_params(rc.RNTN(2, 3), 0)
    p["V"][:] = 0
    x = np.random.default_rng(0).standard_normal((3, 2))
    ys = rc.fold(rc.RNTN(2, 3), p, PAIRS, x)[1]
    close(mg.evaluate(ys), mg.evaluate(rc.fold(rc.RecursiveNet(2, 3), p, PAIRS, x)[1]), 1e-14)


@pytest.mark.parametrize("cell", SUMMED, ids=str)
def test_the_order_of_children_does_not_matter_to_a_sum(cell):
    p, x = random_params(cell, 0), np.random.default_rng(0).standard_normal((3, 2))
    a = rc.fold(cell, p, "(1 (1 a) (1 b) (1 c))", x)[1]
    b = rc.fold(cell, p, "(1 (1 a) (1 b) (1 c))", x[[2, 0, 1]])[1]
    close(mg.evaluate(a)[-1], mg.evaluate(b)[-1], 1e-14)


def test_with_leading_batch_axes_a_cell_is_itself_at_each_row():
    rng = np.random.default_rng(0)
    for cell, carry, x in (
        (rc.RNTN(2, 3), ((3,), (3,)), (2,)),
        (rc.ChildSumTreeLSTM(2, 3), ((3,), (3,)), ((2,), (2,))),
        (rc.RecursiveAutoencoder(2), (((2,), (1,)), ((2,), (1,))), ((2,), (1,))),
    ):

        def draw(shape, batch):
            if isinstance(shape[0], int):
                return mg.asarray(rng.random((*batch, *shape)))
            return tuple(draw(s, batch) for s in shape)

        def row(tree, k):
            return tuple(row(t, k) for t in tree) if isinstance(tree, tuple) else tree[k]

        many = draw(carry, (4,)), draw(x, (4,))
        p = mg.tensors(random_params(cell, 0))
        whole = mg.evaluate(cell(p, *many))
        for k in range(4):
            close(mg.evaluate(cell(p, *row(many, k))), row(whole, k), 1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.ChildSumTreeLSTM(0, 3), "ChildSumTreeLSTM: input_size must be a positive"),
        (lambda: rc.RNTN(2, 3, arity=0), "RNTN: arity must be a positive integer"),
        (lambda: rc.RecursiveAutoencoder(0), "RecursiveAutoencoder: hidden_size must be"),
        (
            lambda: rc.fold(rc.ChildSumTreeLSTM(2, 3), {}, WIDE, np.ones((2, 2))),
            r"fold: the trees have 6 words but xs has shape \(2, 2\)",
        ),
        (
            lambda: rc.fold(rc.RNTN(2, 3), rc.RNTN(2, 3).init(0), WIDE, np.ones((6, 2))),
            "a node has 3 children but RNTN",
        ),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
