"""recurrent: recurrent and recursive networks as small compositions over `minigrad.recur`."""

from .cells import GRU, LSTM, RNN, Cell, RecursiveNet, TreeCell, TreeLSTM
from .sequences import unroll
from .trees import Forest, Tree, fold, read_brackets, roots, structure

__all__ = [
    "GRU", "LSTM", "RNN", "Cell", "Forest", "RecursiveNet", "Tree", "TreeCell", "TreeLSTM", "fold",
    "read_brackets", "roots", "structure", "unroll",
]  # fmt: skip
