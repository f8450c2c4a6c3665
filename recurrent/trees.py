"""Trees: reading them, their structure, and folding a cell over them from the leaves to the
roots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import optree

import minigrad as mg

from .sequences import start_state


@dataclass(eq=True)
class Tree:
    """A labelled tree.  label: what the bracket says ("" if nothing); children: left to right;
    word: the token at this node, or None (inner nodes of a constituency tree)."""

    label: str = ""
    children: list[Tree] = field(default_factory=list)
    word: str | None = None

    @staticmethod
    def parse(source: Any) -> Any:
        """One tree from PTB brackets, "(3 (2 It) (4 works))", or from nested tuples, ("It",
        ("works", "."));
        a list of these gives a list of trees.  Raises ValueError saying where the text is
        malformed."""
        if isinstance(source, Tree):
            return source
        if isinstance(source, list):
            return [Tree.parse(s) for s in source]
        if isinstance(source, tuple):
            return _from_tuples(source)
        if not isinstance(source, str):
            raise TypeError(
                "Tree.parse: needs text, nested tuples or a list of them; got "
                f"{type(source).__name__}"
            )
        trees = list(read_brackets(source))
        if len(trees) != 1:
            raise ValueError(
                f"Tree.parse: the text holds {len(trees)} trees, not one; rc.read_brackets(text) "
                "reads many"
            )
        return trees[0]

    def postorder(self) -> list[Tree]:
        """All nodes, children before parents, left to right; the root is last."""
        order, stack = [], [self]
        while stack:  # parents before children, right to left, is the reverse
            node = stack.pop()
            order.append(node)
            stack.extend(node.children)
        return order[::-1]

    def words(self) -> list[str]:
        """The tokens, in the order of the sentence."""
        return [n.word for n in self.postorder() if n.word is not None]

    def __str__(self) -> str:
        """PTB brackets: `Tree.parse(str(tree)) == tree`."""
        text: dict[int, str] = {}
        for node in self.postorder():
            inner = [_escaped(node.word)] if node.word is not None else []
            text[id(node)] = (
                f"({' '.join([node.label, *inner, *(text[id(c)] for c in node.children)])})"
            )
        return text[id(self)]


_ESCAPES = {"(": "-LRB-", ")": "-RRB-"}


def _escaped(word: str) -> str:
    return _ESCAPES.get(word, word)


def read_brackets(text: str) -> Iterator[Tree]:
    """Every tree of a text in PTB brackets.  Raises ValueError with line and column of what is
    wrong."""
    open_nodes: list[Tree] = []
    starts: list[int] = []
    found = False
    for kind, token, at in _tokens(text):
        if kind == "(":
            open_nodes.append(Tree())
            starts.append(at)
        elif kind == ")":
            if not open_nodes:
                raise ValueError(f"tree: ')' without '(' {_place(text, at)}")
            node = open_nodes.pop()
            start = starts.pop()
            if node.word is None and not node.children and text[start + 1].isspace():
                node.word, node.label = node.label or None, ""  # "( word)": a leaf without a label
            if not node.children and node.word is None:
                raise ValueError(f"tree: a bracket without a word or a child {_place(text, start)}")
            if open_nodes:
                open_nodes[-1].children.append(node)
            else:
                found = True
                yield node
        elif not open_nodes:
            raise ValueError(
                f"tree: {token[:30]!r} stands outside of any bracket {_place(text, at)}"
            )
        elif kind == "label":
            open_nodes[-1].label = token
        elif open_nodes[-1].word is None and not open_nodes[-1].children:
            open_nodes[-1].word = token
        else:
            _add_word(open_nodes[-1], token)
    if open_nodes:
        raise ValueError(
            f"tree: {len(open_nodes)} bracket(s) never closed; "
            f"the innermost opens {_place(text, starts[-1])}"
        )
    if not found:
        raise ValueError("tree: the text holds no tree; one looks like (3 (2 It) (4 works))")


def _add_word(node: Tree, token: str) -> None:
    """A second word in one bracket, "(NP the dog)": words become leaves of their own."""
    if node.word is not None:
        node.children.append(Tree(word=node.word))
        node.word = None
    node.children.append(Tree(word=token))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, token, place): brackets, the label right behind an opening bracket, words."""
    at, after_open = 0, False
    while at < len(text):
        c = text[at]
        if c.isspace():
            at += 1
        elif c in "()":
            yield c, c, at
            at += 1
            after_open = c == "("
            if after_open and at < len(text) and text[at].isspace():
                after_open = text[at:].lstrip()[:1] not in ("(", "")  # "( (S ...": an empty label
        else:
            end = at
            while end < len(text) and not text[end].isspace() and text[end] not in "()":
                end += 1
            yield ("label" if after_open else "word"), text[at:end], at
            at, after_open = end, False


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"at line {line}, column {column}"


