"""Learned structure: the tree itself is chosen, by a cell that scores every merge of two phrases.

Search runs forward only, on values.
The tree it finds is an ordinary `Tree`,
and `fold` over it gives the same scores with their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from . import options
from .cells import Params, RecursiveNet
from .sequences import start_state
from .treebank import Tree
from .trees import check_tree_cell, fold, structure

__all__ = [
    "ScoringNet", "bracket_f1", "confusions", "greedy_loss", "margin_loss", "parse", "tree_scores",
    "wrong_brackets",
]  # fmt: skip

Span = tuple[int, int]


class ScoringNet(RecursiveNet):
    """The recursive net that scores its merges (Socher et al. 2010; 2011, ICML, eq. 3 to 5):

        h = tanh(x W + h_0 U_0 + h_1 U_1 + b),   y = h . w

    y says how good a phrase the two children make; a tree's score is the sum over its inner nodes.
    x (..., I), state (..., H), y (...); parameters W (I, H), U_0 and U_1 (H, H), b and w (H,).

    Raises ValueError for a size that is no positive integer.
    """

    name = "scoring net"
    equation = "h = tanh(h_0 U_0 + h_1 U_1 + b),  score = h w"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, arity=2)

    def __repr__(self) -> str:
        return f"ScoringNet({self.input_size}, {self.hidden_size})"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {"w": (self.hidden_size,)}

    def init(self, seed: int = 0) -> Params:
        params = super().init(seed)
        params["w"] = np.random.default_rng([seed, 1]).standard_normal(self.hidden_size)
        params["w"] /= np.sqrt(self.hidden_size)
        return params

    def __call__(self, params: Params, carry: Any, x: Any) -> tuple[Any, Any]:
        h, _ = super().__call__(params, carry, x)
        return h, mg.sum(h * params["w"], axis=-1).named("score")


# -- search ----------------------------------------------------------------------------------------


@dataclass
class _Partial:
    """A forest over one sentence: phrases from left to right.

    merges says what merging each with its right neighbour would give (None: not yet computed).
    """

    trees: list[Any]
    spans: list[Span]
    states: list[Any]
    merges: list[Any]  # (score, state) or None, one fewer than phrases
    brackets: frozenset[Span] = frozenset()
    total: float = 0.0

    def merged(self, k: int, total: float) -> _Partial:
        """The forest after phrases k and k + 1 have become one."""
        span = self.spans[k][0], self.spans[k + 1][1]
        merges = [*self.merges[:k], *self.merges[k + 1 :]]
        merges[max(k - 1, 0) : k + 1] = [None] * len(merges[max(k - 1, 0) : k + 1])

        def joined(parts: list[Any], new: Any) -> list[Any]:
            return [*parts[:k], new, *parts[k + 2 :]]

        return _Partial(
            joined(self.trees, Tree("", self.trees[k : k + 2])), joined(self.spans, span),
            joined(self.states, self.merges[k][1]), merges, self.brackets | {span}, total,
        )  # fmt: skip


def parse(
    cell: Callable,
    params: Any,
    xs: Any,
    words: Any = None,
    beam: int = 1,
    lowest: bool = False,
    gold: Any = None,
    margin: float = 0.0,
) -> Any:
    """The binary tree over each sentence that `cell` scores highest, as far as the search sees.

    Phrases begin as the single words.
    In every round all merges of two neighbours are scored
    (for all sentences in one batch; only those not seen before), and the best is made,
    until one phrase is left: greedy parsing (Socher et al. 2010, section 4).
    With beam > 1 the best `beam` forests of each round are kept
    (Socher et al. 2011, ICML, section 4.3).

    cell   : cell(params, (left, right), x) -> (state, y) with y the score of the merge,
             such as `ScoringNet`.
    lowest : y is an error, such as that of `RecursiveAutoencoder`, and the lowest is best
             (Socher et al. 2011, EMNLP, section 2.3).
    xs     : (words, I) of one sentence, or a list of these.
    words  : their tokens; default the numbers 0, 1, ...
    gold   : the right tree(s): then every merge that is no bracket of it is worth `margin` more,
             the search for the most violated tree that max-margin training needs.

    Returns a Tree, or a list of them.

    Raises ValueError for a sentence that is not (words, I), a beam that is no positive integer,
    tokens or gold trees of another number than there are words or sentences,
    or parameters whose shapes do not fit; TypeError for what is no cell or no numbers.
    """
    many = isinstance(xs, (list, tuple))
    sentences = _sentences("parse", xs if many else [xs])
    beam = options.size("parse", "beam", beam, kind="at least 1")
    options.number("parse", "margin", margin, lambda m: True, "a number")
    options.flag("parse", "lowest", lowest)
    count = len(sentences)
    tokens = _per_sentence("words", words, many, [len(x) for x in sentences])
    right = [
        frozenset(Tree.parse(t).spans()) for t in _per_sentence("gold", gold, many, None, count)
    ]
    check_tree_cell("parse", cell, params, None)
    params = mg.tensors(params)
    beams = [[p] for p in _leaves(cell, params, sentences, tokens)]
    while any(len(b[0].trees) > 1 for b in beams):
        _score(cell, params, [p for b in beams for p in b], sentences[0][:1], -1 if lowest else 1)
        beams = [
            _best(b, beam, right[k] if right else None, margin) if len(b[0].trees) > 1 else b
            for k, b in enumerate(beams)
        ]
    found = [b[0].trees[0] for b in beams]
    return found if many else found[0]


def _sentences(who: str, given: Any) -> list[np.ndarray]:
    """Each sentence's vectors, (words, I)."""
    sentences = [options.array(who, f"sentence {k}", x) for k, x in enumerate(given)]
    if not sentences:
        raise ValueError(f"{who}: there are no sentences")
    for k, x in enumerate(sentences):
        if x.ndim != 2 or not len(x):
            raise ValueError(
                f"{who}: sentence {k} must be (words, I) with one word or more; got {x.shape}"
            )
    return sentences


