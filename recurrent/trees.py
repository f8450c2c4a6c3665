"""Structures of trees, and running cells over them: from the leaves to the roots, or downwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import pytrees

from .options import function, tensor
from .sequences import check_carry, check_input, check_params, start_state
from .treebank import Tree, children_of, forest_of

__all__ = ["Forest", "fold", "roots", "structure", "top_down"]


class Forest(mg.Structure):
    """The structure of trees, which also knows the word at each row.

    words[n] counts tokens in the order of the sentences, -1 for none.  Made by `structure`.
    """

    words: np.ndarray

    @property
    def parents(self) -> np.ndarray:
        """The row of each row's parent, -1 for a root."""
        up = np.full(self.n, -1)
        up[self.src] = self.dst
        return up

    @property
    def leaves(self) -> np.ndarray:
        """Which rows have no children."""
        leaf = np.ones(self.n, bool)
        leaf[self.dst] = False
        return leaf


def structure(trees: Any) -> Forest:
    """The structure of trees: rows in post-order, tree after tree, each root the last of its tree.

    trees : a Tree, or what `Tree.parse` reads, or a list of these.

    `fold`, `roots` and `mg.function` accept it in place of trees.

    Raises ValueError for an empty list, or where a text, a tuple or a Tree is malformed;
    TypeError for what is no tree.
    """
    if isinstance(trees, Forest):
        return trees
    if isinstance(trees, mg.Structure):
        forest = _with_words(trees, np.full(trees.n, -1))
        forest.words[forest.leaves] = np.arange(forest.leaves.sum())
        return forest
    given = trees if type(trees) is list else [trees]
    if not given:
        raise ValueError("structure: the list of trees is empty; a forest has at least one tree")
    return _forest(forest_of(given))


def _forest(trees: list[Any]) -> Forest:
    """One walk over tuples and Trees, right to left with parents first: the reverse of post-order.

    It notes how many children each node has; which they are follows from these numbers.
    """
    arity: list[int] = []
    leaves: list[Any] = []
    objects: list[Tree] = []
    places: list[int] = []
    seen: set[int] = set()
    stack = list(trees)
    while stack:
        node = stack.pop()
        if type(node) is tuple:
            arity.append(len(node))
            stack += node
        elif isinstance(node, Tree):
            objects.append(node)
            places.append(len(arity))
            below = children_of(node, seen)
            arity.append(len(below))
            stack += below
        else:
            arity.append(0)
            leaves.append(node)
    count = np.array(arity)[::-1]  # in post-order
    n = len(count)
    word = count == 0
    at = n - 1 - np.array(places, np.int64)
    word[at] = [t.word is not None for t in objects]
    if len(leaves) + np.count_nonzero(word[at]) < np.count_nonzero(word) or not {
        type(x) for x in leaves
    } <= {str, int, float}:
        for tree in trees:
            Tree.parse(tree)  # says what is wrong, if anything is
    child, parent, slot = _family(count, len(trees))
    s = mg.Structure.edges(n, child, parent, slot)
    root = np.ones(n, bool)
    root[child] = False
    tree = np.cumsum(root) - root
    position = np.full(n, -1)
    position[at] = [-1 if t.position is None else t.position for t in objects]
    return _with_words(replace(s, parts=(tree, len(trees))), _sentence_order(word, tree, position))


