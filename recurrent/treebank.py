"""Trees as text and as objects: PTB brackets, CoNLL-U dependencies, nested tuples, nltk's trees.

Everything becomes a `Tree`; `recurrent.trees` turns trees into structures and runs cells over them.

What brackets say here, and print:

    (label ...)       what touches the opening bracket is its label
    ( ...)            white space right behind the bracket: no label,
                      as SNLI, SICK, SPINN and ListOps write binary parses,
                      "( ( The boys ) ( are playing ) )"
    (label word)      a leaf; a word among others, or beside brackets, is a leaf without a label
    &#40; &#41; ...   a character that would end a token, by its number:
                      a bracket, white space, and the & of such an escape itself;
                      &#; is the empty token.
                      PTB's -LRB- and -RRB- are tokens like any other, as its readers expect
    &#=word           a node with children and a word of its own (a dependency tree)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg

from . import pictures

__all__ = ["Tree", "binarise", "read_brackets", "read_conllu"]

BOM = "\ufeff"


@dataclass(eq=False, repr=False)
class Tree:
    """A labelled tree.

    label    : what the bracket says, or the dependency relation ("" if nothing).
    children : left to right.
    word     : the token at this node, or None (inner nodes of a constituency tree).
    position : the word's place in its sentence, where post-order does not give it
               (dependency trees, in which every node has a word); None elsewhere.

    Whatever walks a tree raises ValueError where one node object stands in two places.
    """

    label: str = ""
    children: list[Tree] = field(default_factory=list)
    word: str | None = None
    position: int | None = None

    @staticmethod
    def parse(source: Any) -> Any:
        """One tree from any notation; a list of sources gives a list of trees.

        PTB brackets      "(3 (2 It) (4 works))", "( ( The boys ) ( are playing ) )"
        nested tuples     ("It", ("works", "."))
        CoNLL-U           ten columns with tabs, one sentence
        nltk.Tree         or whatever has label() and iterates over its children

        Among nested tuples a bare word is a tree of one word: ["Yes", ("It", "works")].

        Raises ValueError saying where the text is malformed, TypeError for what is none of these.
        """
        if isinstance(source, list) and not is_labelled(source):
            return _from_list(source)
        return _one(source)

    def postorder(self) -> list[Tree]:
        """All nodes, children before parents, left to right; the root is last."""
        order: list[Tree] = []
        seen: set[int] = set()
        stack = [self]
        while stack:  # parents before children, right to left, is the reverse
            node = stack.pop()
            order.append(node)
            stack += children_of(node, seen)
        return order[::-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        mine, theirs = self.postorder(), other.postorder()

        def what(node: Tree) -> tuple:
            return node.label, len(node.children), node.word, node.position

        return len(mine) == len(theirs) and all(
            what(a) == what(b) for a, b in zip(mine, theirs, strict=True)
        )

    def __repr__(self) -> str:
        text = str(self)
        return f"Tree.parse({text if len(text) < 200 else text[:150] + ' ...'!r})"

    def _repr_html_(self) -> str:
        return pictures.tree(self, str(self))

    def words(self) -> list[str]:
        """The tokens, in the order of the sentence."""
        nodes = [n for n in self.postorder() if n.word is not None]
        if any(n.position is not None for n in nodes):
            nodes.sort(key=lambda n: -1 if n.position is None else n.position)
        return [str(n.word) for n in nodes]

    def spans(self) -> set[tuple[int, int]]:
        """(first word, behind the last word) of every node with two words or more: its brackets."""
        found: set[tuple[int, int]] = set()
        stack: list[int] = []
        at = 0
        for node in self.postorder():
            below = [stack.pop() for _ in node.children]
            first = min([at, *below])
            at += node.word is not None
            stack.append(first)
            if at - first > 1:
                found.add((first, at))
        return found

    def __str__(self) -> str:
        """PTB brackets: `Tree.parse(str(tree)) == tree` (but for positions)."""
        text: dict[int, str] = {}
        for node in self.postorder():
            own = [] if node.word is None else [_OWN * bool(node.children) + _escaped(node.word)]
            label = "" if node.label in ("", None) else _escaped(node.label)
            text[id(node)] = f"({' '.join([label, *own, *(text[id(c)] for c in node.children)])})"
        return text[id(self)]


_OWN = "&#="
_SPECIAL = re.compile(r"[()\s]|&(?=#(?:[0-9]{0,5};|=))")
_ESCAPE = re.compile(r"&#([0-9]{0,5});")
_TOKEN = re.compile(r"[()]|[^()\s]+")


def _escaped(token: Any) -> str:
    return _SPECIAL.sub(lambda m: f"&#{ord(m[0])};", str(token)) or "&#;"


def _plain(token: str) -> str:
    """A token without its escapes; a number that no escape of ours has stays as it is."""

    def char(m: re.Match[str]) -> str:
        c = chr(int(m[1])) if m[1] else ""
        return c if not c or c in "()&" or c.isspace() else m[0]

    return _ESCAPE.sub(char, token) if "&#" in token else token


def read_brackets(text: str) -> Iterator[Tree]:
    """Every tree of a text in brackets, as the head of this module says.

    Raises ValueError with line and column of what is wrong; TypeError for what is no text.
    """
    return _brackets(_text("read_brackets", text))


def _brackets(text: str) -> Iterator[Tree]:
    open_nodes: list[tuple[Tree, list[Any], int]] = []  # node, its words and nodes, where it opens
    found = False
    for kind, token, at in _tokens(text):
        if kind == "(":
            open_nodes.append((Tree(), [], at))
        elif not open_nodes:
            loose = f"{token[:30]!r} stands outside of any bracket"
            what = "')' without '('" if kind == ")" else loose
            raise ValueError(f"tree: {what} {_place(text, at)}")
        elif kind == "label":
            open_nodes[-1][0].label = _plain(token)
        elif kind == "word":
            if not token.startswith(_OWN):
                open_nodes[-1][1].append(_plain(token))
            elif open_nodes[-1][0].word is None:
                open_nodes[-1][0].word = _plain(token[len(_OWN) :])
            else:
                raise ValueError(f"tree: a second word of one node {_place(text, at)}")
        else:
            node, inner, start = open_nodes.pop()
            if not inner and node.word is None:
                raise ValueError(f"tree: a bracket without a word or a child {_place(text, start)}")
            if len(inner) == 1 and isinstance(inner[0], str) and node.word is None:
                node.word = inner[0]
            else:
                node.children = [Tree(word=c) if isinstance(c, str) else c for c in inner]
            if open_nodes:
                open_nodes[-1][1].append(node)
            else:
                found = True
                yield node
    if open_nodes:
        raise ValueError(
            f"tree: {len(open_nodes)} bracket(s) never closed; "
            f"the innermost opens {_place(text, open_nodes[-1][2])}"
        )
    if not found:
        raise ValueError("tree: the text holds no tree; one looks like (3 (2 It) (4 works))")


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, token, place): brackets, the label that touches an opening bracket, words."""
    opened = -1
    for match in _TOKEN.finditer(text):
        token, at = match[0], match.start()
        yield token if token in "()" else "label" if at == opened else "word", token, at
        opened = match.end() if token == "(" else -1