def _per_sentence(
    what: str, given: Any, many: bool, sizes: list[int] | None, count: int = 0
) -> list[Any]:
    if given is None:
        return [[str(k) for k in range(n)] for n in sizes or []]
    result = options.listed("parse", what, given, "one for each sentence") if many else [given]
    if len(result) != (len(sizes) if sizes is not None else count):
        raise ValueError(f"parse: {what} must have one entry per sentence; got {len(result)}")
    for k, n in enumerate(sizes or []):
        if not isinstance(result[k], str):
            result[k] = options.listed("parse", f"{what}[{k}]", result[k], "words")
        if len(result[k]) != n:
            raise ValueError(f"parse: sentence {k} has {n} words but {what} has {len(result[k])}")
    return result


def _leaves(
    cell: Callable, params: Any, sentences: list[np.ndarray], tokens: list[Any]
) -> list[_Partial]:
    """Every word as a phrase of its own."""
    x = np.concatenate(sentences)
    zero = pytrees.tree_map(
        lambda a: np.broadcast_to(a, (len(x), *a.shape[1:])), start_state("parse", cell, params)
    )
    states, _ = _evaluated(cell, params, (zero, zero), _word_inputs(cell, x))
    result, at = [], 0
    for sentence, named in zip(sentences, tokens, strict=True):
        n = len(sentence)
        result.append(
            _Partial(
                [Tree("", [], str(w)) for w in named], [(k, k + 1) for k in range(n)],
                [pytrees.tree_map(lambda a, r=at + k: a[r], states) for k in range(n)],
                [None] * (n - 1),
            )
        )  # fmt: skip
        at += n
    return result


def _word_inputs(cell: Callable, x: np.ndarray) -> Any:
    return cell.word_inputs(mg.asarray(x)) if hasattr(cell, "word_inputs") else mg.asarray(x)


def _evaluated(cell: Callable, params: Any, carry: Any, x: Any) -> tuple[Any, np.ndarray]:
    return mg.evaluate(cell(params, pytrees.tree_map(mg.asarray, carry), x))


