"""Learning to parse a small language: greedy merges by score, trained by the margin of each merge.

    python -m benchmarks.parse_grammar

The language (left-branching where phrases are attached, so that a greedy parser can be right):

    S  -> NP VP             NP -> D AN | NP OF          AN -> N | A AN
    VP -> V NP | VP WITH    OF -> of NP                 WITH -> with NP
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
import recurrent as rc

LEXICON = {
    "D": "the a this every".split(),
    "N": "dog cat saint panther game night team fan coach field ball crowd".split(),
    "A": "old young last great quiet loud".split(),
    "V": "beats sees likes follows meets hears".split(),
    "of": ["of", "near"],
    "with": ["with", "despite"],
}
WORDS = sorted(w for words in LEXICON.values() for w in words)
ID = {w: k for k, w in enumerate(WORDS)}


def sentence(rng: np.random.Generator, longest: int = 16) -> Any:
    """A random sentence as nested pairs of words."""

    def word(kind: str) -> str:
        return str(rng.choice(LEXICON[kind]))

    def noun() -> Any:
        return (word("A"), noun()) if rng.random() < 0.3 else word("N")

    def phrase() -> Any:
        np_ = (word("D"), noun())
        while rng.random() < 0.25:
            np_ = (np_, (word("of"), (word("D"), noun())))
        return np_

    def verb() -> Any:
        vp = (word("V"), phrase())
        while rng.random() < 0.3:
            vp = (vp, (word("with"), phrase()))
        return vp

    while True:
        tree = (phrase(), verb())
        if len(rc.Tree.parse(tree).words()) <= longest:
            return tree


def run(
    seed: int = 0, sentences: int = 400, epochs: int = 5, hidden: int = 20, margin: float = 1.0,
    batch: int = 20, beam: int = 1, objective: str = "merges",
) -> dict[str, float]:  # fmt: skip
    """Bracket F1 on 200 new sentences, before and after training.

    beam      : 1 is greedy parsing.
    objective : "merges", the margin of each merge along the right tree (`rc.greedy_loss`), or
                "trees", that of whole trees, the beam finding the most violated (`rc.margin_loss`).
    """
    rng = np.random.default_rng(seed)
    train = [rc.Tree.parse(sentence(rng)) for _ in range(sentences)]
    test = [rc.Tree.parse(sentence(rng)) for _ in range(200)]
    cell = rc.ScoringNet(hidden, hidden)
    params = {"cell": cell.init(seed), "embedding": 0.5 * rng.standard_normal((len(WORDS), hidden))}

    def ids(trees: list[rc.Tree]) -> list[np.ndarray]:
        return [np.array([ID[w] for w in t.words()]) for t in trees]

    def parses(trees: list[rc.Tree], **how: Any) -> list[rc.Tree]:
        xs = [params["embedding"][k] for k in ids(trees)]
        return rc.parse(cell, params["cell"], xs, beam=beam, **how)

    @mg.function
    def of_merges(p: Any, right: Any, wrong: Any, right_words: Any, wrong_words: Any) -> Any:
        xs = mg.take(p["embedding"], right_words), mg.take(p["embedding"], wrong_words)
        return mg.grad(rc.greedy_loss(cell, p["cell"], right, wrong, *xs, margin), p)

    @mg.function
    def of_trees(p: Any, gold: Any, found: Any, words: Any, wrong: Any) -> Any:
        xs = mg.take(p["embedding"], words)
        return mg.grad(rc.margin_loss(cell, p["cell"], gold, found, xs, wrong, margin), p)

    def gradient(gold: list[rc.Tree]) -> Any:
        words = np.concatenate(ids(gold))
        if objective == "trees":
            found = parses(gold, gold=gold, margin=margin)
            wrong = rc.wrong_brackets(gold, found)
            return of_trees(params, rc.structure(gold), rc.structure(found), words, wrong)
        xs = [params["embedding"][k] for k in ids(gold)]
        bad, good, w, r = rc.confusions(cell, params["cell"], xs, gold, margin)
        if not bad:
            return None
        return of_merges(params, rc.structure(good), rc.structure(bad), words[r], words[w])

    adam = mg.optim.adam(1e-2)
    state = adam.init(params)
    before = rc.bracket_f1(test, parses(test))
    for _ in range(epochs):
        order = rng.permutation(sentences)
        for at in range(0, sentences, batch):
            grads = gradient([train[k] for k in order[at : at + batch]])
            if grads is not None:
                params, state = adam.update(params, grads, state)
    return {"before": before, "f1": rc.bracket_f1(test, parses(test))}


if __name__ == "__main__":
    for name, how in {
        "greedy, margin of each merge": {},
        "beam of 8, margin of trees": {"objective": "trees", "beam": 8, "epochs": 10},
    }.items():
        result = run(**how)  # type: ignore[arg-type]
        print(f"{name}: bracket F1 {result['before']:.3f} -> {result['f1']:.3f} on new sentences")