def _text(who: str, text: Any) -> str:
    """The text without a byte-order mark."""
    if not isinstance(text, str):
        raise TypeError(f"{who}: needs the text itself, a string; got {_short(text)}")
    return text.removeprefix(BOM)


def _short(what: Any) -> str:
    """What something is, for an error: its type, and a little of it where that is short."""
    shown = repr(what) if isinstance(what, (int, float, str, bytes)) else ""
    return f"{type(what).__name__}{f' {shown[:40]}' if shown else ''}"


def children_of(node: Tree, seen: set[int]) -> list[Tree]:
    """A node's children, for a walk that has seen the nodes with the ids `seen` and now this one.

    What is no tree would send it round and round.
    """
    if id(node) in seen:
        raise ValueError(
            f"tree: one Tree object stands in two places (label {_short(node.label)}, word "
            f"{_short(node.word)}); a tree node has one parent"
        )
    seen.add(id(node))
    if not isinstance(node.children, (list, tuple)):
        raise TypeError(f"tree: children must be a list of Trees; got {_short(node.children)}")
    for child in node.children:
        if not isinstance(child, Tree):
            raise TypeError(f"tree: a child must be a Tree; got {_short(child)}")
    return list(node.children)


def _place(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    return f"at line {text.count(chr(10), 0, at) + 1}, column {at - start + 1}"


def _only(text: str) -> Tree:
    """The one tree of a text in brackets or CoNLL-U."""
    text = _text("Tree.parse", text)
    dependencies = "\t" in text and not text.lstrip().startswith("(")
    read = read_conllu if dependencies else read_brackets
    found = list(read(text))
    if len(found) != 1:
        raise ValueError(
            f"Tree.parse: the text holds {len(found)} trees, not one; rc.{read.__name__}(text) "
            "reads many"
        )
    return found[0]


# -- dependencies ----------------------------------------------------------------------------------


def read_conllu(text: str) -> Iterator[Tree]:
    """Every sentence of a text in CoNLL-U (Nivre et al. 2020) as a dependency tree.

    Each node has a word (FORM), its relation (DEPREL) as label,
    its dependents as children, and its place in the sentence.
    Multiword ranges (3-4) and empty nodes (8.1) are no nodes of the tree;
    the other columns are not looked at.

    Raises ValueError with the line of a row that cannot be read, a missing or second root,
    a head outside of the sentence, or a cycle; TypeError for what is no text.
    """
    return _conllu(_text("read_conllu", text))


def _conllu(text: str) -> Iterator[Tree]:
    found = False
    for first, block in _sentences(text):
        rows = [(first + k, line) for k, line in enumerate(block) if not line.startswith("#")]
        if rows:
            found = True
            tokens = [_token(line, at) for at, line in rows]
            yield _dependencies([t for t in tokens if t is not None], rows[0][0])
    if not found:
        raise ValueError("conllu: the text holds no sentence; a row has ten columns between tabs")


def _sentences(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, lines) of every block between blank lines."""
    block: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


_ID, _NO_NODE = re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9]{1,9}[-.][0-9]{1,9}")


def _token(line: str, at: int) -> tuple[int, int, Tree, int | None] | None:
    """(line, ID, its node, HEAD) of a row; None for what is no node of the tree."""
    columns = line.rstrip("\r").split("\t")
    if len(columns) != 10:
        raise ValueError(
            f"conllu: line {at} has {len(columns)} columns between tabs; a row has ten: "
            f"{line[:40]!r}"
        )
    number, form, head, relation = (columns[k] for k in (0, 1, 6, 7))
    if _NO_NODE.fullmatch(number):
        return None
    for name, what, fits in (
        ("ID", number, _ID.fullmatch(number)), ("FORM", form, form),
        ("HEAD", head, head == "_" or _ID.fullmatch(head)),
    ):  # fmt: skip
        if not fits:
            raise ValueError(f"conllu: line {at} cannot be read: its {name} is {what[:40]!r}")
    node = Tree("" if relation == "_" else relation, [], form)
    return at, int(number), node, None if head == "_" else int(head)


def _dependencies(tokens: list[tuple[int, int, Tree, int | None]], first: int) -> Tree:
    roots = []
    for place, (at, number, node, _) in enumerate(tokens):
        if number != place + 1:
            raise ValueError(f"conllu: line {at} has ID {number}; {place + 1} comes next")
        node.position = place
    for at, _, node, head in tokens:
        if head is None or head > len(tokens):
            raise ValueError(
                f"conllu: line {at} has HEAD {'_' if head is None else head}; it must be 0 (the "
                f"root) or an ID of this sentence, 1 to {len(tokens)}"
            )
        if head:
            tokens[head - 1][2].children.append(node)
        else:
            roots.append((node, at))
    if len(roots) != 1:
        lines = ", ".join(str(at) for _, at in roots) or "none"
        raise ValueError(
            f"conllu: the sentence at line {first} must have one root (HEAD 0); lines with one: "
            f"{lines}"
        )
    root = roots[0][0]
    reached = {n.position for n in root.postorder()}
    if len(reached) < len(tokens):
        bad = next(at for at, _, node, _ in tokens if node.position not in reached)
        raise ValueError(f"conllu: line {bad}: its heads lead in a circle, never to the root")
    return root


# -- objects ---------------------------------------------------------------------------------------


def _one(source: Any) -> Tree:
    if isinstance(source, Tree):
        return source
    if isinstance(source, str):
        return _only(source)
    if isinstance(source, tuple):
        return _from_tuples(source)
    if is_labelled(source):
        return _from_labelled(source)
    raise TypeError(
        "Tree.parse: needs text, nested tuples, an object with label() and children, or a list "
        f"of them; got {_short(source)}"
    )


def forest_of(source: list) -> list[Any]:
    """The trees of a list, not yet read: bare words beside tuples as words, texts as Trees."""
    tuples = any(isinstance(s, tuple) for s in source)

    def ready(what: Any) -> Any:
        if isinstance(what, (tuple, Tree)):
            return what
        text = isinstance(what, str) and ("(" in what or "\t" in what)
        word = isinstance(what, (str, int, float)) and not text
        return Tree(word=str(what)) if tuples and word else _one(what)

    return [ready(s) for s in source]


def _from_list(source: list) -> list[Any]:
    """Lists within lists keep their arrangement."""
    result: list[Any] = []
    stack: list[tuple[list, list, list[int]]] = [(source, result, [id(source)])]
    while stack:
        given, made, above = stack.pop()
        inner = [isinstance(s, list) and not is_labelled(s) for s in given]
        flat = iter(forest_of([s for s, many in zip(given, inner, strict=True) if not many]))
        for s, many in zip(given, inner, strict=True):
            if many and id(s) in above:
                raise ValueError("Tree.parse: a list contains itself")
            made.append([] if many else _one(next(flat)))
            if many:
                stack.append((s, made[-1], [*above, id(s)]))
    return result


def is_labelled(source: Any) -> bool:
    """Whether something is a tree in the manner of nltk: label() and iteration."""
    return callable(getattr(source, "label", None)) and hasattr(source, "__iter__")


_NO_WORD = (list, dict, set, frozenset, bytes, bytearray, np.ndarray, np.generic, mg.Tensor)


def _word(what: Any, where: str) -> str:
    """A leaf's word: text, a number, or an object that stands for a token; no container."""
    if what is None or isinstance(what, _NO_WORD) and not isinstance(what, (np.number, np.str_)):
        raise ValueError(f"tree: a {type(what).__name__} inside {where}")
    return str(what)


def _from_labelled(source: Any) -> Tree:
    """A node with one child that is no node is a word with its tag, ("DT", ["the"])."""
    root = Tree()
    stack: list[tuple[Tree | None, Any]] = [(root, source)]
    above: set[int] = set()
    while stack:
        node, what = stack.pop()
        if node is None:  # all below `what` is done
            above.remove(id(what))
            continue
        if not is_labelled(what):
            node.word = _word(what, "a labelled tree; its leaves are words")
            continue
        node.label = str(what.label())
        if id(what) in above:
            raise ValueError(f"tree: the node {node.label!r} is a part of itself")
        inner = list(what)
        if not inner:
            raise ValueError(f"tree: the node {node.label!r} has neither a word nor a child")
        if len(inner) == 1 and not is_labelled(inner[0]):
            node.word = _word(inner[0], f"the node {node.label!r}; its leaves are words")
        else:
            above.add(id(what))
            stack.append((None, what))
            node.children = [Tree() for _ in inner]
            stack += zip(node.children, inner, strict=True)
    return root


def binarise(tree: Tree, collapse: bool = False) -> Tree:
    """A new tree in which no node has more than two children, for cells of arity 2.

    The children of a wider node are joined from the left, (((a b) c) d),
    by nodes labelled "@label".
    collapse : a node without a word and with one child is left out (its label as well).

    Raises TypeError for what is no `Tree`, or a collapse that is no bool;
    ValueError where one node object stands in two places.
    """
    if not isinstance(tree, Tree):
        raise TypeError(f"binarise: needs a Tree, such as Tree.parse gives; got {_short(tree)}")
    if not isinstance(collapse, bool):
        raise TypeError(f"binarise: collapse must be True or False; got {_short(collapse)}")
    made: dict[int, Tree] = {}
    for node in tree.postorder():
        children = [made[id(c)] for c in node.children]
        if collapse and node.word is None and len(children) == 1:
            made[id(node)] = children[0]
            continue
        while len(children) > 2:
            children[:2] = [Tree("@" + node.label.removeprefix("@"), children[:2])]
        made[id(node)] = Tree(node.label, children, node.word, node.position)
    return made[id(tree)]


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
        else:
            node.word = _word(what, "a nested tuple; use tuples and words")
    return root