def _score(cell: Callable, params: Any, forests: list[_Partial], x: np.ndarray, sign: int) -> None:
    """Fill in every merge not yet computed, all in one batch."""
    todo = [(p, k) for p in forests for k, m in enumerate(p.merges) if m is None]
    if not todo:
        return

    def side(shift: int) -> Any:
        states = [p.states[k + shift] for p, k in todo]
        return pytrees.tree_map(lambda *leaves: np.stack(leaves), *states)

    no_word = pytrees.tree_map(
        lambda t: mg.zeros((len(todo), *t.shape[1:]), dtype=t.dtype), _word_inputs(cell, x)
    )
    states, scores = _evaluated(cell, params, (side(0), side(1)), no_word)
    for row, (p, k) in enumerate(todo):
        state = pytrees.tree_map(lambda a, r=row: a[r], states)
        p.merges[k] = sign * float(scores[row]), state


def _best(
    forests: list[_Partial], beam: int, gold: frozenset[Span] | None, margin: float
) -> list[_Partial]:
    """The best forests after one more merge; the same brackets in another order count once."""
    options = []
    for p in forests:
        for k, (score, _) in enumerate(p.merges):
            span = p.spans[k][0], p.spans[k + 1][1]
            wrong = gold is not None and span not in gold
            options.append((p.total + score + margin * wrong, p, k, p.brackets | {span}))
    options.sort(key=lambda o: -o[0])
    kept: list[_Partial] = []
    seen: set[frozenset[Span]] = set()
    for total, p, k, brackets in options:
        if brackets not in seen and len(kept) < beam:
            seen.add(brackets)
            kept.append(p.merged(k, total))
    return kept


# -- learning --------------------------------------------------------------------------------------


def tree_scores(cell: Callable, params: Any, trees: Any, xs: Any) -> mg.Tensor:
    """(trees,): the score of each tree, the sum of y over its merges (Socher et al. 2011, ICML).

        s = sum_n y_n

    xs : (words, I), a row per word of all trees, as in `fold`.

    Raises what `fold` raises.
    """
    s = structure(trees)
    _, y = fold(cell, params, s, xs)
    merges = np.flatnonzero(~s.leaves)
    return mg.scatter(mg.take(y, merges), s.component[merges], s.components)


def margin_loss(
    cell: Callable, params: Any, gold: Any, found: Any, xs: Any, wrong: Any, margin: float
) -> mg.Tensor:
    """The structured margin loss (Taskar et al. 2004; Socher et al. 2011, ICML, eq. 1 and 7): ().

        mean over sentences of  max(0, s(found) + margin * wrong - s(gold))

    gold, found : trees (or their `structure`) over the same sentences.
                  `found` is from parse(..., gold=gold, margin=margin),
                  the tree that violates the margin most.
    xs          : (words, I), a row per word of all sentences.
    wrong       : (sentences,) how many brackets of `found` are not in `gold`: `wrong_brackets`.

    Raises ValueError for a margin that is no finite number, and what `fold` raises.
    """
    margin = options.number("margin_loss", "margin", margin, lambda _: True, "a number")
    better = tree_scores(cell, params, found, xs) + margin * mg.asarray(wrong)
    return mg.mean(mg.relu(better - tree_scores(cell, params, gold, xs)))