def _family(count: np.ndarray, trees: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(child, parent, slot) of every edge, from the number of children of each node in post-order.

    Read backwards, parents come first.
    A stack holds what is still to come, `waiting` its height before each node.
    The children of node p are the first nodes behind it
    where the stack is again as high as they left it.
    """
    n = len(count)
    backwards = count[::-1]
    waiting = trees + np.cumsum(backwards - 1) - (backwards - 1)
    parent = np.flatnonzero(count)
    many = count[parent]
    first = np.cumsum(many) - many
    parent = np.repeat(parent, many)
    slot = np.arange(len(parent)) - np.repeat(first, many)
    place = n - 1 - parent
    key = np.sort(waiting * n + np.arange(n))
    found = key[np.searchsorted(key, (waiting[place] + slot) * n + place + 1)] % n
    return n - 1 - found, parent, slot


def _sentence_order(word: np.ndarray, tree: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The number of each row's word, counted in the order of the sentences (-1: none)."""
    number = np.where(word, np.cumsum(word) - 1, -1)
    placed = word & (position >= 0)
    if placed.any():
        rows = np.flatnonzero(word)
        order = rows[np.lexsort((position[rows], tree[rows]))]
        same = np.flatnonzero(
            (tree[order[1:]] == tree[order[:-1]])
            & (position[order[1:]] == position[order[:-1]])
            & placed[order[1:]]
        )
        mixed = np.isin(tree[word & ~placed], tree[placed])
        if len(same) or mixed.any():
            bad = tree[order[same[0]]] if len(same) else tree[word & ~placed][mixed][0]
            raise ValueError(
                f"structure: in tree {bad} two words have one position, or only some have one"
            )
        number[order] = np.arange(len(order))
    return number


def _with_words(s: mg.Structure, words: np.ndarray) -> Forest:
    forest = Forest(**{f.name: getattr(s, f.name) for f in fields(s)})
    forest.words = words
    return forest


def roots(trees: Any) -> np.ndarray:
    """(trees,) int64: the row of each tree's root in what `fold` returns.

    Raises what `structure` raises for trees that cannot be read.
    """
    s = structure(trees)
    free = np.ones(s.n, bool)
    free[s.src] = False
    return np.flatnonzero(free)


def fold(
    cell: Callable, params: Any, trees: Any, xs: Any = None, carry: Any = None
) -> tuple[Any, Any]:
    """Run `cell` over trees, children before parents (Socher et al. 2011):

        state_n, y_n = cell(params, states of n's children, x_n)

    trees : a Tree, nested tuples, a list of these, or their `structure`.
    xs    : (words, I), a row per word in the order of the sentence(s).
            A node without a word has x = 0.
    carry : the state a missing child has, leaves (1, ...); default the cell's zero state.

    A cell with `sums_children` takes the sum of its children's states, any number of them,
    and x = (x_n, x of n's parent).
    A cell with `word_inputs` says what is read at words, given xs.

    Returns (states, ys), leaves (N, ...) in post-order.

    Raises ValueError when a node has more children than the cell has places (`cell.arity`),
    or when the words and the rows of xs differ in number;
    for trees that cannot be read, and parameters or a carry whose shapes do not fit.
    TypeError for a cell that is no function, or xs that are no numbers.
    """
    s = structure(trees)
    check_input("fold", cell, next(iter(pytrees.tree_leaves(xs)), None))
    words = int((s.words >= 0).sum())
    table = pytrees.tree_map(lambda x: _table("fold", x, words), xs)
    check_tree_cell("fold", cell, params, carry)
    start = start_state("fold", cell, params) if carry is None else carry
    if hasattr(cell, "word_inputs"):
        table = cell.word_inputs(table)

    def at(rows: np.ndarray) -> Any:
        return pytrees.tree_map(lambda t: mg.Indexed(t, rows), table)

    if getattr(cell, "sums_children", False):
        together = replace(s, slot=np.zeros_like(s.slot), slots=1)
        above = np.where(s.parents >= 0, s.words[s.parents], -1)
        inputs = at(s.words), at(above)
        return mg.recur(cell, together, initial=start, shared=params, inputs=inputs)
    arity = getattr(cell, "arity", s.slots)
    if s.slots > arity:
        raise ValueError(
            f"fold: a node has {s.slots} children but {cell!r} takes {arity}; make the cell with "
            f"arity={s.slots}, or binarise the trees (rc.binarise)"
        )
    return mg.recur(cell, s.with_slots(arity), initial=start, shared=params, inputs=at(s.words))


def top_down(
    cell: Callable, params: Any, trees: Any, xs: Any = None, nodes: Any = None, carry: Any = None
) -> tuple[Any, Any]:
    """Run `cell` over trees, parents before children, the structure of `fold` transposed:

        state_n, y_n = cell(params, state of n's parent, x_n)

    A downward pass as in Irsoy and Cardie 2013 and Paulus et al. 2014.
    Any cell for sequences will do.

    xs    : (words, I), a row per word as in `fold`.
    nodes : (N, J), a row per node in post-order, such as the ys of `fold`.
            With both, the cell is given x = (its row of xs, its row of nodes).
    carry : the state above the roots, leaves (1, ...) or one row per tree; default the zero state.

    Returns (states, ys), leaves (N, ...) in post-order.

    Raises ValueError when xs have not a row per word or `nodes` not a row per node,
    for trees that cannot be read, and parameters or a carry whose shapes do not fit.
    TypeError for a cell that is no function.
    """
    s = structure(trees)
    check_tree_cell("top_down", cell, params, carry)
    words = int((s.words >= 0).sum())
    leaves = pytrees.tree_map(lambda x: mg.Indexed(_table("top_down", x, words), s.words), xs)
    for t in pytrees.tree_leaves(nodes):
        if np.shape(t)[:1] != (s.n,):
            raise ValueError(
                f"top_down: nodes has shape {tuple(np.shape(t))}; the trees have {s.n} nodes: a "
                "row per node, in post-order"
            )
    check_input("top_down", cell, next(iter(pytrees.tree_leaves((xs, nodes))), None))
    inputs = nodes if xs is None else leaves if nodes is None else (leaves, nodes)
    none = np.zeros_like(s.src)
    down = mg.Structure(
        s.n, s.dst, s.src, none, none, s.level.max() - s.level, parts=(s.component, s.components)
    )
    start = start_state("top_down", cell, params) if carry is None else carry
    return mg.recur(cell, down, initial=start, shared=params, inputs=inputs)


def check_tree_cell(who: str, cell: Any, params: Any, carry: Any) -> None:
    """Raise an error for what is no cell, or whose parameters or state are not a shipped cell's."""
    function(who, "cell", cell, "cell(params, states of children, x) -> (state, y)")
    if hasattr(cell, "shapes"):
        check_params(who, repr(cell), cell.shapes(), params)
    check_carry(who, cell, carry)


def _table(who: str, x: Any, words: int) -> mg.Tensor:
    table = tensor(who, "xs", x)
    if not table.ndim or len(table) != words:
        raise ValueError(
            f"{who}: the trees have {words} words but xs has shape {table.shape}: a row per word"
        )
    return table
