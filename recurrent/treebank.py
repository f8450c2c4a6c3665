"""Trees as text and as objects: PTB brackets, CoNLL-U dependencies, nested tuples, nltk's trees.

Everything becomes a `Tree`; `recurrent.trees` turns trees into structures and runs cells over them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=True)
class Tree:
    """A labelled tree.

    label    : what the bracket says, or the dependency relation ("" if nothing).
    children : left to right.
    word     : the token at this node, or None (inner nodes of a constituency tree).
    position : the word's place in its sentence, where post-order does not give it (dependency
               trees, in which every node has a word); None elsewhere.
    """

    label: str = ""
    children: list[Tree] = field(default_factory=list)
    word: str | None = None
    position: int | None = None

    @staticmethod
    def parse(source: Any) -> Any:
        """One tree from any notation; a list of sources gives a list of trees.

        PTB brackets      "(3 (2 It) (4 works))"
        nested tuples     ("It", ("works", "."))
        CoNLL-U           ten columns with tabs, one sentence
        nltk.Tree         or whatever has label() and iterates over its children

        Raises ValueError saying where the text is malformed.
        """
        if isinstance(source, Tree):
            return source
        if isinstance(source, str):
            return _only(source)
        if isinstance(source, tuple):
            return _from_tuples(source)
        if is_labelled(source):
            return _from_labelled(source)
        if isinstance(source, list):
            return [Tree.parse(s) for s in source]
        raise TypeError(
            "Tree.parse: needs text, nested tuples, an object with label() and children, or a list "
            f"of them; got {type(source).__name__}"
        )

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


def _only(text: str) -> Tree:
    """The one tree of a text in brackets or CoNLL-U."""
    conllu = "\t" in text and not text.lstrip().startswith("(")
    trees, many = (
        (read_conllu(text), "rc.read_conllu")
        if conllu
        else (read_brackets(text), "rc.read_brackets")
    )
    found = list(trees)
    if len(found) != 1:
        raise ValueError(
            f"Tree.parse: the text holds {len(found)} trees, not one; {many}(text) reads many"
        )
    return found[0]


# -- dependencies ----------------------------------------------------------------------------------


def read_conllu(text: str) -> Iterator[Tree]:
    """Every sentence of a text in CoNLL-U as a dependency tree: each node has a word (FORM), its
    relation (DEPREL) as label, its dependents as children, and its place in the sentence.

    Multiword ranges (3-4) and empty nodes (8.1) are no nodes of the tree.  Raises ValueError with
    the line of a row that cannot be read, a missing or second root, a head outside of the sentence,
    or a cycle.
    """
    found = False
    for first, block in _sentences(text):
        rows = [(first + k, line) for k, line in enumerate(block) if not line.startswith("#")]
        if rows:
            found = True
            yield _dependencies([_token(line, at) for at, line in rows], rows)
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


def _token(line: str, at: int) -> Any:
    import conllu
    from conllu.exceptions import ParseException

    columns = line.rstrip("\r").split("\t")
    if len(columns) != 10:
        raise ValueError(
            f"conllu: line {at} has {len(columns)} columns between tabs; a row has ten: "
            f"{line[:40]!r}"
        )
    try:
        return conllu.parse("\t".join(columns))[0][0]
    except (ParseException, IndexError) as error:
        raise ValueError(f"conllu: line {at} cannot be read: {line[:40]!r} ({error})") from None


def _dependencies(tokens: list[Any], rows: list[tuple[int, str]]) -> Tree:
    words = [(t, at) for t, (at, _) in zip(tokens, rows, strict=True) if isinstance(t["id"], int)]
    nodes: dict[int, Tree] = {}
    for place, (token, at) in enumerate(words):
        if token["id"] != place + 1:
            raise ValueError(f"conllu: line {at} has ID {token['id']}; {place + 1} comes next")
        nodes[place + 1] = Tree(token["deprel"] or "", [], token["form"], place)
    roots = []
    for token, at in words:
        head = token["head"]
        if head is None or not 0 <= head <= len(words):
            raise ValueError(
                f"conllu: line {at} has HEAD {'_' if head is None else head}; it must be 0 (the "
                f"root) or an ID of this sentence, 1 to {len(words)}"
            )
        if head:
            nodes[head].children.append(nodes[token["id"]])
        else:
            roots.append((token, at))
    if len(roots) != 1:
        lines = ", ".join(str(at) for _, at in roots) or "none"
        raise ValueError(
            f"conllu: the sentence at line {rows[0][0]} must have one root (HEAD 0); lines with "
            f"one: {lines}"
        )
    root = nodes[roots[0][0]["id"]]
    reached = {n.position for n in root.postorder()}
    if len(reached) < len(nodes):
        at = next(at for k, (_, at) in enumerate(words) if k not in reached)
        raise ValueError(f"conllu: line {at}: its heads lead in a circle, never to the root")
    return root


# -- objects ---------------------------------------------------------------------------------------


def is_labelled(source: Any) -> bool:
    """Whether something is a tree in the manner of nltk: label() and iteration."""
    return callable(getattr(source, "label", None)) and hasattr(source, "__iter__")


def _from_labelled(source: Any) -> Tree:
    """A node with one child that is no node is a word with its tag, ("DT", ["the"])."""
    root = Tree()
    stack: list[tuple[Tree, Any]] = [(root, source)]
    while stack:
        node, what = stack.pop()
        if not is_labelled(what):
            node.word = str(what)
            continue
        node.label = str(what.label())
        inner = list(what)
        if not inner:
            raise ValueError(f"tree: the node {node.label!r} has neither a word nor a child")
        if len(inner) == 1 and not is_labelled(inner[0]):
            node.word = str(inner[0])
        else:
            node.children = [Tree() for _ in inner]
            stack += zip(node.children, inner, strict=True)
    return root


def binarise(tree: Tree, collapse: bool = False) -> Tree:
    """A new tree in which no node has more than two children, for cells of arity 2.

    The children of a wider node are joined from the left, (((a b) c) d), by nodes labelled
    "@label".  collapse: a node without a word and with one child is left out (its label as well).
    """
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
        elif isinstance(what, (list, dict, set)) or what is None:
            raise ValueError(
                f"tree: a {type(what).__name__} inside a nested tuple; use tuples and words"
            )
        else:
            node.word = str(what)
    return root