def confusions(
    cell: Callable, params: Any, xs: Sequence[Any], gold: Sequence[Any], margin: float
) -> tuple[list[Tree], list[Tree], np.ndarray, np.ndarray]:
    """Where greedy parsing would leave the right tree, or come within `margin` of it.

    Every sentence is built up along its (binary) gold tree, the best right merge first;
    in each round the best wrong merge is held against it.

    xs   : a list of (words, I), one per sentence.
    gold : a list of binary trees, one per sentence.

    Returns (wrong, right, rows of the words of wrong, rows of the words of right):
    pairs of phrases over the words of all sentences, for `greedy_loss`.

    Raises ValueError for a sentence that is not (words, I), a tree that is not binary,
    or another number of trees than of sentences; TypeError for what is no cell, list or numbers.
    """
    margin = options.number("confusions", "margin", margin, lambda _: True, "a number")
    sentences = _sentences("confusions", options.listed("confusions", "xs", xs, "sentences"))
    trees = options.listed("confusions", "gold", gold, "trees")
    if len(trees) != len(sentences):
        raise ValueError(f"confusions: {len(trees)} gold trees for {len(sentences)} sentences")
    check_tree_cell("confusions", cell, params, None)
    brackets = [Tree.parse(g).spans() for g in trees]
    starts = np.cumsum([0, *(len(x) for x in sentences)])
    tokens = [list(range(a, b)) for a, b in zip(starts, starts[1:], strict=False)]
    params = mg.tensors(params)
    forests = _leaves(cell, params, sentences, tokens)
    wrong, right = [], []
    while any(f.merges for f in forests):
        _score(cell, params, forests, sentences[0][:1], 1)
        for n, f in enumerate(forests):
            best: dict[bool, tuple[float, int]] = {}
            for k, (score, _) in enumerate(f.merges):
                is_right = (f.spans[k][0], f.spans[k + 1][1]) in brackets[n]
                best[is_right] = max(best.get(is_right, (-np.inf, 0)), (score, k))
            if not best:
                continue
            if True not in best:
                raise ValueError(f"confusions: gold tree {n} is not binary; see rc.binarise")
            (score, k) = best[True]
            if False in best and best[False][0] + margin > score:
                other = best[False][1]
                wrong.append(Tree("", f.trees[other : other + 2]))
                right.append(Tree("", f.trees[k : k + 2]))
            forests[n] = f.merged(k, 0.0)

    def rows(trees: list[Tree]) -> np.ndarray:
        return np.array([int(w) for t in trees for w in t.words()], np.int64)

    # phrases are shared between rounds and a node has one parent: every tree gets its own copy
    wrong, right = ([Tree.parse(str(t)) for t in trees] for trees in (wrong, right))
    return wrong, right, rows(wrong), rows(right)


def greedy_loss(
    cell: Callable, params: Any, right: Any, wrong: Any, x_right: Any, x_wrong: Any, margin: float
) -> mg.Tensor:
    """The margin of single merges, which makes greedy parsing right: the mean over pairs of

        max(0, s(wrong merge) + margin - s(right merge))

    right, wrong     : trees, from `confusions`.
    x_right, x_wrong : (words, I), the vectors of their words.

    The loss over whole trees, `margin_loss`,
    is silent where a greedy search ends in a tree that scores less than gold.

    Raises ValueError for a margin that is no finite number, and what `fold` raises.
    """

    def last_merge(trees: Any, xs: Any) -> mg.Tensor:
        s = structure(trees)
        return mg.take(fold(cell, params, s, xs)[1], s.sinks)

    margin = options.number("greedy_loss", "margin", margin, lambda _: True, "a number")
    gap = last_merge(wrong, x_wrong) + margin - last_merge(right, x_right)
    return mg.mean(mg.relu(gap))


def wrong_brackets(gold: Sequence[Any] | Tree, found: Sequence[Any] | Tree) -> np.ndarray:
    """(trees,) float64: how many brackets of each found tree its gold tree does not have.

    gold, found : lists of trees; a Tree, as `parse` gives for one sentence, is a list of one.

    Raises ValueError for lists of different lengths, TypeError for what are no trees.
    """
    pairs = _spans("wrong_brackets", gold, found)
    return np.array([len(f - g) for g, f in pairs], float)


def _spans(who: str, gold: Any, found: Any) -> list[tuple[set[Span], set[Span]]]:
    """The brackets of each gold tree and of the one that was found."""
    trees = [
        [given]
        if isinstance(given, Tree)
        else [Tree.parse(t) for t in options.listed(who, what, given, "trees")]
        for what, given in (("gold", gold), ("found", found))
    ]
    if len(trees[0]) != len(trees[1]):
        raise ValueError(f"{who}: {len(trees[0])} gold trees but {len(trees[1])} found ones")
    return [(g.spans(), f.spans()) for g, f in zip(*trees, strict=True)]


def bracket_f1(gold: Sequence[Any] | Tree, found: Sequence[Any] | Tree) -> float:
    """F1 of the brackets of two words or more, over all sentences together.

    1.0 where there are none; lists or single trees as for `wrong_brackets`.
    Brackets are counted as in PARSEVAL (Black et al. 1991), without labels.

    Raises ValueError for lists of different lengths, TypeError for what are no trees.
    """
    spans = _spans("bracket_f1", gold, found)
    both = sum(len(g & f) for g, f in spans)
    total = sum(len(g) + len(f) for g, f in spans)
    return 2 * both / total if total else 1.0
