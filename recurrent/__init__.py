"""recurrent: recurrent and recursive networks as small compositions over `minigrad.recur`."""

from .baselines import TimeDelay, Unshared
from .cells import GRU, LSTM, MGU, RNN, Cell, JordanRNN, RecursiveNet, TreeCell, TreeLSTM
from .compose import deep_input, deep_output, deep_transition, stack
from .data import Batch, Series, Vocabulary, batches, pad, read_csv
from .decoding import Hypothesis, beam_search, greedy, sample
from .directions import bidirectional, layered, over_time
from .dynamics import dynamical_system
from .grids import MDLSTM, MDRNN, Lattice, Multidirectional, lattice, run_lattice, sweep
from .interchange import from_onnx, from_torch, onnx_node, to_onnx, to_torch
from .losses import bits, cross_entropy, mean_squared_error, perplexity, tree_cross_entropy, within
from .lstms import CoupledLSTM, LayerNormLSTM, OriginalLSTM, PeepholeLSTM, ProjectedLSTM
from .missing import Hold, SelfFeeding, with_mask
from .parsing import (
    ScoringNet,
    bracket_f1,
    confusions,
    greedy_loss,
    margin_loss,
    parse,
    tree_scores,
    wrong_brackets,
)
from .patterns import ManyToMany, ManyToOne, OneToMany, per_object
from .regularize import Dropout, Zoneout, dropout_masks, tied_logits, zoneout_masks
from .reservoir import EchoState, LeakyRNN, ridge_readout
from .seq2seq import attend, encoder_decoder
from .sequences import unroll
from .theory import SaturatedRNN, TuringMachine, TuringNet, binary_increment, palindromes
from .tree_cells import RNTN, ChildSumNet, ChildSumTreeLSTM, RecursiveAutoencoder
from .treebank import Tree, binarise, read_brackets, read_conllu
from .trees import Forest, fold, roots, structure, top_down

__all__ = [
    "Batch", "Cell", "ChildSumNet", "ChildSumTreeLSTM", "CoupledLSTM", "Dropout", "EchoState",
    "Forest", "GRU", "Hold", "Hypothesis", "JordanRNN", "LSTM", "Lattice", "LayerNormLSTM",
    "LeakyRNN", "MDLSTM", "MDRNN", "MGU", "ManyToMany", "ManyToOne", "Multidirectional",
    "OneToMany", "OriginalLSTM", "PeepholeLSTM", "ProjectedLSTM", "RNN", "RNTN",
    "RecursiveAutoencoder", "RecursiveNet", "SaturatedRNN", "ScoringNet", "SelfFeeding",
    "Series", "TimeDelay", "Tree", "TreeCell", "TreeLSTM", "TuringMachine", "TuringNet",
    "Unshared", "Vocabulary", "Zoneout", "attend", "batches", "beam_search", "bidirectional",
    "binarise", "binary_increment", "bits", "bracket_f1", "confusions", "cross_entropy",
    "deep_input", "deep_output", "deep_transition", "dropout_masks", "dynamical_system",
    "encoder_decoder", "fold", "from_onnx", "from_torch", "greedy", "greedy_loss", "lattice",
    "layered", "margin_loss", "mean_squared_error", "onnx_node", "over_time", "pad",
    "palindromes", "parse", "per_object", "perplexity", "read_brackets", "read_conllu",
    "read_csv", "ridge_readout", "roots", "run_lattice", "sample", "stack", "structure",
    "sweep", "tied_logits", "to_onnx", "to_torch", "top_down", "tree_cross_entropy",
    "tree_scores", "unroll", "with_mask", "within", "wrong_brackets", "zoneout_masks",
]  # fmt: skip
