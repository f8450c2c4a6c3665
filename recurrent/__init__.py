"""recurrent: recurrent and recursive networks as small compositions over `minigrad.recur`."""

from .cells import GRU, LSTM, RNN, Cell, RecursiveNet, TreeCell, TreeLSTM
from .losses import bits, cross_entropy, mean_squared_error, perplexity, tree_cross_entropy, within
from .missing import Hold, SelfFeeding, with_mask
from .patterns import ManyToMany, ManyToOne, OneToMany, per_object
from .sequences import unroll
from .tree_cells import RNTN, ChildSumNet, ChildSumTreeLSTM, RecursiveAutoencoder
from .treebank import Tree, binarise, read_brackets, read_conllu
from .trees import Forest, fold, roots, structure, top_down

__all__ = [
    "Cell", "ChildSumNet", "ChildSumTreeLSTM", "Forest", "GRU", "Hold", "LSTM", "ManyToMany",
    "ManyToOne", "OneToMany", "RNN", "RNTN", "RecursiveAutoencoder", "RecursiveNet",
    "SelfFeeding", "Tree", "TreeCell", "TreeLSTM", "binarise", "bits", "cross_entropy", "fold",
    "mean_squared_error", "per_object", "perplexity", "read_brackets", "read_conllu", "roots",
    "structure", "top_down", "tree_cross_entropy", "unroll", "with_mask", "within",
]  # fmt: skip