def _from_tuples(source: tuple) -> Tree:
    """A tuple is a node, anything else a word; iterative, so depth does not matter."""
    root = Tree()
    stack: list[tuple[Tree, Any]] = [(root, source)]
    while stack:
        node, what = stack.pop()
        if isinstance(what, tuple):
            if not what:
                raise ValueError(
                    "tree: an empty tuple is no tree; a leaf is a word, an inner node a tuple of "
                    "trees"
                )
            node.children = [c if isinstance(c, Tree) else Tree() for c in what]
            stack += [
                (n, c) for n, c in zip(node.children, what, strict=True) if not isinstance(c, Tree)
            ]
        elif isinstance(what, (list, dict, set)) or what is None:
            raise ValueError(
                f"tree: a {type(what).__name__} inside a nested tuple; use tuples and words"
            )
        else:
            node.word = str(what)
    return root


class Forest(mg.Structure):
    """The structure of trees, which also knows the word at each row: words[n] counts tokens, -1 for
    none."""

    words: np.ndarray


def structure(trees: Any) -> Forest:
    """The structure of one or more trees: rows in post-order, tree after tree, each root last of
    its tree.

    trees: a Tree, nested tuples, PTB text, or a list of these.  `fold`, `roots` and `mg.function`
           accept it in place of trees.
    """
    if isinstance(trees, Forest):
        return trees
    if isinstance(trees, mg.Structure):
        return _with_words(trees, np.where(_leaf_rows(trees), 0, -1))
    found = Tree.parse(trees)
    nodes = [
        n for tree in (found if isinstance(found, list) else [found]) for n in tree.postorder()
    ]
    row = {id(n): k for k, n in enumerate(nodes)}
    if len(row) < len(nodes):
        raise ValueError(
            "structure: one Tree object stands in two places; a tree node has one parent"
        )
    forest = mg.Structure.forest([[row[id(c)] for c in n.children] for n in nodes])
    return _with_words(forest, np.array([0 if n.word is not None else -1 for n in nodes], np.int64))


def _leaf_rows(s: mg.Structure) -> np.ndarray:
    leaf = np.ones(s.n, bool)
    leaf[s.dst] = False
    return leaf


def _with_words(s: mg.Structure, marked: np.ndarray) -> Forest:
    forest = Forest(**{f.name: getattr(s, f.name) for f in fields(s)})
    forest.words = np.where(marked >= 0, np.cumsum(marked >= 0) - 1, -1)
    return forest


def roots(trees: Any) -> np.ndarray:
    """The row of each tree's root in what `fold` returns."""
    s = structure(trees)
    free = np.ones(s.n, bool)
    free[s.src] = False
    return np.flatnonzero(free)


def fold(
    cell: Callable, params: Any, trees: Any, xs: Any = None, carry: Any = None
) -> tuple[Any, Any]:
    """Run `cell` over trees, children before parents: state_n, y_n = cell(params, states of n's
    children, x_n).

    trees : a Tree, nested tuples, a list of these, or their `structure`.
    xs    : (words, I), a row per word in the order of the sentence(s); a node without a word has x
            = 0.
    carry : the state a missing child has, leaves (1, ...); default the cell's zero state.
    Returns (states, ys), leaves (N, ...) in post-order.  Raises ValueError when the trees have more
    children per node than the cell has places (`cell.arity`), or when the words and the rows of xs
    differ in number.
    """
    s = structure(trees)
    arity = getattr(cell, "arity", s.slots)
    if s.slots > arity:
        raise ValueError(
            f"fold: a node has {s.slots} children but {cell!r} takes {arity}; make the cell with "
            f"arity={s.slots}, "
            "or binarise the trees"
        )
    words = int((s.words >= 0).sum())

    def rows(x: Any) -> Any:
        table = mg.asarray(x)
        if not table.ndim or len(table) != words:
            raise ValueError(
                f"fold: the trees have {words} words but xs has shape {table.shape}: a row per word"
            )
        return mg.Indexed(table, s.words)

    start = start_state("fold", cell, params) if carry is None else carry
    return mg.recur(
        cell, s.with_slots(arity), initial=start, shared=params, inputs=optree.tree_map(rows, xs)
    )
